"""Waiting for a sync: asleep in the kernel's epoll until it is about to end, then looking, instead of
through trio.  Pure: says how long, is told what came of it.

A thread hand-off costs as much as the sync on an idle machine (the processor has to be woken); with one
message in flight this takes the p50 from 478 to about 350 us.  It hurts where somebody else wants the
processor, so it is done only while there is some to spare and while most of the waits are worth it.
"""

from __future__ import annotations

import math

import msgspec

SPIN_US = 60
"""Looking begins this long before half of the syncs are expected to have ended, and takes twice that."""
BLOCK_US_MAX = 3_000
"""No sync that takes longer is waited for: trio's other tasks wait meanwhile."""
SPARE_CPU_MIN = 0.5
"""Processors idle; below, nothing is gained by waking sooner."""
MISS_COUNT_MAX = 8
"""So many vain waits more than good ones ..."""
REST_COUNT = 64
"""... and so many syncs are waited for through trio."""


class WaitPlan(msgspec.Struct, frozen=True, gc=False):
    """Arguments of ``Poller.wait``."""

    block_us: int
    spin_us: int


class SyncWait:
    """When and how long to wait for the journal in the kernel."""

    def __init__(self) -> None:
        self.spare_cpu = 0.0
        """Processors idle of late; none until it is known."""
        self._began_at = math.nan
        self._expected_s = math.inf
        self._misses = 0
        self._rest = 0

    def receive_progress(self, now: float, in_flight: bool, synced: bool) -> None:
        """What a round found: whether syncs are in flight after it, and whether one had ended before."""
        if synced and not math.isnan(self._began_at):
            took_s = now - self._began_at
            if math.isinf(self._expected_s):
                self._expected_s = took_s
            self._expected_s += (took_s - self._expected_s) / 8
            self._began_at = math.nan
        if in_flight and math.isnan(self._began_at):
            self._began_at = now

    @property
    def in_flight(self) -> bool:
        """There is a sync to wait for."""
        return not math.isnan(self._began_at)

    def plan(self, now: float) -> WaitPlan | None:
        """How to wait for what is in flight; None: through trio, as for everything."""
        if not self.in_flight or self.spare_cpu < SPARE_CPU_MIN:
            return None
        if self._rest:
            self._rest -= 1
            return None
        left_us = (self._began_at + self._expected_s - now) * 1e6
        if left_us > BLOCK_US_MAX:
            return None
        return WaitPlan(max(0, int(left_us) - SPIN_US), 2 * SPIN_US)

    def receive_outcome(self, hit: bool) -> None:
        """Whether something came within the planned time."""
        self._misses = max(0, self._misses + (-1 if hit else 1))
        if self._misses > MISS_COUNT_MAX:
            self._misses = 0
            self._rest = REST_COUNT
