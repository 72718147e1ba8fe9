"""Bad input by its bytes: the rows of WebSocket in the list of limits, each with its close code or status."""

from __future__ import annotations

from typing import Any

import pytest

from broker.model import client_sessions as cs
from broker.model import replies
from broker.model.names import ClientId
from kernel import AmqpDecoder, MqttDecoder, PublishEncoder
from protocols.amqp.connection import AmqpAdapter
from protocols.amqp.settings import AmqpSettings
from protocols.http.connection import HttpAdapter
from protocols.mqtt.connection import MqttAdapter
from protocols.mqtt.settings import MqttSettings
from tests.protocols.http.talk import responses
from tests.protocols.websocket.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    LISTENER,
    PING,
    PONG,
    TEXT,
    close_code,
    frame,
    opened,
    said_inside,
    server_frames,
    upgrade,
)

CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00"
LOGGED_IN = (replies.Authenticated(), replies.VhostOpened(), cs.SessionAttached(ClientId("c"), False))
AMQP_HEADER = b"AMQP\x00\x00\x09\x01"


def mqtt(request: Any) -> Any:
    decoder = MqttDecoder()
    return MqttAdapter(decoder, PublishEncoder(), MqttSettings(), lambda: 0, loopback=True, now=0.0), decoder


def amqp(request: Any) -> Any:
    decoder = AmqpDecoder()
    return AmqpAdapter(decoder, AmqpSettings(), loopback=True, now=0.0), decoder


class Talk:
    """One connection, from its first byte."""

    def __init__(self, sent: bytes = b"", *, text_allowed: tuple[str, ...] = (), **listener: Any) -> None:
        made = opened(
            {"mqtt": mqtt, "amqp": amqp},
            type(LISTENER)(protocol="http", websocket_protocols=("amqp", "mqtt"), **listener),
            text_allowed,
        )
        assert isinstance(made.adapter, HttpAdapter)
        self.adapter, self.decoder = made.adapter, made.decoder
        self.now = 0.0
        self.head = b""
        self.output = b""
        self.commands: list[Any] = []
        self.closing = False
        self.deadline: float | None = None
        if sent:
            self.receive(sent)
            self.head, _, self.output = self.output.partition(b"\r\n\r\n")

    def receive(self, data: bytes) -> None:
        if not self.closing:
            self.adapter.receive_frames(self.decoder.receive_data(data), self.now)
            self.settle()

    def say(self, *said: Any) -> None:
        self.adapter.receive_replies(said, self.now)
        self.settle()

    def settle(self) -> None:
        while True:
            ready = self.adapter.take_ready()
            self.commands += ready.commands
            self.output += b"".join(map(bytes, ready.output))
            self.closing, self.deadline = ready.closing, ready.deadline
            if not ready.resumed:
                return
            frames = self.decoder.resume()
            if frames:
                self.adapter.receive_frames(frames, self.now)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.deadline is not None and self.deadline <= end:
            self.now = self.deadline
            self.adapter.receive_timeout(self.now)
            self.settle()
        self.now = end

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        return server_frames(self.output)


