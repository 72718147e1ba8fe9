"""A client session's end at its connection: the outlet of its two queues, and of those it shares with others.

What is unacknowledged of all of them counts against the one Receive Maximum (MQTT 5 section 4.9).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from broker.core.client_session import QOS_0, QOS_2, ClientSession
from broker.core.consumer import UNBOUNDED, Consumer
from broker.core.held_ranges import HeldRanges
from broker.core.outcomes import Refused
from broker.core.queue import Queue
from broker.core.queue_reader import QueueReader
from broker.core.replicated_shard import ReplicatedShard
from broker.core.shard import Shard
from broker.model.client_sessions import DeliverPublishes
from broker.model.commands import Outcome
from broker.model.names import ConsumerTag
from kernel import DeliveryRun, Grant, PacketIds
from routing.subscriptions import Subscription

if TYPE_CHECKING:
    from broker.core.front import ClientFront

NO_TAG = ConsumerTag("")
Ranges: TypeAlias = list[tuple[int, int]]


class Delivered(NamedTuple):
    """What came of a queue that the client shares with others."""

    reader: QueueReader
    deliveries: DeliveryRun
    sequences: Ranges
    size: int


class Attachment:
    """While a client is connected."""

    __slots__ = ("_kept", "_readers", "_receive_max", "client", "front", "held", "persistent", "transient")

    def __init__(self, client: ClientSession, front: ClientFront, receive_max: int) -> None:
        self.client = client
        self.front = front
        self._receive_max = receive_max
        self.persistent: Consumer | None = None
        """Of the queue of QoS 1 and 2, once that is served."""
        self.transient: Consumer | None = None
        self._readers: dict[str, QueueReader] | None = None
        """By their filters; None: there never was one."""
        self.held: HeldRanges | None = None
        """Of other queues, what was delivered and is not settled; None: nothing ever was."""
        self._kept: deque[Delivered] | None = None
        """Of queues that are led elsewhere, what came beyond what may be sent: each was allowed all that might."""

    def serve(self, queue: Queue) -> None:
        """The client is sent what is in the session's queue of QoS 1 and 2."""
        self.persistent = self._consumer(queue.id, False)
        queue.add_consumer(self.persistent)

    def serve_transient(self, queue: Queue) -> None:
        """And what is in that of QoS 0."""
        self.transient = self._consumer(queue.id, True)
        queue.add_consumer(self.transient)

    def _consumer(self, queue_id: int, no_ack: bool) -> Consumer:
        return Consumer(self, 0, 0, NO_TAG, queue_id, no_ack, True, None)

    @property
    def credit(self) -> int:
        """How many more may be sent before the client acknowledges some."""
        kept = sum(each.deliveries.count for each in self._kept) if self._kept else 0
        return max(self._receive_max - self.client.inflight.outstanding - kept, 0)

    @property
    def room(self) -> int:
        return self.front.room

    def deliver(
        self, consumer: Consumer, deliveries: DeliveryRun, sequences: list[tuple[int, int]], count: int, size: int
    ) -> None:
        persistent = consumer is self.persistent
        packet_ids: PacketIds | None = self.client.inflight.push(sequences) if persistent else None
        grants = self.client.grants
        asked: Grant | list[Grant] | None = grants.only
        if asked is None:
            unmatched = QOS_2 if persistent else QOS_0
            asked = [grants.find(topic) or unmatched for topic in deliveries.topics()]
        self.send(DeliverPublishes(deliveries, packet_ids, asked), count, size)

    def send(self, reply: DeliverPublishes, count: int, size: int) -> None:
        front = self.front
        front.room -= size
        traffic = front.traffic
        traffic.sent += count
        traffic.sent_size += reply.deliveries.size
        front.say(reply)

    def starve(self, consumer: Consumer) -> None:
        self.front.starve(consumer)

    def channel_credit(self, consumer: Consumer) -> int:
        """No more than there are packet ids."""
        if consumer is not self.persistent:
            return UNBOUNDED
        return min(self.credit, self.client.inflight.room(self.next_sequence))

    @property
    def next_sequence(self) -> int:
        """What is sent next of the session's own queue has this one or a later one."""
        return self.client.shard.kernel.ready_from(self.client.row.queue_id)

    def lose_consumer(self, consumer: Consumer) -> None:
        """Its queue goes with the session, which says so itself."""

    def send_more(self) -> None:
        """Some were acknowledged, so that others may be sent."""
        self._send_kept()
        if self.persistent is not None:
            self.client.shard.dirty[self.persistent.queue_id] = None
        if self._readers:
            self.front.back.mark_dirty(reader.consumer.queue_id for reader in self._readers.values())

    # ---- queues shared with others

    def start(
        self, subscription: Subscription, shard: Shard, queue: Queue, answer: Callable[[Refused | None], None]
    ) -> None:
        """Consumes from the queue as this says; no longer as the same filter's subscription said before.

        Answers once the queue's leader has the consumer, or will not have it.
        """
        reader = QueueReader(self, subscription, queue.id)
        forwarding = self.front.back.forwarding
        if forwarding is None or not isinstance(shard, ReplicatedShard):
            queue.add_consumer(reader.consumer)
            shard.dirty[queue.id] = None
            self._begin(reader)
            answer(None)
            return

        def receive(refused: Refused | None) -> None:
            wanted = self.client.attachment is self and subscription in self.client.queue_subscriptions
            if refused is None and wanted:
                self._begin(reader)
            elif refused is None:
                self.front.back.remove_consumer(reader.consumer)
            answer(refused)

        forwarding.front.consume(shard, reader.consumer, receive)

    def _begin(self, reader: QueueReader) -> None:
        """It is there before another leaves: a queue may go with its last consumer."""
        filter = reader.subscription.filter
        self.stop(filter)
        if self._readers is None:
            self._readers = {}
        self._readers[filter] = reader

    def stop(self, filter: str) -> None:
        """What was sent may still be acknowledged (MQTT 5 section 3.10.4)."""
        reader = self._readers.pop(filter, None) if self._readers else None
        if reader is None:
            return
        back = self.front.back
        back.remove_consumer(reader.consumer)
        for each in [each for each in self._kept or () if each.reader is reader]:
            assert self._kept is not None
            self._kept.remove(each)
            for first, last in each.sequences:
                back.settle(reader.consumer.queue_id, first, last, Outcome.REQUEUED)
                self.settled(reader.consumer.queue_id, first, last)

    def receive_shared(self, reader: QueueReader, deliveries: DeliveryRun, ranges: Ranges, size: int) -> None:
        """Messages of a queue that the client shares with others, to be acknowledged."""
        if self.held is None:
            self.held = HeldRanges()
        for first, last in ranges:
            self.held.add(reader.consumer.queue_id, first, last)
        delivered = Delivered(reader, deliveries, ranges, size)
        if self._kept or deliveries.count > self.credit:
            if self._kept is None:
                self._kept = deque()
            self._kept.append(delivered)
        else:
            self._send_shared(delivered)

    def _send_kept(self) -> None:
        while self._kept and self._kept[0].deliveries.count <= self._receive_max - self.client.inflight.outstanding:
            self._send_shared(self._kept.popleft())

    def _send_shared(self, delivered: Delivered) -> None:
        reader, deliveries, ranges, size = delivered
        packet_ids = self.client.inflight.push_foreign(reader.consumer.queue_id, ranges, self.next_sequence)
        self.send(DeliverPublishes(deliveries, packet_ids, reader.grant), deliveries.count, size)

    def settled(self, queue_id: int, first: int, last: int) -> None:
        if self.held is not None:
            self.held.remove(queue_id, first, last)

    def stop_all(self) -> None:
        for filter in list(self._readers or ()):
            self.stop(filter)

    def subscription_read(self, filter: str) -> Subscription | None:
        """What it consumes by at present."""
        reader = self._readers.get(filter) if self._readers else None
        return None if reader is None else reader.subscription

    def lose_reader(self, subscription: Subscription) -> None:
        """The queue is gone, and the subscription with it; MQTT has no word for that."""
        assert self._readers is not None
        del self._readers[subscription.filter]
        self.front.back.clients.drop_subscription(self.client, subscription)
