"""A client's session at its shard's leader: its own queues, its window, whom it is attached to.

QoS 1 and 2 wait in a queue of the session's shard, logged if the session is durable; QoS 0 in a volatile one, which is
there while the client is (MQTT orders within a QoS only).  A volatile queue is made when something is first routed to
it: most clients of many are sent nothing for long.  Packet ids follow from the first queue's sequences, so that
they are the same after a crash.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from broker.core.client_states import ClientCommand, PacketIdState, encode_client_command
from broker.core.queue import ACCEPTED, Queue
from broker.core.shard import Shard
from broker.core.topology_rows import ClientSessionRow
from broker.core.waiter import Waiter
from broker.model.client_sessions import Will
from broker.model.queue_settings import QueueSettings
from kernel import Grant, Inflight, MessageRun, PacketIds, TopicTrie, filter_levels, routing_key_of_topic
from routing.subscriptions import Subscription
from routing.topic import name_levels

if TYPE_CHECKING:
    from broker.core.attachment import Attachment

GRANTS_REMEMBERED_MAX = 1024
QOS_0 = Grant(0, False, ())
QOS_2 = Grant(2, False, ())
"""What is still to be sent of a subscription that is gone."""
SETTINGS_REMEMBERED_MAX = 256
PUBACK = 4
PUBREC = 5


@functools.lru_cache(SETTINGS_REMEMBERED_MAX)
def settings_of(length_max: int) -> QueueSettings:
    """Of a client's queue: most have the same."""
    return QueueSettings(length_max=length_max)


class Grants:
    """What a session's subscriptions ask for, by topic: the highest QoS, all their ids (MQTT 5 3.3.4)."""

    __slots__ = ("_remembered", "_subscriptions", "_trie", "only")

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self._subscriptions = subscriptions
        self._remembered: dict[bytes, Grant | None] = {}
        self._trie: TopicTrie | None = None
        self.only = _grant_of(subscriptions) if len(subscriptions) == 1 else None
        """That of every topic, if there is one subscription."""

    def find(self, topic: bytes) -> Grant | None:
        """None: no subscription matches."""
        if topic in self._remembered:
            return self._remembered[topic]
        if len(self._remembered) >= GRANTS_REMEMBERED_MAX:
            self._remembered.clear()
        grant = self._remembered[topic] = self._match(topic)
        return grant

    def _match(self, topic: bytes) -> Grant | None:
        if self._trie is None:
            self._trie = TopicTrie()
            for number, subscription in enumerate(self._subscriptions):
                self._trie.insert(filter_levels(subscription.filter.encode()), number)
        levels = name_levels(routing_key_of_topic(topic))
        numbers = self._trie.match(levels, leading_wildcards=not topic.startswith(b"$"))
        return _grant_of([self._subscriptions[number] for number in numbers]) if numbers else None


NO_GRANTS = Grants(())
"""Those of a session without subscriptions."""


def _grant_of(subscriptions: Sequence[Subscription]) -> Grant:
    qos = max(subscription.qos for subscription in subscriptions)
    retain_as_published = any(subscription.retain_as_published for subscription in subscriptions)
    ids = [subscription.id for subscription in subscriptions if subscription.id]
    return Grant(qos, retain_as_published, ids) if ids else _plain_grant(qos, retain_as_published)


@functools.cache
def _plain_grant(qos: int, retain_as_published: bool) -> Grant:
    """Without subscription ids there are six."""
    return Grant(qos, retain_as_published, ())


class QueueMaker(Protocol):
    """Who makes a session's queues."""

    def make_queue(self, client: ClientSession) -> Queue:
        """That of QoS 1 and 2; an attached client is its consumer."""

    def make_transient(self, client: ClientSession) -> Queue:
        """That of QoS 0, of an attached client."""


