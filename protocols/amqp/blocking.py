"""connection.blocked and unblocked: for a client that publishes, and has the capability.

One that only consumes is never told: there is nothing that it should stop doing.
"""

from __future__ import annotations

from protocols.amqp.methods import ConnectionBlocked, ConnectionUnblocked
from protocols.amqp.outbox import Outbox


class Blocking:
    """What one client knows of the broker's alarms."""

    def __init__(self, outbox: Outbox) -> None:
        self.capable = False
        """The client has said that it understands connection.blocked."""
        self.publishing = False
        self._outbox = outbox
        self._reason: str | None = None
        """Why the broker takes no publishes."""
        self._told = False

    def start_publishing(self) -> None:
        """The client's first publish."""
        self.publishing = True
        self._tell()

    def block(self, reason: str) -> None:
        """The broker takes no publishes."""
        self._reason = reason
        self._tell()

    def unblock(self) -> None:
        """It takes them again."""
        self._reason = None
        if self._told:
            self._outbox.send(0, ConnectionUnblocked())
        self._told = False

    def _tell(self) -> None:
        if self._reason is not None and self.publishing and self.capable and not self._told:
            self._told = True
            self._outbox.send(0, ConnectionBlocked(self._reason))
