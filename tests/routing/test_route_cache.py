"""The route cache is bounded, and keeps what is used."""

from __future__ import annotations

from broker.model.names import QueueId
from routing.route_cache import ROUTE_COST, Reach, RouteCache

ROUTE = Reach((QueueId(1),))
COST = ROUTE_COST + len(ROUTE.queues)


def test_a_flood_of_keys_is_bounded_and_does_not_push_out_what_is_used() -> None:
    cache = RouteCache(cost_max=10 * COST)
    used = (b"x", b"used")
    cache.put(used, ROUTE)
    for number in range(1000):
        cache.put((b"x", b"%d" % number), ROUTE)
        assert cache.get(used) == ROUTE
        assert len(cache) <= 21
    assert cache.get((b"x", b"0")) is None


def test_a_route_larger_than_the_cache_is_kept_alone() -> None:
    cache = RouteCache(cost_max=10 * COST)
    everywhere = Reach(tuple(QueueId(id) for id in range(100_000)))
    cache.put((b"x", b"small"), ROUTE)
    cache.put((b"x", b"large"), everywhere)
    assert cache.get((b"x", b"large")) == everywhere
    for number in range(21):
        cache.put((b"x", b"%d" % number), ROUTE)
    assert cache.get((b"x", b"large")) is None


def test_nothing_outlives_clear() -> None:
    cache = RouteCache(cost_max=2 * COST)
    for number in range(4):
        cache.put((b"x", b"%d" % number), ROUTE)
    cache.clear()
    assert len(cache) == 0
    assert all(cache.get((b"x", b"%d" % number)) is None for number in range(4))
