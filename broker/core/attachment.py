"""A client session's end at its connection: the outlet of its two queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.client_session import QOS_0, QOS_2, ClientSession
from broker.core.consumer import UNBOUNDED, Consumer
from broker.core.queue import Queue
from broker.model.client_sessions import DeliverPublishes
from broker.model.names import ConsumerTag
from kernel import DeliveryRun, Grant, PacketIds

if TYPE_CHECKING:
    from broker.core.front import ClientFront

NO_TAG = ConsumerTag("")


class Attachment:
    """While a client is connected."""

    __slots__ = ("_receive_max", "client", "front", "persistent", "transient")

    def __init__(self, client: ClientSession, front: ClientFront, receive_max: int) -> None:
        self.client = client
        self.front = front
        self._receive_max = receive_max
        self.persistent: Consumer | None = None
        """Of the queue of QoS 1 and 2, once that is served."""
        self.transient: Consumer | None = None

    def serve(self, queue: Queue) -> None:
        """The client is sent what is in the session's queue of QoS 1 and 2."""
        credit = max(self._receive_max - self.client.inflight.outstanding, 0)
        self.persistent = self._consumer(queue.id, False, credit)
        queue.add_consumer(self.persistent)

    def serve_transient(self, queue: Queue) -> None:
        """And what is in that of QoS 0."""
        self.transient = self._consumer(queue.id, True, None)
        queue.add_consumer(self.transient)

    def _consumer(self, queue_id: int, no_ack: bool, credit: int | None) -> Consumer:
        return Consumer(self, 0, 0, NO_TAG, queue_id, no_ack, True, credit)

    @property
    def room(self) -> int:
        return self.front.room

    def deliver(
        self, consumer: Consumer, deliveries: DeliveryRun, sequences: list[tuple[int, int]], count: int, size: int
    ) -> None:
        front = self.front
        front.room -= size
        traffic = front.back.traffic
        traffic.sent += count
        traffic.sent_size += deliveries.size
        persistent = consumer is self.persistent
        packet_ids: PacketIds | None = self.client.inflight.push(sequences) if persistent else None
        grants = self.client.grants
        asked: Grant | list[Grant] | None = grants.only
        if asked is None:
            unmatched = QOS_2 if persistent else QOS_0
            asked = [grants.find(topic) or unmatched for topic in deliveries.topics()]
        front.say(DeliverPublishes(deliveries, packet_ids, asked))

    def starve(self, consumer: Consumer) -> None:
        self.front.starve(consumer)

    def channel_credit(self, consumer: Consumer) -> int:
        """No more than there are packet ids."""
        if consumer is not self.persistent:
            return UNBOUNDED
        first = self.client.shard.kernel.first_ready(consumer.queue_id)
        return UNBOUNDED if first is None else self.client.inflight.room(first)

    def lose_consumer(self, consumer: Consumer) -> None:
        """Its queue goes with the session, which says so itself."""

    def give_credit(self, count: int) -> None:
        """So many may be sent again."""
        assert self.persistent is not None, "what was sent came from there"
        self.persistent.credit += count
        self.client.shard.dirty[self.persistent.queue_id] = None