class ClientSession:
    """One session."""

    __slots__ = (
        "_maker",
        "attachment",
        "grants",
        "id",
        "inflight",
        "length_max",
        "lost",
        "no_local",
        "over",
        "queue",
        "queue_subscriptions",
        "row",
        "shard",
        "shares",
        "taken",
        "told",
        "transient",
        "will",
    )

    def __init__(self, row: ClientSessionRow, shard: Shard, length_max: int, maker: QueueMaker) -> None:
        self.row = row
        self.id = row.session_id
        self.shard = shard
        self.length_max = length_max
        """Of the queue of QoS 1 and 2."""
        self.queue: Queue | None = None
        """Of QoS 1 and 2, if it is made; a durable session's is."""
        self.transient: Queue | None = None
        """Of QoS 0, if it is made, while a client is attached."""
        self._maker = maker
        self.attachment: Attachment | None = None
        self.inflight = Inflight()
        self.taken: dict[int, None] = {}
        """Ids of what was published exactly once and is not released, proposed ones included."""
        self.will: Will | None = None
        """Of a session that is not durable."""
        self.over = False
        """Its client left, and it was to last no longer."""
        self.lost = False
        """Its shard is led elsewhere: what is proposed of it here comes to nothing."""
        self.told = False
        """A client was attached to it since it is led here."""
        self.shares = False
        self.no_local = False
        self.grants = NO_GRANTS
        self.queue_subscriptions: Sequence[Subscription] = ()
        """Those that consume from a queue."""

    @property
    def durable(self) -> bool:
        return self.row.durable

    @property
    def connected(self) -> bool:
        return self.attachment is not None

    def open_queue(self) -> Queue:
        if self.queue is None:
            self.queue = self._maker.make_queue(self)
        return self.queue

    def open_transient(self) -> Queue:
        if self.transient is None:
            self.transient = self._maker.make_transient(self)
        return self.transient

    def bound_queue(self, length_max: int) -> None:
        """Its queue keeps so many messages."""
        self.length_max = length_max
        if self.queue is not None:
            self.queue.settings = settings_of(length_max)

    @property
    def queued(self) -> int:
        """Messages that wait for the client, or are on their way to its queues."""
        queues = [queue for queue in (self.queue, self.transient) if queue is not None]
        return sum(queue.ready_count + queue.under_way_count for queue in queues)

    def receive_subscriptions(self, all_subscriptions: Sequence[Subscription]) -> None:
        """They changed."""
        self.queue_subscriptions = tuple(each for each in all_subscriptions if each.queue is not None)
        subscriptions = [each for each in all_subscriptions if each.queue is None]
        self.grants = Grants(subscriptions) if subscriptions else NO_GRANTS
        self.shares = any(each.share is not None for each in subscriptions)
        self.no_local = any(each.no_local for each in subscriptions)

    def receive_asked(self, known: Sequence[Subscription], asked: Sequence[Subscription]) -> None:
        """Its client asks for these beside or instead of what it has: messages may come by them before it is answered,
        from nodes that know of them earlier."""
        again = {(each.share, each.filter) for each in asked}
        kept = [each for each in known if (each.share, each.filter) not in again]
        self.grants = Grants([each for each in (*kept, *asked) if each.queue is None])

    def restore_ids(self, ids: PacketIdState) -> None:
        """From the log, at the start."""
        self.taken = dict.fromkeys(ids.taken)
        self.inflight.restore_owed(PacketIds.of(list(ids.owed)))

    def propose(self, command: ClientCommand) -> int:
        """Into the log of its shard; a number for ``when_logged``.  Another leader never hears of it."""
        return self.shard.decide(encode_client_command(command))

    def accept(self, messages: MessageRun, outbox: int, command: ClientCommand) -> int:
        """The same, with messages that go into an outbox of its shard in one wave with it."""
        return self.shard.decide_with(messages, outbox, encode_client_command(command))

    def when_logged(self, number: int, finish: Callable[[], None]) -> None:
        """Finishes once the log has what was proposed under this number; never, if it was lost with the leadership."""
        self.shard.when_applied(number, Waiter(lambda: None if self.lost else finish()))

    def settle(self, ranges: Sequence[tuple[int, int]]) -> None:
        """The client has these."""
        for first, last in ranges:
            self.shard.kernel.settle(self.row.queue_id, first, last, ACCEPTED)

    def come_back(self) -> list[tuple[int, int, int]]:
        """What was sent and not acknowledged is to be sent again, flagged; (queue, first, last) of other queues."""
        sent, foreign = self.inflight.take_sent()
        if not self.lost:
            for first, last in sent:
                self.shard.kernel.give_back(self.row.queue_id, first, last)
        return foreign
