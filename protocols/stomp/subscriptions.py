"""The subscriptions of one connection.

Each has a channel of the core of its own, so that "all so far" is what its client was sent by it.  A message's id has
the channel's number, so numbers come again as late as can be: an ACK for what is long gone is not taken for another.
"""

from __future__ import annotations

from broker.model.commands import Outcome, Settle
from broker.model.names import Channel, ConsumerTag, DeliveryTag, QueueName
from kernel import StompSubscription
from protocols.stomp.subscribing import AckMode, Subscribing
from protocols.stomp.version import Version
from protocols.stomp.violation import ProtocolViolation

CHANNEL_MAX = 65_535
"""Of the core's channels; 0 is the connection's own."""


class Subscription:
    """One subscription, from SUBSCRIBE until the core has closed its channel."""

    __slots__ = (
        "asked",
        "channel",
        "consuming",
        "encoder",
        "last_tag",
        "receipt",
        "receipt_id",
        "started",
        "unsubscribed",
        "unsubscribing",
    )

    def __init__(self, asked: Subscribing, channel: Channel, encoder: StompSubscription) -> None:
        self.asked = asked
        self.channel = channel
        self.encoder = encoder
        self.last_tag = 0
        """Of what it was sent."""
        self.started = False
        """The core was asked to consume."""
        self.consuming = False
        """The core said that it does."""
        self.unsubscribing = False
        self.receipt: int | None = None
        """The number of the receipt that SUBSCRIBE asked for, ..."""
        self.receipt_id = b""
        """... what it is, for an ERROR in its place, ..."""
        self.unsubscribed: int | None = None
        """... and the number of UNSUBSCRIBE's, due once the channel is closed."""

    @property
    def wants_ack(self) -> bool:
        return self.asked.ack is not AckMode.AUTO

    @property
    def consumer_tag(self) -> ConsumerTag:
        return ConsumerTag(self.asked.key)

    def settle(self, first: int, last: int, outcome: Outcome) -> Settle:
        """For the messages that are named, or all up to the last."""
        if self.asked.ack is AckMode.CLIENT:
            first = 0
        return Settle(self.channel, DeliveryTag(first), DeliveryTag(last), outcome)


class Subscriptions:
    """Found by what the client calls them, and by channel."""

    def __init__(self, session: str, version: Version, count_max: int) -> None:
        self._session = session.encode()
        self._version = version
        self._count_max = min(count_max, CHANNEL_MAX)
        self._last_channel = 0
        self._by_key: dict[str, Subscription] = {}
        self._by_channel: dict[int, Subscription] = {}
        self._reply_queues: dict[str, QueueName] = {}

    def next_name(self, prefix: str) -> str:
        """A name for the next subscription's queue, which nobody else gives to one."""
        return f"{prefix}{self._session.decode()}-{self._next_channel()}"

    def _next_channel(self) -> int:
        number = self._last_channel % CHANNEL_MAX + 1
        while number in self._by_channel:
            number = number % CHANNEL_MAX + 1
        return number

    def add(self, asked: Subscribing) -> Subscription:
        """Raises ProtocolViolation."""
        if asked.key in self._by_key:
            detail = f"there is a subscription '{asked.id if asked.id is not None else asked.destination}' already"
            raise ProtocolViolation("Duplicated subscription identifier", detail)
        if len(self._by_channel) >= self._count_max:
            detail = f"a connection may have {self._count_max}; unsubscribe, or open another connection"
            raise ProtocolViolation("Too many subscriptions", detail)
        number = self._last_channel = self._next_channel()
        id = None if asked.id is None else asked.id.encode()
        wants_ack = asked.ack is not AckMode.AUTO
        encoder = StompSubscription(id, number, self._session, self._version, wants_ack)
        subscription = Subscription(asked, Channel(number), encoder)
        self._by_key[asked.key] = self._by_channel[number] = subscription
        return subscription

    def find(self, key: str) -> Subscription | None:
        """One that the client has not unsubscribed."""
        return self._by_key.get(key)

    def addressed(self, channel: int) -> Subscription | None:
        """The one that a reply of the core's is for; None if its time is over."""
        return self._by_channel.get(channel)

    def unsubscribe(self, subscription: Subscription) -> None:
        """The client has no more of it; its channel is still the core's."""
        subscription.unsubscribing = True
        del self._by_key[subscription.asked.key]

    def remove(self, subscription: Subscription) -> None:
        """The core has closed its channel, or never opened it."""
        del self._by_channel[subscription.channel]

    def acknowledged(self, channel: int, last_tag: int) -> tuple[Subscription, int]:
        """The subscription that an ACK or NACK is for, and how far its tags go.  Raises ProtocolViolation."""
        subscription = self._by_channel.get(channel)
        if subscription is None or subscription.unsubscribing:
            raise ProtocolViolation("Message not found", "its subscription is not there, or not any more")
        if not subscription.wants_ack:
            raise ProtocolViolation("Message not found", "a subscription with ack:auto has nothing to acknowledge")
        return subscription, min(last_tag, subscription.last_tag)
