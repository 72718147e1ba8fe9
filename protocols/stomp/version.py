"""The versions of STOMP, and which of them a client and we both speak."""

from __future__ import annotations

import enum


class Version(enum.IntEnum):
    """The numbers are the kernel's."""

    V1_0 = 10
    V1_1 = 11
    V1_2 = 12

    @property
    def text(self) -> str:
        """As ``version`` and ``accept-version`` write it."""
        return f"{self // 10}.{self % 10}"


BY_TEXT = {version.text: version for version in Version}
SUPPORTED = ",".join(BY_TEXT)


def negotiated(accept_version: str | None) -> Version | None:
    """The highest that both speak; a client that names none speaks 1.0 (STOMP 1.2, Protocol Negotiation)."""
    if accept_version is None:
        return Version.V1_0
    accepted = (BY_TEXT.get(text.strip()) for text in accept_version.split(","))
    return max((version for version in accepted if version is not None), default=None)
