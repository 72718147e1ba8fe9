"""Routes that were found lately, within bounded memory.

Two generations: a route that is used moves to the young one; when that is full the old one is dropped whole.  So a
flood of keys that are never seen again costs no more than a miss each, and doesn't push out what is used.
"""

from __future__ import annotations

from broker.model.names import QueueId

Key = tuple[bytes, bytes]
"""Exchange and routing key, as they come from MessageRun.keys()."""
Route = tuple[QueueId, ...]

GENERATION_COST_MAX = 1 << 19
"""Words of 8 bytes: 4 MiB a generation, some 8,000 routes to few queues or 5 to 100,000."""
ROUTE_COST = 64
"""What a route costs besides its queues: two keys, two tuples, a place in the dict."""


class RouteCache:
    def __init__(self, cost_max: int = GENERATION_COST_MAX) -> None:
        self._cost_max = cost_max
        self._young: dict[Key, Route] = {}
        self._old: dict[Key, Route] = {}
        self._cost = 0

    def get(self, key: Key) -> Route | None:
        route = self._young.get(key)
        if route is None and self._old:
            route = self._old.pop(key, None)
            if route is not None:
                self.put(key, route)
        return route

    def put(self, key: Key, route: Route) -> None:
        self._cost += ROUTE_COST + len(route)
        if self._cost > self._cost_max:
            self._old, self._young = self._young, {}
            self._cost = ROUTE_COST + len(route)
        self._young[key] = route

    def clear(self) -> None:
        self._young.clear()
        self._old.clear()
        self._cost = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
