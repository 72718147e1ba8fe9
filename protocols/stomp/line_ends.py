"""How many line ends a client may send between frames: heart-beats, and not a flood of them."""

from __future__ import annotations

from protocols.stomp.settings import EOL_BURST_MAX, EOLS_PER_S
from protocols.stomp.violation import ProtocolViolation


class LineEnds:
    """A bucket of line ends that fills with time."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._left = float(EOL_BURST_MAX)
        self._at = now

    def take(self, count: int, now: float) -> None:
        """Some came.  Raises ProtocolViolation."""
        self._left = min(self._left + (now - self._at) * EOLS_PER_S, EOL_BURST_MAX) - count
        self._at = now
        if self._left < 0:
            detail = f"more than {EOL_BURST_MAX} line ends between frames, or {EOLS_PER_S:g} a second for long"
            raise ProtocolViolation("Too many heart-beats", detail)
