"""What WebSocket can be told, and its limits with their reasons."""

from __future__ import annotations

import msgspec

MESSAGE_SIZE_MAX_UNPROVEN = 64 << 10
"""Bytes of a message before login, as RabbitMQ: an unknown peer gets no more."""
CONTROL_COUNT_MAX = 64
CONTROL_PERIOD_S = 1.0
"""So many pings and pongs may come until some come after this period; a client that keeps itself alive sends one in
some seconds."""
MISSED_PINGS_MAX = 2
"""Pings of ours without anything from the client; then it is gone."""


class WebSocketSettings(msgspec.Struct, frozen=True):
    """Of one listener."""

    origins: frozenset[str] = frozenset()
    """``scheme://host[:port]`` of other sites whose pages may connect; ``*``: all.  The listener's own may always."""
    message_size_max: int = 10_000_000 + (64 << 10)
    """Bytes of a message after login: the broker's largest message and room for its head."""
    ping_interval_s: float = 30.0
    """After so much silence the client is pinged."""
    first_bytes_timeout_s: float = 10.0
    """For a client whose protocol only its first bytes will tell."""
