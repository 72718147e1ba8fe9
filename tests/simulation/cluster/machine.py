"""A machine: what outlives a node's process: its disk, its clock, its name; and whether it has power."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from kernel.disk import SimDisk
from tests.simulation.cluster.events import Events

if TYPE_CHECKING:
    from tests.simulation.cluster.net import End
    from tests.simulation.cluster.process import Process

CAPACITY = 1 << 40
WALL_START_MS = 1_800_000_000_000


class Clock:
    """A machine's own: it began at another time and runs at another speed than the simulation's."""

    def __init__(self, events: Events, offset_us: int, rate: float, wall_offset_ms: int) -> None:
        self._events = events
        self._offset_us = offset_us
        self._rate = rate
        self.wall_offset_ms = wall_offset_ms

    @property
    def now(self) -> float:
        """Monotonic, in seconds."""
        return (self._offset_us + self._events.now_us * self._rate) / 1e6

    def now_ms(self) -> int:
        """Wall time."""
        return WALL_START_MS + self.wall_offset_ms + int(self._events.now_us * self._rate) // 1000

    def us_until(self, when: float) -> int:
        """Of the simulation's time, until the machine's clock says ``when``."""
        return max(0, int((when - self.now) * 1e6 / self._rate) + 1)


class Machine:
    """One of them."""

    def __init__(self, number: int, events: Events, random: Random, clock: Clock) -> None:
        self.number = number
        self.name = f"n{number}"
        self.peer = random.getrandbits(63) | 1
        """Of the data directory that is there."""
        self.clock = clock
        self.random = random
        self.disk = SimDisk(CAPACITY)
        self.process: Process | None = None
        self.incarnation = 0
        self.powered = True
        self.present = True
        """It is, or is to be, a node of the cluster."""
        self.leaving = False
        self.flipped = False
        """Bits of its files are wrong, found or not."""
        self.lost_ends: list[End] = []
        """Connections that the power's loss ended; the others don't know."""
        self.closed_cleanly = False
        """The last process did so."""
        self.full = False
        self.disk_slow_us = 0
        """On top of what a write or a sync takes."""
        self.start_at_us = 0
        """When the process is started again; 0: it is not to be."""

    @property
    def address(self) -> str:
        return f"{self.name}:7000"
