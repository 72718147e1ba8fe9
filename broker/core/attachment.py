"""A client session's end at its connection: the outlet of its two queues, and of those it shares with others.

What is unacknowledged of all of them counts against the one Receive Maximum (MQTT 5 section 4.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.client_session import QOS_0, QOS_2, ClientSession
from broker.core.consumer import UNBOUNDED, Consumer
from broker.core.queue import Queue
from broker.core.queue_reader import QueueReader
from broker.core.shard import Shard
from broker.model.client_sessions import DeliverPublishes
from broker.model.names import ConsumerTag
from kernel import DeliveryRun, Grant, PacketIds
from routing.subscriptions import Subscription

if TYPE_CHECKING:
    from broker.core.front import ClientFront

NO_TAG = ConsumerTag("")


class Attachment:
    """While a client is connected."""

    __slots__ = ("_readers", "_receive_max", "client", "front", "persistent", "transient")

    def __init__(self, client: ClientSession, front: ClientFront, receive_max: int) -> None:
        self.client = client
        self.front = front
        self._receive_max = receive_max
        self.persistent: Consumer | None = None
        """Of the queue of QoS 1 and 2, once that is served."""
        self.transient: Consumer | None = None
        self._readers: dict[str, QueueReader] | None = None
        """By their filters; None: there never was one."""

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
        return max(self._receive_max - self.client.inflight.outstanding, 0)

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
        if self.persistent is not None:
            self.client.shard.dirty[self.persistent.queue_id] = None
        if self._readers:
            self.front.back.mark_dirty(reader.consumer.queue_id for reader in self._readers.values())

    # ---- queues shared with others

    def start(self, subscription: Subscription, shard: Shard, queue: Queue) -> None:
        """Consumes from the queue as this says; no longer as the same filter's subscription said before."""
        reader = QueueReader(self, subscription, queue.id)
        queue.add_consumer(reader.consumer)  # before the other leaves: a queue may go with its last consumer
        shard.dirty[queue.id] = None
        self.stop(subscription.filter)
        if self._readers is None:
            self._readers = {}
        self._readers[subscription.filter] = reader

    def stop(self, filter: str) -> None:
        """What was sent may still be acknowledged (MQTT 5 section 3.10.4)."""
        reader = self._readers.pop(filter, None) if self._readers else None
        if reader is not None:
            self.front.back.remove_consumer(reader.consumer)

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
