"""Heart-beats: who sends them how often, when one is due and when a client is lost (STOMP 1.2, Heart-beating)."""

from __future__ import annotations

import msgspec

from protocols.stomp.settings import HEARTBEAT_MARGIN
from protocols.stomp.violation import invalid_header

SEND_FRACTION = 0.75
"""Of an interval, after which one is sent: a client that allows no margin sees it in time."""
INTERVAL_MS_MAX = 2**31 - 1
HEADER = "heart-beat"


class Negotiated(msgspec.Struct, frozen=True):
    """What CONNECTED says, in ms; 0: none.  ``interval`` is what both sides come to."""

    send_ms: int
    receive_ms: int

    @property
    def text(self) -> str:
        return f"{self.send_ms},{self.receive_ms}"


NONE = Negotiated(0, 0)


def negotiated(header: str | None, least_ms: int) -> Negotiated:
    """Ours are what the client asks for, but not below the least, and none where it offers none.

    Raises ProtocolViolation.
    """
    if header is None:
        return NONE
    offered, wanted = _parse(header)
    return Negotiated(_at_least(wanted, least_ms), _at_least(offered, least_ms))


def _at_least(interval_ms: int, least_ms: int) -> int:
    return max(interval_ms, least_ms) if interval_ms else 0


def _parse(header: str) -> tuple[int, int]:
    parts = header.split(",")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        offered, wanted = map(int, parts)
        if max(offered, wanted) <= INTERVAL_MS_MAX:
            return offered, wanted
    raise invalid_header(HEADER, header, "two whole numbers of milliseconds are wanted, as in 10000,10000")


class Heartbeats:
    """The two clocks of one connection; times are seconds of the monotonic clock that is given in."""

    __slots__ = ("_dead_after_s", "_send_after_s", "received_at", "sent_at")

    def __init__(self, now: float) -> None:
        self._send_after_s = self._dead_after_s = 0.0
        self.received_at = self.sent_at = now

    def start(self, agreed: Negotiated, now: float) -> None:
        """CONNECTED is sent."""
        self._send_after_s = agreed.send_ms / 1000 * SEND_FRACTION
        self._dead_after_s = agreed.receive_ms / 1000 * HEARTBEAT_MARGIN
        self.received_at = self.sent_at = now

    def expect_nothing(self) -> None:
        """The client has said DISCONNECT."""
        self._dead_after_s = 0.0

    @property
    def deadline(self) -> float | None:
        """The next time to look again: nothing is due before, much may have put it off by then."""
        due = [
            at + after_s
            for at, after_s in ((self.sent_at, self._send_after_s), (self.received_at, self._dead_after_s))
            if after_s
        ]
        return min(due, default=None)

    def is_dead(self, now: float) -> bool:
        """The client has missed its intervals."""
        return bool(self._dead_after_s) and now >= self.received_at + self._dead_after_s

    def is_due(self, now: float) -> bool:
        """A heart-beat is to be sent."""
        return bool(self._send_after_s) and now >= self.sent_at + self._send_after_s
