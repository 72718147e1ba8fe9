"""The states of a connection, from its first byte to its last."""

from __future__ import annotations

import enum


class ConnectionState(enum.Enum):
    """What the connection waits for."""

    AWAITING_HEADER = "awaiting-header"
    AWAITING_START_OK = "awaiting-start-ok"
    AUTHENTICATING = "authenticating"
    """The core looks at the login."""
    LOGIN_REFUSED = "login-refused"
    """The core refused the login; the client hears of it after a while."""
    AWAITING_TUNE_OK = "awaiting-tune-ok"
    AWAITING_OPEN = "awaiting-open"
    OPENING = "opening"
    """The core looks at the vhost."""
    OPEN = "open"
    CLOSING = "closing"
    """We sent connection.close: everything is discarded until close-ok, for a moment."""
    FINISHING = "finishing"
    """The client sent connection.close: close-ok follows once the core has committed what it settled."""
    CLOSED = "closed"


DISCARDING = frozenset(
    {
        ConnectionState.LOGIN_REFUSED,
        ConnectionState.CLOSING,
        ConnectionState.FINISHING,
        ConnectionState.CLOSED,
    }
)
"""States in which what still comes is not looked at, but for connection.close and close-ok while CLOSING."""
