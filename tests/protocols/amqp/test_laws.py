"""The laws of an adapter: any cut of the bytes gives the same, any garbage raises nothing, answers come in order."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.model import commands
from broker.model.commands import Command
from broker.model.replies import Reply
from kernel import AmqpDecoder, Method
from protocols.amqp.connection import AmqpAdapter
from protocols.amqp.method_codec import HEARTBEAT_FRAME, PROTOCOL_HEADER, encode_method
from protocols.amqp.methods import METHODS, ConnectionOpen, ConnectionStartOk, ConnectionTuneOk
from protocols.amqp.settings import AmqpSettings
from tests.protocols.amqp.conversation import CAPABLE, frame, method, publish, server_lines
from tests.protocols.amqp.core_double import CoreDouble

LOGIN_TABLE = b"\x05LOGINS\0\0\0\x01u\x08PASSWORDS\0\0\0\x01p"
HANDSHAKE = (
    PROTOCOL_HEADER
    + encode_method(0, ConnectionStartOk({"capabilities": CAPABLE}, "AMQPLAIN", LOGIN_TABLE, "en_US"))
    + encode_method(0, ConnectionTuneOk(0, 4096, 0))
    + encode_method(0, ConnectionOpen("/"))
)
names = st.sampled_from(["q", "", "a b", "é", "new\nline"])
channels = st.integers(0, 3)
bodies = st.sampled_from([b"", b"hello", b"x" * 5000])


def simple(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return st.builds(lambda channel, given: method(channel, name, **given), channels, st.fixed_dictionaries(arguments))


flags = st.booleans()
tags = st.integers(0, 4)
method_ids = st.sampled_from(sorted(METHODS))
sent = st.one_of(
    st.just(HEARTBEAT_FRAME),
    channels.map(lambda channel: method(channel, "channel.open")),
    channels.map(lambda channel: method(channel, "channel.open")),
    simple("channel.close", reply_code=st.just(200)),
    channels.map(lambda channel: method(channel, "channel.close-ok")),
    simple("queue.declare", queue=names, no_wait=flags, passive=flags, durable=flags),
    simple("queue.bind", queue=names, exchange=names, routing_key=names, no_wait=flags),
    simple("queue.delete", queue=names, no_wait=flags),
    simple("exchange.declare", exchange=names, type=st.just("topic"), no_wait=flags),
    simple("basic.qos", prefetch_count=tags, global_=flags),
    simple("basic.consume", queue=names, consumer_tag=names, no_ack=flags, no_wait=flags),
    simple("basic.cancel", consumer_tag=names, no_wait=flags),
    simple("basic.get", queue=names),
    simple("basic.ack", delivery_tag=tags, multiple=flags),
    simple("basic.nack", delivery_tag=tags, multiple=flags, requeue=flags),
    simple("basic.reject", delivery_tag=tags, requeue=flags),
    simple("basic.recover", requeue=st.just(True)),
    simple("confirm.select", no_wait=flags),
    st.builds(publish, channels, names, bodies, st.sampled_from([b"\0\0", b"\x10\0\x02", b"\x01\0\x01x"])),
    simple("connection.close", reply_code=st.just(200)),
    st.builds(lambda channel, number: frame(1, channel, bytes((0, number[0], 0, number[1]))), channels, method_ids),
)
TWO_CHANNELS = [method(number, "channel.open") for number in (1, 2)]
streams = st.lists(sent, max_size=25).map(lambda parts: [HANDSHAKE, *TWO_CHANNELS, *parts])


class Connection:
    """An adapter between its decoder and a core, with all that it ever did."""

    def __init__(self, *, answering: tuple[type, ...]) -> None:
        self.decoder = AmqpDecoder()
        self.adapter = AmqpAdapter(self.decoder, AmqpSettings(message_size_max=10_000), loopback=True, now=0.0)
        self.core = CoreDouble()
        self.answering = answering
        self.commands: list[Command] = []
        self.output = b""
        self.closing = False

    def receive(self, data: bytes) -> None:
        self.adapter.receive_data(data, 0.0)
        self.settle()

    def settle(self) -> None:
        """Goes on until nothing is to be done at once."""
        while True:
            ready = self.adapter.take_ready()
            self.commands += ready.commands
            self.output += b"".join(bytes(part) for part in ready.output)
            self.closing = ready.closing
            self.core.receive(ready.commands)
            if ready.resumed:
                self.adapter.receive_frames(self.decoder.resume(), 0.0)
            elif not self._answer():
                return

    def _answer(self) -> bool:
        for number in self.core.busy:
            if isinstance(self.core.pending[number][0], self.answering):
                self.adapter.receive_replies(self.core.answer(number), 0.0)
                return True
        return False


def flat(commands_: list[Command]) -> list[Any]:
    """Commands with runs undone: only run lengths may differ."""
    result: list[Any] = []
    for command in commands_:
        if isinstance(command, commands.Publish):
            for index, row in enumerate(command.messages.rows()):
                result.append((command.channel, command.first_tag and command.first_tag + index, row))
        elif isinstance(command, commands.Settle):
            first, last = command.first, command.last
            ranges = [(0, last)] if first == 0 else [(tag, tag) for tag in range(first, last + 1)]
            result += [(command.channel, command.outcome, *pair) for pair in ranges]
        else:
            result.append(command)
    return result


LOGIN = (commands.Authenticate, commands.OpenVhost)


@given(streams, st.data())
def test_how_the_bytes_are_cut_does_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    whole, cut = Connection(answering=LOGIN), Connection(answering=LOGIN)
    whole.receive(stream)
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        cut.receive(stream[start:end])
    assert cut.output == whole.output
    assert flat(cut.commands) == flat(whole.commands)
    assert cut.closing == whole.closing


@given(streams)
def test_byte_by_byte_is_the_same_too(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    whole, cut = Connection(answering=LOGIN), Connection(answering=LOGIN)
    whole.receive(stream)
    for octet in stream:
        cut.receive(bytes((octet,)))
    assert cut.output == whole.output
    assert flat(cut.commands) == flat(whole.commands)


def assert_well_behaved(connection: Connection) -> None:
    """What it says are whole frames, and after its end it says nothing more."""
    server_lines(connection.output)
    if connection.closing:
        said = connection.output
        connection.receive(publish(1) + method(0, "connection.close", reply_code=200))
        assert connection.output == said


@given(st.binary(max_size=200), st.sampled_from([b"", PROTOCOL_HEADER, HANDSHAKE, HANDSHAKE + TWO_CHANNELS[0]]))
def test_no_bytes_whatever_raise_anything(garbage: bytes, before: bytes) -> None:
    connection = Connection(answering=LOGIN)
    connection.receive(before + garbage)
    assert_well_behaved(connection)


@given(streams, st.data())
def test_no_damage_whatever_raises_anything(parts: list[bytes], data: st.DataObject) -> None:
    """Octets changed, left out or put in, in bytes that once made sense: that gets deeper than noise does."""
    stream = bytearray(b"".join(parts))
    start = data.draw(st.integers(0, 1)) * len(HANDSHAKE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(min(start, len(stream) - 1), len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    connection = Connection(answering=(object,))
    connection.receive(bytes(stream))
    assert_well_behaved(connection)


@given(st.lists(st.tuples(st.integers(0, 3), method_ids, st.binary(max_size=12)), max_size=30))
def test_no_frames_whatever_raise_anything(frames: list[tuple[int, tuple[int, int], bytes]]) -> None:
    """Well-framed methods with any arguments, past the decoder's own look at them."""
    connection = Connection(answering=LOGIN)
    connection.receive(HANDSHAKE + TWO_CHANNELS[0])
    for channel, (class_id, method_id), arguments in frames:
        connection.adapter.receive_frames([Method(channel, class_id, method_id, arguments)], 0.0)
        connection.settle()
    assert_well_behaved(connection)


