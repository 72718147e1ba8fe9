"""Routes that were found lately, within bounded memory.

Two generations: a route that is used moves to the young one; when that is full the old one is dropped whole.  So a
flood of keys that are never seen again costs no more than a miss each, and doesn't push out what is used.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from broker.model.names import QueueId
from routing.subscriptions import Subscription

Key: TypeAlias = tuple[bytes, bytes] | tuple[bytes, bytes, bool]
"""As from MessageRun.keys(): exchange, routing key, and perhaps that no wildcard stands for its first level."""
Route: TypeAlias = tuple[QueueId, ...]


class Reach(NamedTuple):
    """Where a message goes: queues by their bindings, and the subscriptions it matches."""

    queues: Route
    subscriptions: tuple[Subscription, ...] = ()


GENERATION_COST_MAX = 1 << 19
"""Words of 8 bytes: 4 MiB a generation, some 8,000 routes to few queues or 5 to 100,000."""
ROUTE_COST = 64
"""What a reach costs besides what it holds: two keys, two tuples, a place in the dict."""


class RouteCache:
    def __init__(self, cost_max: int = GENERATION_COST_MAX) -> None:
        self._cost_max = cost_max
        self._young: dict[Key, Reach] = {}
        self._old: dict[Key, Reach] = {}
        self._cost = 0

    def get(self, key: Key) -> Reach | None:
        reach = self._young.get(key)
        if reach is None and self._old:
            reach = self._old.pop(key, None)
            if reach is not None:
                self.put(key, reach)
        return reach

    def put(self, key: Key, reach: Reach) -> None:
        cost = ROUTE_COST + len(reach.queues) + len(reach.subscriptions)
        self._cost += cost
        if self._cost > self._cost_max:
            self._old, self._young = self._young, {}
            self._cost = cost
        self._young[key] = reach

    def clear(self) -> None:
        self._young.clear()
        self._old.clear()
        self._cost = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
