"""Reads for the core, on threads: a delivery from disk waits, the rounds don't."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

READ_COUNT_MAX = 4
"""Reads at a time; more would only queue in the disk."""


class DiskReads:
    """Carries out reads; tells of each end."""

    def __init__(self, nursery: trio.Nursery, ring: Callable[[], None]) -> None:
        self._nursery = nursery
        self._ring = ring
        self._limiter = trio.CapacityLimiter(READ_COUNT_MAX)

    def begin(self, reads: Sequence[Callable[[], object]]) -> None:
        """An exception of a read (OSError, Damage) ends the broker."""
        for read in reads:
            self._nursery.start_soon(self._carry_out, read)

    async def _carry_out(self, read: Callable[[], object]) -> None:
        await trio.to_thread.run_sync(read, limiter=self._limiter)
        self._ring()
