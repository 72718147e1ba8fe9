"""STOMP clients over a real core and journal, without sockets: what the adapter asks is what the core does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.core.session import Session
from broker.model import commands as c
from broker.model.names import Channel, ExchangeName, QueueName
from broker.model.topology import ExchangeSpec, QueueSpec
from kernel import StompDecoder
from protocols.stomp.connection import StompAdapter
from protocols.stomp.settings import StompSettings
from protocols.stomp.version import Version
from tests.core.node import Node
from tests.protocols.stomp.wire import ServerFrame, frame, read_frames


class Client:
    """A connected client: its adapter and its session."""

    def __init__(self, node: Node, name: str, version: Version = Version.V1_2, **settings: Any) -> None:
        self.node = node
        self.version = version
        self.decoder = StompDecoder()
        self.adapter = StompAdapter(self.decoder, StompSettings(**settings), name, loopback=True, now=0.0)
        self.session: Session = node.broker.open_session()
        self.closing = False
        connected = self.say("CONNECT", ("accept-version", version.text), ("login", "guest"), ("passcode", "guest"))
        assert [each.command for each in connected] == ["CONNECTED"]

    def say(self, command: str, *headers: tuple[str, str], body: bytes = b"") -> list[ServerFrame]:
        """Sends a frame; what has come once nothing more does."""
        self.send(command, *headers, body=body)
        return self.hear()

    def send(self, command: str, *headers: tuple[str, str], body: bytes = b"") -> None:
        self.adapter.receive_data(frame(command, *headers, body=body, version=self.version), 0.0)

    def hear(self) -> list[ServerFrame]:
        output = b""
        for _ in range(8):
            output += self.exchange()
            self.node.run()
        return read_frames(output, self.version)

    def exchange(self) -> bytes:
        """Both ways, without letting the core do anything."""
        output = b""
        while True:
            ready = self.adapter.take_ready()
            self.session.submit(ready.commands)
            output += b"".join(bytes(part) for part in ready.output)
            self.closing = ready.closing
            if ready.closing:
                self.session.close()
                return output
            if ready.resumed:
                self.adapter.receive_frames(self.decoder.resume(), 0.0)
                continue
            received = self.session.take_replies()
            if not received and not ready.commands:
                return output
            self.adapter.receive_replies(received, 0.0)
            self.session.receive_drained()

    def hang_up(self) -> None:
        self.adapter.receive_end(0.0)
        self.session.close()
        self.node.run()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def connect(node: Node) -> Callable[..., Client]:
    count = 0

    def make(version: Version = Version.V1_2, **settings: Any) -> Client:
        nonlocal count
        count += 1
        return Client(node, f"session-{count}", version, **settings)

    return make


def bodies(frames: list[ServerFrame]) -> list[bytes]:
    return [each.body for each in frames if each.command == "MESSAGE"]


def receipts(frames: list[ServerFrame]) -> list[str | None]:
    return [each.header("receipt-id") for each in frames if each.command == "RECEIPT"]


TO_A = ("destination", "/queue/a")


def test_what_is_sent_in_one_breath_behind_a_subscription_reaches_it(connect: Callable[..., Client]) -> None:
    client = connect()
    client.send("SUBSCRIBE", ("id", "0"), ("destination", "/topic/a.#"), ("receipt", "1"))
    client.send(
        "SEND", ("destination", "/topic/a.b"), ("k", "v:w"), ("persistent", "true"), ("receipt", "2"), body=b"x"
    )
    frames = client.hear()
    assert receipts(frames) == ["1", "2"]
    (message,) = [each for each in frames if each.command == "MESSAGE"]
    assert (message.body, message.header("destination"), message.header("k")) == (b"x", "/topic/a.b", "v:w")
    assert message.header("subscription") == "0"


def test_a_queue_is_made_on_first_use_and_kept(connect: Callable[..., Client]) -> None:
    sender = connect()
    sender.say("SEND", TO_A, ("persistent", "true"), body=b"x")
    assert [each.command for each in sender.say("DISCONNECT", ("receipt", "bye"))] == ["RECEIPT"]
    assert sender.closing
    receiver = connect(Version.V1_0)
    assert bodies(receiver.say("SUBSCRIBE", TO_A)) == [b"x"]


def test_send_and_go_in_one_breath(connect: Callable[..., Client]) -> None:
    sender = connect()
    sender.send("SEND", TO_A, ("persistent", "true"), body=b"x")
    sender.send("DISCONNECT")
    sender.hear()
    assert sender.closing
    assert bodies(connect().say("SUBSCRIBE", ("id", "0"), TO_A)) == [b"x"]


def test_a_receipt_of_a_persistent_message_waits_for_the_disk(node: Node, connect: Callable[..., Client]) -> None:
    client = connect()
    client.say("SEND", TO_A, body=b"x")
    client.send("SEND", TO_A, ("persistent", "true"), ("receipt", "r"), body=b"y")
    said = client.exchange()
    node.step()
    said += client.exchange()
    assert said == b""
    node.sync()
    node.step()
    assert receipts(read_frames(client.exchange())) == ["r"]


def test_acknowledged_in_part_and_lost(connect: Callable[..., Client]) -> None:
    first, second = connect(), connect()
    for body in (b"1", b"2", b"3", b"4"):
        first.say("SEND", TO_A, ("persistent", "true"), body=body)
    messages = first.say("SUBSCRIBE", ("id", "0"), TO_A, ("ack", "client"), ("prefetch-count", "3"))
    assert bodies(messages) == [b"1", b"2", b"3"]
    assert bodies(first.say("ACK", ("id", messages[1].header("ack") or ""))) == [b"4"]
    first.hang_up()
    again = second.say("SUBSCRIBE", ("id", "0"), TO_A, ("ack", "client-individual"))
    assert bodies(again) == [b"3", b"4"]
    assert [each.header("redelivered") for each in again] == ["true", "true"]
    assert second.say("NACK", ("id", again[1].header("ack") or ""), ("requeue", "false")) == []
    back = second.say("NACK", ("id", again[0].header("ack") or ""))
    assert bodies(back) == [b"3"]
    second.say("ACK", ("id", back[0].header("ack") or ""))
    error = second.say("ACK", ("id", back[0].header("ack") or ""))
    assert [each.command for each in error] == ["ERROR"]
    assert second.closing


def test_a_durable_subscription(connect: Callable[..., Client]) -> None:
    durable = (("id", "d"), ("destination", "/topic/news"), ("durable", "true"), ("auto-delete", "false"))
    first = connect()
    assert receipts(first.say("SUBSCRIBE", *durable, ("receipt", "1"))) == ["1"]
    first.say("UNSUBSCRIBE", ("id", "d"))
    first.say("SEND", ("destination", "/topic/news"), ("persistent", "true"), body=b"x")
    second = connect()
    assert bodies(second.say("SUBSCRIBE", *durable)) == [b"x"]
    assert receipts(second.say("UNSUBSCRIBE", *durable, ("receipt", "2"))) == ["2"]
    second.say("SEND", ("destination", "/topic/news"), body=b"y")
    assert bodies(second.say("SUBSCRIBE", *durable)) == []


def test_unsubscribed_in_the_same_breath_nothing_is_left(node: Node, connect: Callable[..., Client]) -> None:
    client = connect()
    client.send("SUBSCRIBE", ("id", "0"), ("destination", "/topic/a"), ("receipt", "1"))
    client.send("UNSUBSCRIBE", ("id", "0"), ("receipt", "2"))
    assert receipts(client.hear()) == ["1", "2"]
    client.say("SUBSCRIBE", ("id", "1"), ("destination", "/topic/a"))
    client.say("UNSUBSCRIBE", ("id", "1"))
    assert node.broker.back.queues == {}


def test_a_queue_that_was_declared_otherwise_is_not_sent_to(node: Node, connect: Callable[..., Client]) -> None:
    session = node.session()
    spec = QueueSpec(QueueName("a"), durable=True, arguments={"x-max-length": 5})
    node.ask(session, c.DeclareQueue(Channel(1), spec))
    client = connect()
    (error,) = client.say("SEND", TO_A, ("receipt", "r"), body=b"x")
    assert (error.header("message"), error.header("receipt-id")) == ("precondition_failed", "r")
    assert b"/amq/queue/" in error.body
    other = connect()
    assert other.say("SEND", ("destination", "/amq/queue/a"), body=b"y") == []
    assert bodies(other.say("SUBSCRIBE", ("id", "0"), ("destination", "/amq/queue/a"))) == [b"y"]
    assert other.say("SEND", TO_A, ("x-max-length", "5"), body=b"z")[0].body == b"z"


def test_what_is_not_there(connect: Callable[..., Client]) -> None:
    for destination in ("/amq/queue/none", "/exchange/none/k"):
        (error,) = connect().say("SEND", ("destination", destination), ("receipt", "r"))
        assert (error.header("message"), error.header("receipt-id")) == ("not_found", "r")
        (error,) = connect().say("SUBSCRIBE", ("id", "0"), ("destination", destination), ("receipt", "r"))
        assert (error.header("message"), error.header("receipt-id")) == ("not_found", "r")


def test_the_receipt_of_the_send_at_fault_is_told(node: Node, connect: Callable[..., Client]) -> None:
    session = node.session()
    node.ask(session, c.DeclareExchange(Channel(1), ExchangeSpec(ExchangeName("there"), "fanout")))
    client = connect()
    for number, exchange in enumerate(("there", "there", "none", "there")):
        client.send("SEND", ("destination", f"/exchange/{exchange}/k"), ("receipt", str(number)))
    frames = client.hear()
    assert frames[-1].header("receipt-id") == "2"
    assert receipts(frames) in ([], ["0", "1"])


def test_question_and_answer(connect: Callable[..., Client]) -> None:
    asking, answering = connect(), connect()
    answering.say("SUBSCRIBE", ("id", "0"), ("destination", "/queue/rpc"))
    asking.say("SEND", ("destination", "/queue/rpc"), ("reply-to", "/temp-queue/r"), ("correlation-id", "7"), body=b"?")
    (question,) = answering.hear()
    reply_to = question.header("reply-to") or ""
    assert reply_to.startswith("/reply-queue/")
    assert answering.say("SEND", ("destination", reply_to), ("correlation-id", "7"), body=b"!") == []
    (answer,) = asking.hear()
    assert (answer.body, answer.header("subscription"), answer.header("correlation-id")) == (b"!", "/temp-queue/r", "7")
    asking.hang_up()
    assert answering.say("SEND", ("destination", reply_to), body=b"too late") == []
    assert not answering.closing


def test_a_full_queue_that_rejects(connect: Callable[..., Client]) -> None:
    client = connect()
    full = (TO_A, ("x-max-length", "1"), ("x-overflow", "reject-publish"), ("persistent", "true"))
    assert receipts(client.say("SEND", *full, ("receipt", "1"))) == ["1"]
    (error,) = client.say("SEND", *full, ("receipt", "2"))
    assert (error.header("message"), error.header("receipt-id")) == ("resource_error", "2")


def test_a_transaction(connect: Callable[..., Client]) -> None:
    client, watching = connect(), connect()
    client.say("SEND", TO_A, ("persistent", "true"), body=b"in")
    watching.say("SUBSCRIBE", ("id", "w"), ("destination", "/topic/out"))
    (message,) = client.say("SUBSCRIBE", ("id", "0"), TO_A, ("ack", "client"))
    for end in ("ABORT", "COMMIT"):
        client.say("BEGIN", ("transaction", "t"))
        client.say("SEND", ("destination", "/topic/out"), ("transaction", "t"), body=b"out")
        client.say("ACK", ("id", message.header("ack") or ""), ("transaction", "t"))
        assert watching.hear() == []
        assert receipts(client.say(end, ("transaction", "t"), ("receipt", end))) == [end]
        assert bodies(watching.hear()) == ([b"out"] if end == "COMMIT" else [])
    client.hang_up()
    assert bodies(connect().say("SUBSCRIBE", ("id", "0"), TO_A)) == []


def test_a_transaction_that_is_refused_does_nothing(connect: Callable[..., Client]) -> None:
    client, watching = connect(), connect()
    watching.say("SUBSCRIBE", ("id", "w"), ("destination", "/topic/out"))
    client.say("BEGIN", ("transaction", "t"))
    client.say("SEND", ("destination", "/topic/out"), ("transaction", "t"), body=b"out")
    client.say("SEND", ("destination", "/exchange/none"), ("transaction", "t"), body=b"out")
    (error,) = client.say("COMMIT", ("transaction", "t"), ("receipt", "r"))
    assert (error.header("message"), error.header("receipt-id")) == ("not_found", "r")
    assert watching.hear() == []


def test_a_queue_that_is_deleted_ends_its_subscribers(node: Node, connect: Callable[..., Client]) -> None:
    client = connect()
    client.say("SUBSCRIBE", ("id", "0"), TO_A)
    session = node.session()
    node.ask(session, c.DeleteQueue(Channel(1), QueueName("a")))
    (error,) = client.hear()
    assert (error.header("message"), error.header("subscription")) == ("Server cancelled subscription", "0")
    assert client.closing


def test_who_may_not(connect: Callable[..., Client]) -> None:
    (error,) = connect().say("SUBSCRIBE", ("id", "0"), ("destination", "/queue/amq.mine"), ("receipt", "r"))
    assert (error.header("message"), error.header("receipt-id")) == ("Access refused", "r")


def test_streams_are_refused_in_the_cores_words(connect: Callable[..., Client]) -> None:
    (error,) = connect().say("SUBSCRIBE", ("id", "0"), TO_A, ("x-queue-type", "stream"))
    assert error.header("message") == "precondition_failed"
    assert b"unsupported queue type 'stream'" in error.body
    (error,) = connect().say("SEND", TO_A, ("x-max-age", "1h"))
    assert b"x-max-age" in error.body
