"""Everybody's deadlines in one heap, looked at once a round.

A cancel scope per read costs 5 us.  Deadlines of connections mostly move away (each read puts the next
one off), so the heap isn't touched then: an entry that comes up early is put back.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Generic, TypeVar


class Timed:
    """Something with a deadline, in seconds of the clock that the heap is asked with; ``math.inf``: none."""

    __slots__ = ("_scheduled_at", "deadline")

    def __init__(self) -> None:
        self.deadline = math.inf
        self._scheduled_at = math.inf
        """Of its entry in the heap, never later than the deadline; inf: it has none."""


TimedT = TypeVar("TimedT", bound=Timed)


class Deadlines(Generic[TimedT]):
    """A heap of what is timed.  Whatever has a deadline has one entry that is no later."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, TimedT]] = []
        self._numbers = itertools.count()

    def set(self, timed: TimedT, deadline: float) -> None:
        """Replaces its deadline."""
        timed.deadline = deadline
        if deadline < timed._scheduled_at:
            timed._scheduled_at = deadline
            heapq.heappush(self._heap, (deadline, next(self._numbers), timed))

    @property
    def next(self) -> float:
        """When to look again, which may be too early but is never too late; ``math.inf``: not at all.

        Nobody is woken for who has no deadline any more: connections that are gone leave theirs behind.
        """
        heap = self._heap
        while heap:
            at, _, timed = heap[0]
            if at == timed._scheduled_at:
                if timed.deadline < math.inf:
                    return at
                timed._scheduled_at = math.inf
            heapq.heappop(heap)
        return math.inf

    def take_due(self, now: float) -> list[TimedT]:
        """Those whose deadline has come, each once, in the order of their deadlines; they have none any more."""
        due: list[TimedT] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, timed = heapq.heappop(self._heap)
            if at != timed._scheduled_at:
                continue  # a deadline was set before it, and had its own entry
            timed._scheduled_at = math.inf
            if timed.deadline <= now:
                due.append(timed)
            else:
                self.set(timed, timed.deadline)
        due.sort(key=_deadline_of)
        for timed in due:
            timed.deadline = math.inf
        return due


def _deadline_of(timed: Timed) -> float:
    return timed.deadline
