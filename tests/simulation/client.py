"""A client: a connection in the hands of a script.

A script is a generator.  It sends what it likes and yields ``None`` for a pause, or the kinds of method it waits for,
one of which it is then given.  Deliveries, confirms and the like come beside it, to the client's own methods.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import TypeAlias

from protocols.amqp.method_codec import PROTOCOL_HEADER
from protocols.amqp.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUnblocked,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
)
from tests.simulation.ledger import Broken, Copy, Ledger, Life, Message, Outcome
from tests.simulation.link import Link
from tests.simulation.link_end import LinkEnd
from tests.simulation.mqtt_ledger import MqttLedger
from tests.simulation.plan import DEAD, DEATHS, EVERYONE, EXACT, EXACT_TOPICS, EXCHANGE, LEAST, LEAST_TOPICS, Plan
from tests.simulation.trace import Trace
from tests.simulation.wire import Incoming, Received, content, headers, method, properties

Script: TypeAlias = Generator[tuple[type[Method], ...] | None, Received, None]
CAPABILITIES = {
    name: True
    for name in ("authentication_failure_close", "basic.nack", "connection.blocked", "consumer_cancel_notify")
}
FRAME_SIZE_MAX = 4096
UNCONFIRMED_COUNT_MAX = 200
TOPICS = "amq.topic"
"""The exchange that MQTT publishes to."""


class World:
    """What clients of one simulation share."""

    def __init__(self, plan: Plan, random: random.Random, trace: Trace, now_ms: Callable[[], int]) -> None:
        self.plan = plan
        self.random = random
        self.trace = trace
        self.ledger = Ledger(plan)
        self.mqtt = MqttLedger(self.ledger) if plan.mqtt else None
        self.now_ms = now_ms
        self.healing = False
        """No more chaos: who has a choice comes to an end."""
        self.full = False
        """The disk is, and publishers have been told."""
        self.drained = False
        """Every queue is empty."""
        self.declared = False
        """All queues and what leads to them."""
        self.bound = False
        """The queues of what MQTT clients publish are there."""
        self.last_id = 0

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id


class Channel:
    """A channel as its client knows it."""

    def __init__(self, number: int, life: Life) -> None:
        self.number = number
        self.life = life
        self.queues: dict[str, tuple[str, bool]] = {}
        """By consumer tag: the queue, and whether nothing is acked."""
        self.unsettled: dict[int, Copy] = {}
        self.unconfirmed: dict[int, Message] = {}
        self.last_tag = 0
        self.place = 0
        self.getting = ("", False)
        self.closing = False
        self.recovering = False
        """Everything unsettled was asked for again, and what comes before the answer is part of it."""


class Client(LinkEnd[Received]):
    """One client; it connects again after whatever ended its connection."""

    protocol = "amqp"

    def __init__(self, name: str, world: World, script: Callable[[Client], Script]) -> None:
        self.name = name
        self.world = world
        self.channels: dict[int, Channel] = {}
        self.deaf_until_us = 0
        self.blocked = False
        self._make_script = script
        self._script: Script | None = None
        self._waiting: tuple[type[Method], ...] | None = None
        self._incoming = Incoming()
        self._connections = 0
        self._lives = 0

    # ---- the connection

    def begin(self, link: Link) -> None:
        """It is connected."""
        self.link = link
        link.cut_off = self._receive_cut
        self._connections += 1
        self._incoming = Incoming()
        self._script = self._make_script(self)
        self._waiting = None
        self.blocked = False

    @property
    def idle(self) -> bool:
        """It has nothing more to say or to hear."""
        return self.link is None

    @property
    def wants_link(self) -> bool:
        """In the end there is one who drains."""
        return not self.world.healing or self.name == "drainer"

    def act(self) -> None:
        """Goes on with its script, unless that waits for something."""
        if self._script is not None and self._waiting is None:
            self._resume(None)

    def _resume(self, received: Received | None) -> None:
        script = self._script
        assert script is not None
        try:
            self._waiting = script.send(received)  # type: ignore[arg-type]
        except StopIteration:
            if self._script is script:
                self.lose()

    def lose(self) -> None:
        """The connection is over, for whatever reason; nothing more is sent or read."""
        self.leave_link()
        self._script = None
        for channel in self.channels.values():
            self._end(channel)
        self.channels.clear()

    def _receive_cut(self) -> None:
        """The node has given the connection up: what it had delivered comes back, seen or not."""
        for channel in self.channels.values():
            self._end(channel)

    def _end(self, channel: Channel) -> None:
        for queue, _ in channel.queues.values():
            self.world.ledger.disturb(queue)
        if channel.getting[0]:
            self.world.ledger.disturb(channel.getting[0])
        self.world.ledger.end(channel.life)

    def send(self, channel: int, value: Method) -> None:
        self.send_bytes(method(channel, value))

    def _receive(self, received: Received) -> None:
        if self._waiting is not None and isinstance(received.method, self._waiting):
            self._waiting = None
            if isinstance(received.method, BasicGetOk):
                self._receive_delivery(received)
            self._resume(received)
            return
        handler = _HANDLERS.get(type(received.method))
        if handler is None:
            raise Broken("I26", f"{self.name} was told {received.method} and waits for {self._waiting}")
        handler(self, received)

    # ---- what comes by itself

    def _receive_delivery(self, received: Received) -> None:
        channel = self.channels.get(received.channel)
        if channel is None or channel.closing:
            return
        told = received.method
        assert isinstance(told, BasicDeliver | BasicGetOk)
        channel.last_tag += 1
        if told.delivery_tag != channel.last_tag:
            raise Broken("I14", f"{self.name} got delivery tag {told.delivery_tag}, not {channel.last_tag}")
        if isinstance(told, BasicDeliver):
            consumer = told.consumer_tag
            if consumer.startswith("taste"):
                return
            if consumer == LEAST:
                assert self.world.mqtt is not None
                self.world.mqtt.receive_amqp(received.body)
                # Without acknowledgements what is on its way goes with its queue's leader.
                self.send(received.channel, BasicAck(told.delivery_tag))
                return
            queue, blind = channel.queues[consumer]
        else:
            consumer = "get"
            queue, blind = channel.getting
        if channel.life.ended or (channel.recovering and not blind):
            return
        source = ""
        if queue == DEAD:
            death = headers(received.properties)
            source = str(death["x-first-death-queue"])
        ledger = self.world.ledger
        copy = ledger.deliver(channel.life, consumer, queue, received.body, source, told.redelivered, blind)
        if source and death["x-first-death-reason"] == "expired":
            ledger.check_expired(copy, self.world.now_ms())
        if not blind:
            channel.unsettled[told.delivery_tag] = copy
        self.world.trace.note(
            f"{self.name} got {copy.message.id} of {queue}{' again' * told.redelivered} as {told.delivery_tag}"
        )

    def _receive_confirm(self, received: Received) -> None:
        channel = self.channels.get(received.channel)
        if channel is None or channel.closing:
            return
        told = received.method
        assert isinstance(told, BasicAck | BasicNack)
        first = 0 if told.multiple else told.delivery_tag
        tags = [tag for tag in channel.unconfirmed if first <= tag <= told.delivery_tag]
        if not tags:
            raise Broken("I10", f"{self.name} got a confirm of {told.delivery_tag}, which it does not wait for")
        for tag in tags:
            message = channel.unconfirmed.pop(tag)
            if isinstance(told, BasicAck):
                self.world.ledger.confirm(message)
            else:
                self.world.ledger.refuse(message)
        self.world.trace.note(f"{self.name} confirmed {tags[0]}..{tags[-1]} {type(told).__name__}")

    def _receive_close(self, received: Received) -> None:
        told = received.method
        assert isinstance(told, ConnectionClose)
        if told.reply_code != 320:  # CONNECTION_FORCED: the broker is stopped
            raise Broken("I26", f"{self.name} was told {told}")
        self.send(0, ConnectionCloseOk())
        self.world.trace.note(f"{self.name} was told to go")
        self._script, self._waiting = _silence(), None
        for channel in self.channels.values():
            self._end(channel)
        self.channels.clear()

    def _receive_close_ok(self, received: Received) -> None:
        """Both said close at once."""
        if self.channels:
            raise Broken("I26", f"{self.name} was told close-ok and had not closed")

    def _receive_blocked(self, received: Received) -> None:
        self.blocked = isinstance(received.method, ConnectionBlocked)

    def _receive_cancel(self, received: Received) -> None:
        """The queue it consumed is gone."""
        told = received.method
        assert isinstance(told, BasicCancel)
        if not told.consumer_tag.startswith("taste"):
            raise Broken("I26", f"{self.name} lost its consumer {told.consumer_tag}")

    def _receive_return(self, received: Received) -> None:
        """Unroutable: nothing here is."""
        raise Broken("I11", f"{self.name} got {received.body[:20]!r} returned")

    # ---- what scripts do

    def connect(self) -> Script:
        """Through the handshake."""
        self.send_bytes(PROTOCOL_HEADER)
        yield (ConnectionStart,)
        self.send(0, ConnectionStartOk({"capabilities": CAPABILITIES}, "PLAIN", b"\0guest\0guest", "en_US"))
        yield (ConnectionTune,)
        self.send(0, ConnectionTuneOk(0, FRAME_SIZE_MAX, 0))
        self.send(0, ConnectionOpen("/"))
        yield (ConnectionOpenOk,)

    def open(self, number: int) -> Generator[tuple[type[Method], ...], Received, Channel]:
        """A new channel."""
        self.send(number, ChannelOpen())
        yield (ChannelOpenOk,)
        self._lives += 1
        channel = self.channels[number] = Channel(number, Life(f"{self.name}#{self._lives}"))
        return channel

    def declare(self, number: int) -> Script:
        """Everything there is to be declared, which may be there already."""
        plan = self.world.plan
        self.send(number, ExchangeDeclare(0, EXCHANGE, "direct", durable=True))
        yield (ExchangeDeclareOk,)
        self.send(number, ExchangeDeclare(0, DEATHS, "fanout", durable=True))
        yield (ExchangeDeclareOk,)
        for queue in plan.queues.values():
            self.send(number, QueueDeclare(0, queue.name, durable=queue.durable, arguments=queue.arguments))
            yield (QueueDeclareOk,)
            keys = [(DEATHS, "")] if queue.name == DEAD else [(EXCHANGE, f"k.{queue.name}"), (EXCHANGE, EVERYONE)]
            for exchange, key in keys:
                self.send(number, QueueBind(0, queue.name, exchange, key))
                yield (QueueBindOk,)
        if plan.mqtt:
            yield from self._declare_for_mqtt(number)
        self.world.declared = True

    def _declare_for_mqtt(self, number: int) -> Script:
        """MQTT's topics lead to two queues, and what AMQP clients publish to MQTT's subscribers."""
        self.send(number, QueueDeclare(0, LEAST, durable=True))
        yield (QueueDeclareOk,)
        for queue, topics in ((EXACT, EXACT_TOPICS), (LEAST, LEAST_TOPICS)):
            self.send(number, QueueBind(0, queue, TOPICS, topics.replace("/", ".") + "#"))
            yield (QueueBindOk,)
        for key in (EVERYONE, *(f"k.{name}" for name in self.world.plan.queues if name != DEAD)):
            self.send(number, ExchangeBind(0, TOPICS, EXCHANGE, key))
            yield (ExchangeBindOk,)
        self.world.bound = True

    def select_confirms(self, number: int) -> Script:
        self.send(number, ConfirmSelect())
        yield (ConfirmSelectOk,)

    def consume(self, channel: Channel, queue: str, prefetch: int) -> Script:
        self.send(channel.number, BasicQos(0, prefetch))
        yield (BasicQosOk,)
        tag = f"c{len(channel.queues)}"
        blind = self.world.plan.queues[queue].blind
        channel.queues[tag] = (queue, blind)
        if blind:
            channel.life.blind.add(queue)
        self.send(channel.number, BasicConsume(0, queue, tag, no_ack=blind))
        yield (BasicConsumeOk,)

    def taste(self, channel: Channel, queue: str, deleted: bool) -> Script:
        """Consumes a queue that nobody counts for a moment; then it is deleted, or left."""
        tag = f"taste{self.world.next_id()}"
        self.send(channel.number, BasicConsume(0, queue, tag, no_ack=True))
        yield (BasicConsumeOk,)
        yield None
        if deleted:
            self.send(channel.number, QueueDelete(0, queue))
            yield (QueueDeleteOk,)
        else:
            self.send(channel.number, BasicCancel(tag))
            yield (BasicCancelOk,)

    def publish(self, channel: Channel, count: int) -> None:
        """A burst, to drawn keys."""
        world = self.world
        random, plan = world.random, world.plan
        names = [name for name in plan.queues if name != DEAD]
        sent = bytearray()
        for _ in range(count):
            key = EVERYONE if random.random() < 0.2 else f"k.{random.choice(names)}"
            number = world.next_id()
            body = b"%d:" % number + b"." * random.randint(0, plan.body_size_max)
            persistent = random.random() < 0.9
            expiration = random.choice([0, 5, 500]) if self._may_expire(key) and random.random() < 0.2 else None
            channel.place += 1
            message = Message(
                number, body, channel.life.name, channel.place, persistent, expiration, plan.routed(key),
                world.ledger.restarts, world.now_ms(),
            )  # fmt: skip
            world.ledger.publish(message)
            if world.mqtt is not None:
                world.mqtt.publish_amqp(key.replace(".", "/"), message)
            channel.unconfirmed[channel.place] = message
            sent += method(channel.number, BasicPublish(0, EXCHANGE, key))
            sent += content(channel.number, properties(persistent, expiration), body, FRAME_SIZE_MAX)
        world.trace.note(f"{self.name} publishes {number - count + 1}..{number}")
        self.send_bytes(bytes(sent))

    def _may_expire(self, key: str) -> bool:
        """Everywhere it goes, its death is seen."""
        plan = self.world.plan
        return all(plan.queues[name].dead_letters for name in plan.routed(key))

    def settle(self, channel: Channel, tag: int, outcome: Outcome, multiple: bool) -> None:
        tags = [t for t in channel.unsettled if t <= tag] if multiple else [tag]
        for each in tags:
            copy = channel.unsettled.pop(each)
            if not channel.life.ended:
                self.world.ledger.settle(channel.life, copy, outcome)
        requeue = outcome is Outcome.REQUEUE
        if outcome is Outcome.ACK:
            self.send(channel.number, BasicAck(tag, multiple))
        elif multiple or self.world.random.random() < 0.5:
            self.send(channel.number, BasicNack(tag, multiple, requeue))
        else:
            self.send(channel.number, BasicReject(tag, requeue))
        self.world.trace.note(f"{self.name} settles {tag}{' and before' * multiple}: {outcome.name}")

    def cancel(self, channel: Channel, tag: str) -> Script:
        settled = list(channel.life.settling)
        self.world.ledger.disturb(channel.queues[tag][0])
        self.send(channel.number, BasicCancel(tag))
        yield (BasicCancelOk,)
        self.world.ledger.receive_settled(settled)

    def close_channel(self, channel: Channel) -> Script:
        settled = list(channel.life.settling)
        channel.closing = True
        self._end(channel)
        self.send(channel.number, ChannelClose(200, "bye"))
        yield (ChannelCloseOk,)
        self.world.ledger.receive_settled(settled)
        self.world.trace.note(f"{self.name} closed {channel.number}, {len(settled)} settled")
        del self.channels[channel.number]

    def close(self) -> Script:
        settled = [copy for channel in self.channels.values() for copy in channel.life.settling]
        for channel in self.channels.values():
            channel.closing = True
            self._end(channel)
        self.send(0, ConnectionClose(200, "bye"))
        yield (ConnectionCloseOk,)
        self.world.ledger.receive_settled(settled)
        self.world.trace.note(f"{self.name} closed, {len(settled)} settled")


def _silence() -> Script:
    """Waits for the end."""
    while True:
        yield None


_HANDLERS: dict[type[Method], Callable[[Client, Received], None]] = {
    BasicDeliver: Client._receive_delivery,
    BasicAck: Client._receive_confirm,
    BasicNack: Client._receive_confirm,
    BasicReturn: Client._receive_return,
    BasicCancel: Client._receive_cancel,
    ConnectionClose: Client._receive_close,
    ConnectionCloseOk: Client._receive_close_ok,
    ConnectionBlocked: Client._receive_blocked,
    ConnectionUnblocked: Client._receive_blocked,
}
