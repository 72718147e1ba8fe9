"""What happens next: calls at times, in microseconds of the simulation's own time, those of one time in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Events:
    """The only clock there is; machines' clocks are made of it."""

    def __init__(self) -> None:
        self.now_us = 0
        self.count = 0
        """Of calls made."""
        self._heap: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._turn = 0

    def at(self, when_us: int, call: Callable[..., object], *arguments: Any) -> None:
        self._turn += 1
        heapq.heappush(self._heap, (max(when_us, self.now_us), self._turn, call, arguments))

    def after(self, us: int, call: Callable[..., object], *arguments: Any) -> None:
        self._turn += 1
        heapq.heappush(self._heap, (self.now_us + us, self._turn, call, arguments))

    def run_until(self, until_us: int) -> None:
        """Calls all that is due."""
        heap, pop = self._heap, heapq.heappop
        count = 0
        while heap and heap[0][0] <= until_us:
            self.now_us, _, call, arguments = pop(heap)
            count += 1
            call(*arguments)
        self.count += count
        self.now_us = until_us
