"""How many processors are idle, from /proc/stat."""

from __future__ import annotations

import os
from collections.abc import Callable

INTERVAL_S = 0.25
"""Between readings: 25 ticks of 10 ms for each processor, which is fine enough."""


class SpareCpu:
    """Idle processors over the last interval, of the whole machine."""

    def __init__(self, read: Callable[[], bytes] | None = None) -> None:
        """``read`` gives what /proc/stat says."""
        self.count = 0.0
        self._read = read or _read_proc_stat
        self._next_at = 0.0
        self._last: tuple[float, float] | None = None

    def update(self, now: float) -> float:
        """Reads again if the interval has passed (50 us then); idle processors."""
        if now >= self._next_at:
            idle_s = idle_seconds(self._read())
            if idle_s is not None and self._last is not None:
                before, idle_before = self._last
                self.count = (idle_s - idle_before) / max(now - before, 1e-3)
            self._last = None if idle_s is None else (now, idle_s)
            self._next_at = now + INTERVAL_S
        return self.count


def idle_seconds(stat: bytes) -> float | None:
    """Of all processors together since the machine's start (proc(5): the fourth figure of ``cpu``, in ticks)."""
    for line in stat.splitlines():
        words = line.split()
        if words and words[0] == b"cpu" and len(words) > 4:
            return int(words[4]) / os.sysconf("SC_CLK_TCK")
    return None


def _read_proc_stat() -> bytes:
    try:
        with open("/proc/stat", "rb") as file:
            return file.read(4096)
    except OSError:
        return b""
