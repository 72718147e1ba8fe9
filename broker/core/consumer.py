"""A consumer as its queue knows it: who it is, how much it may be handed, and where to."""

from __future__ import annotations

from typing import Protocol

from broker.model.names import ConsumerTag
from kernel import DeliveryRun

UNBOUNDED = 1 << 62
"""Credit without a bound."""


class Outlet(Protocol):
    """The front's end of a consumer's deliveries."""

    @property
    def room(self) -> int:
        """Bytes that may be handed over before output has drained; may go below 0 by one run."""

    def deliver(
        self, consumer: Consumer, deliveries: DeliveryRun, sequences: list[tuple[int, int]], count: int, size: int
    ) -> None:
        """Hands over a run whose messages have these sequences, given as first and last."""

    def starve(self, consumer: Consumer) -> None:
        """The consumer waits for room: its queue is to be told when there is some."""

    def lose_consumer(self, consumer: Consumer) -> None:
        """The queue is gone."""

    def channel_credit(self, consumer: Consumer) -> int:
        """What the consumer's channel may still be handed."""


class Consumer:
    """One reader of one queue."""

    __slots__ = (
        "channel",
        "credit",
        "exclusive",
        "fence",
        "holds",
        "no_ack",
        "number",
        "outlet",
        "priority",
        "queue_id",
        "tag",
    )

    def __init__(
        self,
        outlet: Outlet,
        channel: int,
        number: int,
        tag: ConsumerTag,
        queue_id: int,
        no_ack: bool,
        exclusive: bool,
        credit: int | None,
        priority: int = 0,
        fence: int = 0,
    ) -> None:
        self.outlet = outlet
        self.channel = channel
        self.number = number
        """The front's number for it, within its channel."""
        self.tag = tag
        self.queue_id = queue_id
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.priority = priority
        """Higher ones are served first, as long as they have credit."""
        self.fence = fence
        """When it last became its queue's single active consumer: whoever did later has a higher number.  0: never."""
        self.holds = False
        """It comes from another leader with messages that it was handed there."""
        self.credit = UNBOUNDED if credit is None or no_ack else credit
