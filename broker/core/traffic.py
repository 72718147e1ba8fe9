"""What went through a node, in numbers that only grow; counted by runs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Traffic(msgspec.Struct):
    """Messages and bytes of their bodies; ``dropped``: for clients that did not read, or had too many waiting."""

    received: int = 0
    received_size: int = 0
    sent: int = 0
    sent_size: int = 0
    dropped: int = 0
    attached: int = 0
    """Clients that came."""
    expired: int = 0
    """Sessions whose time was over."""

    @classmethod
    def sum_of(cls, parts: Sequence[Traffic]) -> Traffic:
        return cls(*(sum(getattr(part, field) for part in parts) for field in cls.__struct_fields__))
