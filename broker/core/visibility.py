"""Which node routes by which topology: what was asked for is answered once all that route know it.

A node that is not heard of any more is not waited for: before we come to think so its own lease has run out, and it
routes nothing until it is heard again (log-and-shards.md section 11).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping


class Visibility:
    """As one node knows it."""

    def __init__(self, live: Mapping[int, int]) -> None:
        """``live``: the other nodes that are heard of."""
        self._live = live
        self._seen: dict[int, int] = {}
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._turns = itertools.count()

    def when_visible(self, index: int, finish: Callable[[], None]) -> None:
        """Finishes once all live nodes know the topology of this index."""
        heapq.heappush(self._waiting, (index, next(self._turns), finish))
        self._go_on()

    def receive_seen(self, peer: int, index: int) -> None:
        self._seen[peer] = max(self._seen.get(peer, 0), index)
        self._go_on()

    @property
    def seen_index(self) -> int:
        """The newest that any of them knows."""
        return max((self._seen.get(peer, 0) for peer in self._live), default=0)

    def receive_peer_down(self, peer: int) -> None:
        self._seen.pop(peer, None)
        self._go_on()

    def _go_on(self) -> None:
        if not self._waiting:
            return
        seen = min((self._seen.get(peer, 0) for peer in self._live), default=None)
        while self._waiting and (seen is None or self._waiting[0][0] <= seen):
            heapq.heappop(self._waiting)[2]()
