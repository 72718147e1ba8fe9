"""When a heartbeat is due and when a peer is dead (AMQP 0-9-1 4.2.7).

We send one when we have been silent for half of the negotiated interval; a peer that has been silent for two whole
intervals is dead.  Any traffic counts, in both directions.
"""

from __future__ import annotations

SEND_FRACTION = 0.5
INTERVALS_MISSED_MAX = 2


class Heartbeats:
    """The two clocks of one connection; all times are seconds of the monotonic clock that is given in."""

    def __init__(self, interval_s: int, now: float) -> None:
        self._send_after_s = interval_s * SEND_FRACTION
        self._dead_after_s = interval_s * INTERVALS_MISSED_MAX
        self.received_at = now
        self.sent_at = now

    @property
    def deadline(self) -> float:
        """The next time to look again: nothing is due before, much may have put it off by then."""
        return min(self.sent_at + self._send_after_s, self.received_at + self._dead_after_s)

    def is_dead(self, now: float) -> bool:
        """The peer has missed its intervals."""
        return now >= self.received_at + self._dead_after_s

    def is_due(self, now: float) -> bool:
        """A heartbeat is to be sent."""
        return now >= self.sent_at + self._send_after_s