class Client:
    """What a client knows of its channels, and what it may be told."""

    ASYNCHRONOUS = ("basic.deliver", "basic.ack", "basic.nack", "basic.return", "basic.cancel")

    def __init__(self) -> None:
        self.owed: dict[int, list[str]] = {}
        """Open channel -> the answers it waits for, in order."""
        self.closing: set[int] = set()
        """Channels on which it said channel.close."""
        self._read = 0

    def may_open(self, number: int) -> bool:
        return number not in self.owed and number not in self.closing

    def forget(self, connection: Connection) -> None:
        """Does not look at what was said so far."""
        self._read = len(connection.output)

    def hear(self, connection: Connection) -> bytes:
        """Reads what is new; gives what is to be said about it at once."""
        reply = b""
        said = connection.output[self._read :]
        self._read = len(connection.output)
        for line in server_lines(said):
            _, number, name = line.split(" ")[:3]
            channel = int(number)
            assert channel, f"nothing ends the connection: {line}"
            if channel in self.closing:
                if name == "channel.close":
                    reply += method(channel, "channel.close-ok")
                elif name == "channel.close-ok":
                    self.closing.remove(channel)
            elif name == "channel.close":
                del self.owed[channel]
                reply += method(channel, "channel.close-ok")
            elif name in self.ASYNCHRONOUS:
                assert channel in self.owed
            else:
                assert self.owed[channel].pop(0) == name
        return reply


