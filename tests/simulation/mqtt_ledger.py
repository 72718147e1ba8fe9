"""What MQTT clients know, and what it forbids (invariants M1 to M9 of ``docs/simulation.md``).

A *life* is one session of a subscriber, from its SUBACK until it is known to be over.  As the AMQP ledger, this one
hears of everything when a client does or sees it, and never asks the broker.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tests.simulation.ledger import Broken, Ledger
from tests.simulation.ledger import Message as AmqpMessage
from tests.simulation.plan import EXACT, EXACT_TOPICS, LEAST_TOPICS, RETAINED_TOPICS


class Message(msgspec.Struct):
    """A publish, be it by MQTT or by AMQP."""

    id: int
    topic: str
    qos: int
    body: bytes
    publisher: str
    """Of which messages of one QoS are in order."""
    place: int
    retain: bool = False
    send_count: int = 0
    confirmed: bool = False
    copy: AmqpMessage | None = None
    """What the AMQP ledger knows of it, or knew first."""
    may_expire: bool = False
    bound: bool = False
    """The AMQP queues were there when it was sent."""

    @property
    def safe(self) -> bool:
        """It was acknowledged, and may not be lost."""
        return self.confirmed or (self.copy is not None and self.copy.confirmed)

    @property
    def text(self) -> str:
        return f"message {self.id} to {self.topic} at QoS {self.qos}"


class Life:
    """One session of a subscriber."""

    def __init__(self, name: str, filters: list[tuple[str, int]], durable: bool) -> None:
        self.name = name
        self.filters = filters
        self.durable = durable
        self.ended = False
        self.since: int | None = None
        """The last message that was sent before SUBACK came; None: it has not."""
        self.seen: dict[int, int] = {}
        """How often a message was taken."""
        self.ids: dict[int, int] = {}
        """The packet ids of messages that were sent once: they keep them."""
        self.places: dict[tuple[str, int], int] = {}
        """Of the last new message, by (publisher, QoS)."""

    def granted(self, message: Message) -> int:
        """At which QoS it comes at most; -1: not at all."""
        asked = max((qos for filter, qos in self.filters if matches(filter, message.topic)), default=-1)
        return min(asked, message.qos)


def matches(filter: str, topic: str) -> bool:
    """MQTT 5, 4.7, on strings; nothing here begins with ``$``."""
    wanted, levels = filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(want in ("+", level) for want, level in zip(wanted, levels, strict=True))


class MqttLedger:
    """Everything all MQTT clients of one simulation know."""

    def __init__(self, amqp: Ledger) -> None:
        self._amqp = amqp
        self.expired_somewhere: Callable[[Message], bool] = lambda message: False
        """In a cluster: one leader's clock may have let it expire, and the next one's not."""
        self.clean_may_miss = False
        """In a cluster: who does not hear a clean session's node routes without it; what is sent again comes late."""
        self.messages: dict[int, Message] = {}
        self.lives: list[Life] = []
        self.arrived: set[int] = set()
        """At the AMQP queue of what is published at least once."""
        self.retained: dict[str, Message | None] = {}
        """What the one who came last was sent."""
        self.taken_count = 0

    # ---- publishing

    def publish(self, message: Message) -> None:
        """It is sent for the first time."""
        self.messages[message.id] = message
        if message.topic.startswith(EXACT_TOPICS):
            message.copy = AmqpMessage(
                message.id, message.body, message.publisher, message.place, True, None, (EXACT,), self._amqp.restarts, 0
            )  # fmt: skip
            self._amqp.publish(message.copy)

    def confirm(self, message: Message) -> None:
        """PUBACK or PUBREC came; PUBREC may come again."""
        message.confirmed = True
        if message.copy is not None and message.bound and not message.copy.confirmed:
            self._amqp.confirm(message.copy)

    def publish_amqp(self, topic: str, copy: AmqpMessage) -> None:
        """An AMQP client sends what subscribers may get."""
        self.messages[copy.id] = Message(
            copy.id, topic, int(copy.persistent), copy.body, copy.publisher, copy.place, send_count=1, copy=copy,
            may_expire=copy.expiration_ms is not None,
        )  # fmt: skip

    # ---- delivering

    def find(self, topic: str, body: bytes) -> Message:
        number = body.split(b":", 1)[0]
        message = self.messages.get(int(number)) if number.isdigit() else None
        if message is None:
            raise Broken("M8", f"{topic} delivered {body[:40]!r}, which nobody sent")
        if message.topic != topic or message.body != body:
            raise Broken("M8", f"{message.text} came as {body[:40]!r} of {topic}")
        return message

    def take(self, life: Life, message: Message, qos: int) -> None:
        """A subscriber takes it: a QoS 2 message whose id it remembers it would not."""
        granted = life.granted(message)
        if qos != granted:
            raise Broken("M8", f"{life.name} got {message.text} at QoS {qos}, not {granted}")
        count = life.seen[message.id] = life.seen.get(message.id, 0) + 1
        self.taken_count += 1
        if count > 1:
            if qos == 2:
                raise Broken("M1", f"{life.name} got {message.text} {count} times")
            return
        if life.since is None or message.id <= life.since:
            return  # what was sent before it was subscribed to may come when it is sent again, and later
        if self.expired_somewhere(message):
            return  # its turn was passed over
        if self.clean_may_miss and not life.durable and message.send_count > 1:
            return
        key = (message.publisher, message.qos)
        if life.places.get(key, -1) >= message.place:
            raise Broken("M3", f"{life.name} got {message.text} after a later one of {message.publisher}")
        life.places[key] = message.place

    def receive_amqp(self, body: bytes) -> None:
        """What is published at least once arrives at its AMQP queue."""
        number = int(body.split(b":", 1)[0])
        if self.messages[number].body != body:
            raise Broken("M8", f"{body[:40]!r} arrived, which nobody sent")
        self.arrived.add(number)
        self.taken_count += 1

    # ---- the end

    def finish(self) -> None:
        """Nothing that was acknowledged is missing anywhere (M2), and what is retained is the last (M7)."""
        for message in self.messages.values():
            if not message.safe:
                continue
            if message.topic.startswith(LEAST_TOPICS) and message.bound and message.id not in self.arrived:
                raise Broken("M2", f"{message.text} was acknowledged and did not arrive at the AMQP queue")
            for life in self.lives:
                self._check_arrived(life, message)
        self._check_retained()

    def _check_arrived(self, life: Life, message: Message) -> None:
        if life.ended or not life.durable or life.since is None or life.since >= message.id:
            return
        if not message.body or message.may_expire:
            return
        if life.granted(message) > 0 and message.id not in life.seen:
            raise Broken("M2", f"{message.text} was acknowledged and is lost to {life.name}")

    def _check_retained(self) -> None:
        sent: dict[str, list[Message]] = {}
        for message in self.messages.values():
            if message.topic.startswith(RETAINED_TOPICS):
                sent.setdefault(message.topic, []).append(message)
        for topic, messages in sent.items():
            safe = [index for index, message in enumerate(messages) if message.safe]
            possible: list[Message | None] = [*messages[safe[-1] if safe else 0 :]]
            if not safe or any(message is not None and not message.body for message in possible):
                possible.append(None)
            found = self.retained.get(topic)
            if found is not None and not found.body:
                raise Broken("M7", f"an empty message is retained for {topic}")
            if not any(found is message for message in possible) or (found is None and None not in possible):
                ids = [message and message.id for message in possible]
                raise Broken("M7", f"retained for {topic} is {found and found.id}, not one of {ids}")
