"""A client's consumer of a queue that it subscribed to as ``$queue/<name>``, beside the queue's other consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.consumer import UNBOUNDED, Consumer
from broker.model.client_sessions import DeliverPublishes
from broker.model.names import ConsumerTag
from kernel import DeliveryRun, Grant
from routing.subscriptions import Subscription

if TYPE_CHECKING:
    from broker.core.attachment import Attachment

NO_TAG = ConsumerTag("")
QOS_MAX = 1


class QueueReader:
    """While the client is connected and subscribed.  QoS 0: what is sent counts as acknowledged."""

    __slots__ = ("_attachment", "consumer", "grant", "subscription")

    def __init__(self, attachment: Attachment, subscription: Subscription, queue_id: int) -> None:
        self._attachment = attachment
        self.subscription = subscription
        qos = min(subscription.qos, QOS_MAX)
        ids = [subscription.id] if subscription.id else []
        self.grant = Grant(qos, subscription.retain_as_published, ids)
        self.consumer = Consumer(self, 0, 0, NO_TAG, queue_id, qos == 0, False, None)

    @property
    def room(self) -> int:
        return self._attachment.front.room

    def deliver(
        self, consumer: Consumer, deliveries: DeliveryRun, sequences: list[tuple[int, int]], count: int, size: int
    ) -> None:
        attachment = self._attachment
        if consumer.no_ack:
            attachment.send(DeliverPublishes(deliveries, None, self.grant), count, size)
        else:
            attachment.receive_shared(self, deliveries, sequences, size)

    @property
    def holds(self) -> bool:
        """Its client has something of the queue to acknowledge."""
        held = self._attachment.held
        return held is not None and any(queue_id == self.consumer.queue_id for queue_id, _, _ in held)

    def starve(self, consumer: Consumer) -> None:
        self._attachment.starve(consumer)

    def channel_credit(self, consumer: Consumer) -> int:
        return UNBOUNDED if consumer.no_ack else self._attachment.credit

    def lose_consumer(self, consumer: Consumer) -> None:
        """The queue is gone."""
        self._attachment.lose_reader(self.subscription)
