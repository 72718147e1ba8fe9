"""The front's way from a run to its shards: routes, and what a publisher is owed."""

from __future__ import annotations

from broker.core.queue import Queue
from broker.core.shard import Shard
from broker.model.names import VhostName
from kernel import MessageRun, Route
from routing.router import Router

DESTINATIONS_MAX = 65_536
"""Keys whose destination is remembered in a vhost; all are forgotten together when one more comes."""
NOWHERE = Route([])

Key = tuple[bytes, bytes]


class Destination:
    """Where a key leads: in each shard, one route."""

    __slots__ = ("only", "routes")

    def __init__(self, routes: tuple[tuple[Shard, Route], ...], fixed: bool) -> None:
        """``fixed``: no queue of it rejects, so that it is good for more than one run."""
        self.routes = routes
        self.only: tuple[Shard, tuple[Route]] | None = None
        """The shard and its route, if it is a logged one and the only one."""
        if fixed and len(routes) == 1 and routes[0][0].logged:
            self.only = (routes[0][0], (routes[0][1],))


class RouteTable:
    """A vhost's destinations by key, remembered until bindings or queues change."""

    def __init__(self, vhost: VhostName, router: Router, queues: dict[int, tuple[Shard, Queue]]) -> None:
        self.vhost = vhost
        self._router = router
        self._queues = queues
        self._destinations: dict[Key, Destination] = {}

    def forget(self) -> None:
        """Something was bound, unbound, declared or deleted."""
        self._destinations.clear()

    def known(self, key: Key) -> Destination | None:
        """What find would answer, if it was asked before and nothing changed."""
        return self._destinations.get(key)

    def find(self, key: Key) -> Destination | None:
        """None: there is no such exchange."""
        destination = self._destinations.get(key)
        return destination if destination is not None else self._resolve(key)

    def _resolve(self, key: Key, without: frozenset[int] = frozenset()) -> Destination | None:
        queue_ids = self._router.route(*key)
        if queue_ids is None:
            return None
        targets: dict[Shard, list[tuple[int, int | None, int | None]]] = {}
        fixed = not without
        for queue_id in queue_ids:
            found = self._queues.get(queue_id)
            if found is None or queue_id in without:
                continue  # not created yet, or going: accepted and dropped
            shard, queue = found
            room = None
            if queue.rejects_when_full:
                room, fixed = queue.room(), False
            targets.setdefault(shard, []).append((queue_id, queue.settings.message_ttl_ms, room))
        routes = tuple((shard, Route(of_shard)) for shard, of_shard in targets.items())
        destination = Destination(routes, fixed)
        if fixed:
            if len(self._destinations) >= DESTINATIONS_MAX:
                self._destinations.clear()
            self._destinations[key] = destination
        return destination

    def spread(self, messages: MessageRun, without: frozenset[int] = frozenset()) -> list[tuple[Shard, list[Route]]]:
        """For each shard that a run reaches, a route for each of its keys; unknown exchanges lead nowhere.

        The queues ``without`` are left out.
        """
        keys = messages.keys()
        by_shard: dict[Shard, list[Route]] = {}
        for position, key in enumerate(keys):
            destination = self._resolve(key, without) if without else self.find(key)
            for shard, route in destination.routes if destination is not None else ():
                routes = by_shard.get(shard)
                if routes is None:
                    routes = by_shard[shard] = [NOWHERE] * len(keys)
                routes[position] = route
        return list(by_shard.items())

    def cycles(self, messages: MessageRun) -> frozenset[int]:
        """Queues that some message of the run must not go back to (amqp-0-9-1.md section 7, cycle rule)."""
        queues = self._queues
        keys = messages.keys()
        reached = {id for key in keys for id in self._router.route(*key) or () if id in queues}
        return frozenset(id for id in reached if messages.cycling(queues[id][1].name.encode()))


def tag_ranges(first_tag: int, records: list[int]) -> list[tuple[int, int]]:
    """Records of a run, ascending, as ranges of tags."""
    ranges: list[tuple[int, int]] = []
    for record in records:
        tag = first_tag + record
        if ranges and ranges[-1][1] + 1 == tag:
            ranges[-1] = (ranges[-1][0], tag)
        else:
            ranges.append((tag, tag))
    return ranges


def tags_left(first_tag: int, count: int, rejected: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The tags of a run that are not in ``rejected``."""
    ranges = []
    at = first_tag
    for first, last in rejected:
        if at < first:
            ranges.append((at, first - 1))
        at = last + 1
    if at < first_tag + count:
        ranges.append((at, first_tag + count - 1))
    return ranges
