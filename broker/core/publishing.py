"""The front's way from a run to its shards: routes, and what a publisher is owed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from broker.core.channel import Channel, Confirming, Publication, tag_ranges
from broker.core.client_directory import FarClient
from broker.core.client_session import ClientSession
from broker.core.queue import Queue
from broker.core.shard import Completion, Shard
from broker.core.sharing import members_of
from broker.model.names import ClientSessionId, VhostName
from broker.model.queue_settings import ConfirmLevel
from kernel import FLAG_RETAIN, MessageRun, Route
from routing.route_cache import Key
from routing.router import Router
from routing.subscriptions import MQTT_EXCHANGE, Subscription

DESTINATIONS_MAX = 65_536
"""Keys whose destination is remembered in a vhost; all are forgotten together when one more comes."""
NOWHERE = Route([])
ALL, PERSISTENT, TRANSIENT, RETAINED = range(4)
"""Which messages of a key a queue gets (kernel.Route)."""

Target: TypeAlias = tuple[int, int | None, int | None, int, tuple[int, int] | None]
"""Queue, message TTL, room, which messages, whose turn of how many (kernel.Route)."""
Awaited: TypeAlias = tuple[Callable[[int, Completion], None], int]
"""Who tells when a publish is safe, and its number there."""
Spread: TypeAlias = list[tuple[Shard, list[Route]]]


class Clients(Protocol):
    """Sessions by their ids."""

    def get(self, session: ClientSessionId) -> ClientSession | FarClient | None: ...


class Destination:
    """Where a key leads: in each shard, one route."""

    __slots__ = ("lowered", "only", "routes", "shares", "targets", "turn")

    def __init__(
        self, targets: dict[Shard, list[Target]], fixed: bool, turn: int, lowered: dict[Shard, ConfirmLevel]
    ) -> None:
        """``fixed``: no queue of it rejects, so that it is good for more than one run.

        ``lowered``: shards in which all of its queues ask for less than a quorum, and for what.
        """
        self.targets = targets
        self.lowered = lowered
        self.routes = tuple((shard, Route(of_shard)) for shard, of_shard in targets.items())
        self.shares = any(target[4] is not None for of_shard in targets.values() for target in of_shard)
        self.turn = turn
        """Of those who share, whose it is."""
        self.only: tuple[Shard, tuple[Route]] | None = None
        """The shard and its route, if it is a logged one and the only one."""
        if fixed and not self.shares and not lowered and len(self.routes) == 1 and self.routes[0][0].logged:
            self.only = (self.routes[0][0], (self.routes[0][1],))

    def take_turns(self, count: int) -> int:
        """The first of so many."""
        turn = self.turn
        if self.shares:
            self.turn += count
        return turn


class RouteTable:
    """A vhost's destinations by key, remembered until bindings, subscriptions or queues change."""

    def __init__(
        self,
        vhost: VhostName,
        router: Router,
        queues: Mapping[int, tuple[Shard, Queue]],
        clients: Clients,
        retained_queue: Callable[[], tuple[Shard, int]],
        sticky_shares: bool = False,
        default_confirm: ConfirmLevel = ConfirmLevel.QUORUM,
    ) -> None:
        """``retained_queue``: where the vhost's retained messages go, made if need be.

        ``sticky_shares``: members of a share take no turns (``sharing.py``).
        """
        self.vhost = vhost
        self._router = router
        self._queues = queues
        self._clients = clients
        self._retained_queue = retained_queue
        self._sticky_shares = sticky_shares
        self._default_confirm = default_confirm
        self._destinations: dict[Key, Destination] = {}
        self._turns = itertools.count()

    def forget(self) -> None:
        """Something was bound, unbound, declared or deleted."""
        self._destinations.clear()

    def known(self, key: Key) -> Destination | None:
        """What find would answer, if it was asked before and nothing changed."""
        return self._destinations.get(key)

    def find(self, key: Key, publisher: ClientSessionId | None = None) -> Destination | None:
        """None: there is no such exchange.  ``publisher``: one with subscriptions that want nothing of its own."""
        if publisher is not None:
            return self._resolve(key, publisher=publisher)
        destination = self._destinations.get(key)
        return destination if destination is not None else self._resolve(key)

    def _find_unbounded(self, key: Key) -> Destination | None:
        """Where no queue rejects: what comes is in already."""
        return self._destinations.get(key) or self._resolve(key, bounded=False)

    def _resolve(
        self,
        key: Key,
        without: frozenset[int] = frozenset(),
        publisher: ClientSessionId | None = None,
        bounded: bool = True,
    ) -> Destination | None:
        reach = self._router.reach(key)
        if reach is None:
            return None
        targets: dict[Shard, list[Target]] = {}
        levels: dict[Shard, ConfirmLevel] = {}
        fixed = not without and publisher is None
        for queue_id in reach.queues:
            found = self._queues.get(queue_id)
            if found is None or queue_id in without:
                continue  # not created yet, or going: accepted and dropped
            shard, queue = found
            room = None
            if queue.rejects_when_full:
                room, fixed = queue.room() if bounded else None, False
            targets.setdefault(shard, []).append((queue_id, queue.settings.message_ttl_ms, room, ALL, None))
            asked = queue.settings.confirm
            level = self._default_confirm if asked is None else asked
            levels[shard] = max(levels.get(shard, level), level)
        if reach.subscriptions:
            self._add_clients(targets, reach.subscriptions, publisher)
            levels.clear()  # what clients are sent, a quorum has
        lowered = {shard: level for shard, level in levels.items() if level < ConfirmLevel.QUORUM}
        destination = Destination(targets, fixed, next(self._turns), lowered)
        if fixed:
            if len(self._destinations) >= DESTINATIONS_MAX:
                self._destinations.clear()
            self._destinations[key] = destination
        return destination

    def _add_clients(
        self,
        targets: dict[Shard, list[Target]],
        subscriptions: Sequence[Subscription],
        publisher: ClientSessionId | None,
    ) -> None:
        """A session gets one copy, at the highest QoS that any of its subscriptions grants (MQTT 5 3.3.4)."""
        granted: dict[ClientSessionId, int] = {}
        shared = []
        for subscription in subscriptions:
            session = subscription.session
            if subscription.share is not None:
                shared.append(subscription)
            elif not (subscription.no_local and publisher == session):
                granted[session] = max(granted.get(session, 0), subscription.qos)
        for session, qos in granted.items():
            self._add_client(targets, session, qos, None)
        for session, qos, turn in members_of(shared, self._clients, granted, self._sticky_shares):
            self._add_client(targets, session, qos, turn)

    def _add_client(
        self, targets: dict[Shard, list[Target]], session: ClientSessionId, qos: int, turn: tuple[int, int] | None
    ) -> None:
        client = self._clients.get(session)
        if client is None:
            return
        if isinstance(client, FarClient):
            if client.transient is not None:
                wanted = TRANSIENT if qos else ALL
                targets.setdefault(client.transient, []).append((client.id, None, None, wanted, turn))
            if qos:
                targets.setdefault(client.shard, []).append((client.queue_id, None, None, PERSISTENT, turn))
            return
        if client.attachment is not None:
            queue_id = client.open_transient().id
            shard = self._queues[queue_id][0]
            wanted = TRANSIENT if qos else ALL
            targets.setdefault(shard, []).append((queue_id, None, None, wanted, turn))
        if qos:
            targets.setdefault(client.shard, []).append((client.open_queue().id, None, None, PERSISTENT, turn))

    def spread(
        self,
        messages: MessageRun,
        without: frozenset[int] = frozenset(),
        publisher: ClientSessionId | None = None,
        bounded: bool = True,
    ) -> tuple[Spread, list[int]]:
        """For each shard that a run reaches, a route for each of its keys, and whose turn it is for each key.

        Unknown exchanges lead nowhere; the queues ``without`` are left out.  If it is not ``bounded`` no queue rejects.
        """
        keys = messages.keys()
        by_shard: dict[Shard, list[Route]] = {}
        turns = [0] * len(keys)
        for position, key in enumerate(keys):
            if without:
                destination = self._resolve(key, without, bounded=bounded)
            else:
                destination = self.find(key, publisher) if bounded else self._find_unbounded(key)
            if destination is None:
                continue
            turns[position] = destination.take_turns(messages.count)
            routes = destination.routes
            if messages.flags & FLAG_RETAIN and key[0] == MQTT_EXCHANGE:
                routes = self._retaining(destination)
            for shard, route in routes:
                of_shard = by_shard.get(shard)
                if of_shard is None:
                    of_shard = by_shard[shard] = [NOWHERE] * len(keys)
                of_shard[position] = route
        return list(by_shard.items()), turns

    def _retaining(self, destination: Destination) -> tuple[tuple[Shard, Route], ...]:
        """The same, and what is to be retained goes to the retained messages too."""
        shard, queue_id = self._retained_queue()
        targets = {**destination.targets}
        targets[shard] = [*targets.get(shard, ()), (queue_id, None, None, RETAINED, None)]
        return tuple((shard, Route(of_shard)) for shard, of_shard in targets.items())

    def cycles(self, messages: MessageRun) -> frozenset[int]:
        """Queues that some message of the run must not go back to (amqp-0-9-1.md section 7, cycle rule)."""
        queues = self._queues
        keys = messages.keys()
        reaches = [self._router.reach(key) for key in keys]
        reached = {id for reach in reaches if reach is not None for id in reach.queues if id in queues}
        return frozenset(id for id in reached if messages.cycling(queues[id][1].name.encode()))


def confirm_levels(destinations: Sequence[Destination]) -> Mapping[Shard, ConfirmLevel]:
    """For each shard the most that a queue of it asks for; empty: a quorum everywhere."""
    levels: dict[Shard, ConfirmLevel] = {}
    if any(destination.lowered for destination in destinations):
        for destination in destinations:
            for shard in destination.targets:
                level = destination.lowered.get(shard, ConfirmLevel.QUORUM)
                levels[shard] = max(levels.get(shard, level), level)
    return levels


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


def promise(
    session: Confirming, channel: Channel, first_tag: int, count: int, numbers: list[Awaited], rejected: list[int]
) -> None:
    """Owes the run's tags, once every shard has its part as safe as its queues ask for."""
    tags = [(first_tag, first_tag + count - 1)]
    if rejected:
        refused = tag_ranges(first_tag, rejected)
        channel.rejected.extend(refused)
        session.owe(channel)
        tags = tags_left(first_tag, count, refused)
        if not tags:
            return
    if not numbers:
        channel.confirm(tags)
        session.owe(channel)
        return
    publication = Publication(session, channel, tags, len(numbers), first_tag)
    session.unconfirmed += 1
    for when_safe, number in numbers:
        when_safe(number, publication)