ROWS: dict[str, tuple[int, bytes]] = {
    "no mask": (1002, b"\x82\x01x"),
    "a reserved bit": (1002, b"\xc2" + frame(BINARY, b"x")[1:]),
    "a reserved opcode": (1002, frame(3, b"x")),
    "a reserved control opcode": (1002, frame(11, b"x")),
    "a long ping": (1002, frame(PING, bytes(126))),
    "a fragmented ping": (1002, frame(PING, b"", fin=False)),
    "a continuation of nothing": (1002, frame(CONTINUATION, b"x")),
    "a message in a message": (1002, frame(BINARY, b"\x10", fin=False) + frame(BINARY, b"x")),
    "a length in a long form": (1002, b"\x82\xfe\x00\x05abcd"),
    "text for MQTT": (1003, frame(TEXT, CONNECT)),
    "a message over the cap": (1009, b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01abcd"),
    "a length that is huge": (1009, b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffabcd"),
    "fragments over the cap": (
        1009,
        frame(BINARY, b"\x10\xf0\xff\x03" + bytes(65_000), fin=False) + frame(CONTINUATION, bytes(600)),
    ),
    "empty fragments": (1008, frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 40),
    "a ping flood": (1008, frame(PING, b"") * 65),
    "a pong flood": (1008, frame(PONG, b"") * 65),
    "half a close code": (1002, frame(CLOSE, b"\x03")),
    "close code 999": (1002, frame(CLOSE, b"\x03\xe7")),
    "close code 1004": (1002, frame(CLOSE, b"\x03\xec")),
    "close code 1005": (1002, frame(CLOSE, b"\x03\xed")),
    "close code 1006": (1002, frame(CLOSE, b"\x03\xee")),
    "close code 1015": (1002, frame(CLOSE, b"\x03\xf7")),
    "close code 2000": (1002, frame(CLOSE, b"\x07\xd0")),
    "close code 5000": (1002, frame(CLOSE, b"\x13\x88")),
    "a close reason that is not UTF-8": (1007, frame(CLOSE, b"\x03\xe8\xff")),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("cut", [1 << 20, 100, 1])
def test_is_closed_with_its_code(row: str, cut: int) -> None:
    code, stream = ROWS[row]
    talk = Talk(upgrade())
    for start in range(0, len(stream), cut):
        talk.receive(stream[start : start + cut])
    assert close_code(talk.frames) == code
    assert said_inside(talk.frames) == b""
    assert talk.closing
    assert talk.decoder.buffered < 70_000


def test_bad_text_is_1007() -> None:
    for text in (b"\xff", b"\xed\xa0\x80", b"\xe2\x82", b"\x10\xc0\x80"):
        for cut in (1, 100):
            talk = Talk(upgrade(), text_allowed=("mqtt",))
            stream = frame(TEXT, b"\x10" + text)
            for start in range(0, len(stream), cut):
                talk.receive(stream[start : start + cut])
            assert close_code(talk.frames) == 1007


def test_the_cap_is_raised_by_logging_in() -> None:
    talk = Talk(upgrade())
    talk.receive(frame(BINARY, CONNECT))
    talk.say(*LOGGED_IN)
    publish = b"\x30\x84\x80\x08\x00\x01t" + bytes(131_073)
    talk.receive(frame(BINARY, publish))
    assert not talk.closing
    assert talk.commands[-1].messages.size == 131_072


def test_pings_in_time_are_answered_for_ever() -> None:
    talk = Talk(upgrade(), ping_interval=3600.0)
    talk.receive(frame(BINARY, CONNECT))
    talk.say(*LOGGED_IN)
    talk.output = b""
    for number in range(300):
        talk.now += 1
        talk.receive(frame(PING, str(number).encode()))
    assert talk.frames == [(PONG, str(number).encode()) for number in range(300)]


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
def test_a_close_is_answered_with_its_code_and_ends_the_session(code: int) -> None:
    talk = Talk(upgrade())
    talk.receive(frame(BINARY, CONNECT) + frame(CLOSE, code.to_bytes(2, "big") + b"bye") + frame(PING, b""))
    assert talk.frames == [], "it waits behind the login"
    talk.say(*LOGGED_IN)
    assert talk.frames[1:] == [(CLOSE, code.to_bytes(2, "big"))]
    assert talk.closing
    silent = Talk(upgrade())
    silent.receive(frame(CLOSE))
    assert silent.frames == [(CLOSE, b"")]
    assert silent.closing


def test_last_words_go_before_the_close() -> None:
    talk = Talk(upgrade())
    talk.receive(frame(BINARY, b"\x20\x00"))
    assert close_code(talk.frames) == 1002
    left = Talk(upgrade())
    left.receive(frame(BINARY, CONNECT))
    left.say(*LOGGED_IN)
    left.receive(frame(BINARY, b"\xc0\x00\xe0\x00"))
    assert [opcode for opcode, _ in left.frames] == [BINARY, BINARY, CLOSE]
    assert close_code(left.frames) == 1000


def test_shutdown_is_1001_after_the_protocols_own_goodbye() -> None:
    talk = Talk(upgrade())
    talk.receive(frame(BINARY, CONNECT))
    talk.say(*LOGGED_IN)
    talk.say(replies.CloseConnection("going down"))
    assert said_inside(talk.frames[1:])[0] == 0xE0
    assert close_code(talk.frames) == 1001
    undecided = Talk(upgrade("/ws", None))
    undecided.say(replies.CloseConnection("going down"))
    assert close_code(undecided.frames) == 1001


def test_who_is_silent_is_pinged_twice_and_then_closed() -> None:
    talk = Talk(upgrade())
    talk.receive(frame(BINARY, CONNECT))
    talk.say(*LOGGED_IN)
    talk.output = b""
    talk.wait(89.9)
    assert talk.frames == [(PING, b""), (PING, b"")]
    talk.receive(frame(PONG))
    talk.output = b""
    talk.wait(89.9)
    assert not talk.closing
    talk.wait(0.2)
    assert close_code(talk.frames) == 1008


def test_an_upgrade_or_the_first_bytes_may_not_take_long() -> None:
    slow = Talk()
    slow.receive(upgrade()[:40])
    slow.wait(10.1)
    assert slow.closing
    assert slow.output.startswith(b"HTTP/1.1 408 ")
    silent = Talk(upgrade("/ws", None))
    silent.wait(10.1)
    assert close_code(silent.frames) == 1008
    no_login = Talk(upgrade())
    no_login.wait(10.1)
    assert no_login.closing


@pytest.mark.parametrize(
    ("first", "code"), [(b"\x00", 1002), (b"GET / HTTP/1.1", 1002), (b"CONNECT\n\n\0", 1002), (b"\x30", 1002)]
)
def test_first_bytes_that_nobody_speaks(first: bytes, code: int) -> None:
    talk = Talk(upgrade("/ws", None))
    talk.receive(frame(BINARY, first))
    assert close_code(talk.frames) == code


@pytest.mark.parametrize("path", ["/ws", "/amqp"])
def test_amqp_is_known_by_its_first_byte_or_path(path: str) -> None:
    talk = Talk(upgrade(path, None))
    for byte in AMQP_HEADER:
        talk.receive(frame(BINARY, bytes((byte,))))
    assert said_inside(talk.frames)[:11] == b"\x01\x00\x00" + said_inside(talk.frames)[3:7] + b"\x00\x0a\x00\x0a"
    text = Talk(upgrade(path, None))
    text.receive(frame(TEXT, AMQP_HEADER))
    assert close_code(text.frames) == 1003


UPGRADES: dict[str, tuple[int, bytes]] = {
    "an origin that is not allowed": (403, upgrade(Origin="https://example.com")),
    "the origin of a file": (403, upgrade(Origin="null")),
    "an origin of another port": (403, upgrade(Origin="http://here:8080")),
    "an unknown path": (404, upgrade("/other")),
    "a protocol that is not spoken": (404, upgrade("/stomp", None)),
    "a token of a protocol that is not spoken": (404, upgrade("/ws", "v12.stomp")),
    "unknown tokens": (400, upgrade(token="chat, superchat")),
    "version 8": (426, upgrade(Sec_WebSocket_Version="8")),
    "no version": (400, upgrade(Sec_WebSocket_Version="")),
    "no key": (400, upgrade(Sec_WebSocket_Key="")),
    "a short key": (400, upgrade(Sec_WebSocket_Key="AAAA")),
    "a key that is not base64": (400, upgrade(Sec_WebSocket_Key="!" * 24)),
    "a key that is not ASCII": (400, upgrade(Sec_WebSocket_Key="é" * 24)),
    "no connection header": (400, upgrade(Connection="")),
    "another method": (400, upgrade().replace(b"GET", b"PUT", 1)),
    "a host that is none": (400, upgrade(Host="a..é")),
}


@pytest.mark.parametrize("row", UPGRADES)
def test_an_upgrade_is_refused_with_its_status(row: str) -> None:
    status, stream = UPGRADES[row]
    talk = Talk()
    talk.receive(stream)
    [(answered, headers, _)] = responses(talk.output)
    assert answered == status
    assert talk.closing
    if status == 426:
        assert headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize(
    ("stream", "token"),
    [
        (upgrade(), b"mqtt"),
        (upgrade("/ws", "mqttv3.1"), b"mqttv3.1"),
        (upgrade("/ws", "v12.stomp, amqp, mqtt"), b"amqp"),
        (upgrade("/mqtt", None), None),
        (upgrade("/mqtt", None, Origin="http://here:15672"), None),
        (upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"), b"mqtt"),
        (upgrade(Host="[::1]:15672", Origin="http://[::1]:15672"), b"mqtt"),
        (upgrade(Host="here", Origin="https://HERE:443"), b"mqtt"),
    ],
)
def test_an_upgrade_echoes_one_token_or_none_and_no_extension(stream: bytes, token: bytes | None) -> None:
    talk = Talk(stream)
    assert talk.head.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in talk.head.lower()
    assert (b"Sec-WebSocket-Protocol: " + token if token else b"Sec-WebSocket-Protocol") in talk.head or token is None
    assert (b"sec-websocket-protocol" in talk.head.lower()) == (token is not None)


def test_other_sites_may_be_allowed() -> None:
    assert (
        Talk(upgrade(Origin="https://example.com"), allowed_origins=("https://example.com",)).head[:12]
        == b"HTTP/1.1 101"
    )
    assert Talk(upgrade(Origin="https://example.com"), allowed_origins=("*",)).head[:12] == b"HTTP/1.1 101"