ASKED: list[tuple[str, dict[str, Any], str]] = [
    ("queue.declare", {"queue": "q"}, "queue.declare-ok"),
    ("queue.declare", {"queue": ""}, "queue.declare-ok"),
    ("queue.declare", {"queue": "q", "no_wait": True}, ""),
    ("queue.bind", {"queue": "q", "exchange": "x"}, "queue.bind-ok"),
    ("queue.purge", {"queue": "q", "no_wait": True}, ""),
    ("exchange.delete", {"exchange": "x"}, "exchange.delete-ok"),
    ("basic.qos", {"prefetch_count": 3}, "basic.qos-ok"),
    ("basic.qos", {"prefetch_count": 3, "global_": True}, "basic.qos-ok"),
    ("basic.consume", {"queue": "q"}, "basic.consume-ok"),
    ("basic.get", {"queue": "q"}, "basic.get-empty"),
    ("basic.recover", {"requeue": True}, "basic.recover-ok"),
    ("basic.recover-async", {"requeue": True}, ""),
    ("confirm.select", {}, "confirm.select-ok"),
    ("channel.flow", {"active": True}, "channel.flow-ok"),
]


class Exchange:
    """A client that keeps the rules and a core that answers and refuses as it likes, at any time."""

    def __init__(self) -> None:
        self.connection, self.client = Connection(answering=LOGIN), Client()
        self.connection.receive(HANDSHAKE)
        self.client.forget(self.connection)

    def core_says(self, replies: list[Reply]) -> None:
        self.connection.adapter.receive_replies(replies, 0.0)
        self.connection.settle()
        self._talk()

    def client_says(self, data: bytes) -> None:
        self.connection.receive(data)
        self._talk()

    def _talk(self) -> None:
        while said := self.client.hear(self.connection):
            self.connection.receive(said)

    def ask(self, number: int, asked: tuple[str, dict[str, Any], str]) -> None:
        name, arguments, answer = asked
        self.client.owed[number] += [answer] * bool(answer)
        self.client_says(method(number, name, **arguments))

    def close(self, number: int) -> None:
        self.client.closing.add(number)
        del self.client.owed[number]
        self.client_says(method(number, "channel.close", reply_code=200))

    def answer(self, number: int, *, refuse: bool) -> None:
        if number in self.connection.core.busy:
            self.core_says(self.connection.core.answer(number, refuse=refuse))

    def step(self, number: int, step: str) -> None:
        """Something that may happen at any time, or that the client may do unless it is closing the channel."""
        if step in ("answer", "refuse"):
            self.answer(number, refuse=step == "refuse")
        elif step == "deliver":
            self.core_says(self.connection.core.deliver(number))
        elif self.client.may_open(number):
            self.client.owed[number] = ["channel.open-ok"]
            self.client_says(method(number, "channel.open"))
        elif number not in self.client.closing:
            self.client_says(publish(number)) if step == "publish" else self.close(number)


STEPS = ["publish", "answer", "answer", "refuse", "deliver", "close"]
steps = st.lists(st.tuples(st.integers(1, 2), st.sampled_from(STEPS) | st.sampled_from(ASKED)), max_size=50)


@given(steps)
def test_answers_come_in_order_and_nothing_comes_after_the_end(steps: list[tuple[int, Any]]) -> None:
    exchange = Exchange()
    client, core = exchange.client, exchange.connection.core
    for number, step in steps:
        if isinstance(step, str):
            exchange.step(number, step)
        elif number in client.owed:
            exchange.ask(number, step)
    while core.busy:
        exchange.answer(core.busy[0], refuse=False)
    assert not any(client.owed.values())
    assert not client.closing
