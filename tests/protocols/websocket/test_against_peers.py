"""Other people's clients, sans I/O: wsproto's and websockets'."""

from __future__ import annotations

import pytest
import wsproto
import wsproto.events as e
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.uri import parse_uri

from tests.protocols.websocket.test_bad_input import CONNECT, LOGGED_IN, Talk

PINGREQ, PINGRESP, DISCONNECT = b"\xc0\x00", b"\xd0\x00", b"\xe0\x00"


class Wsproto:
    """wsproto's client against our server."""

    def __init__(self) -> None:
        self.talk = Talk()
        self.wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.events: list[e.Event] = []
        request = e.Request(host="here:15672", target="/mqtt", subprotocols=["mqtt"])
        self.send(request)

    def send(self, *events: e.Event) -> None:
        self.take(b"".join(self.wire.send(event) for event in events))

    def take(self, data: bytes) -> None:
        self.talk.output = b""
        self.talk.receive(data)
        self.read()

    def read(self) -> None:
        if self.talk.output:
            self.wire.receive_data(self.talk.output)
            self.events = list(self.wire.events())
            self.talk.output = b""
        else:
            self.events = []


def test_wsproto_connects_talks_in_fragments_and_closes() -> None:
    client = Wsproto()
    [accepted] = client.events
    assert isinstance(accepted, e.AcceptConnection)
    assert (accepted.subprotocol, accepted.extensions) == ("mqtt", [])
    client.send(
        e.BytesMessage(data=CONNECT[:3], message_finished=False),
        e.Ping(payload=b"between"),
        e.BytesMessage(data=CONNECT[3:], message_finished=True),
    )
    assert client.events == [e.Pong(payload=b"between")]
    client.talk.say(*LOGGED_IN)
    client.read()
    [connack] = client.events
    assert isinstance(connack, e.BytesMessage)
    assert connack.data[:1] == b"\x20"
    client.send(e.BytesMessage(data=PINGREQ * 3))
    assert [event.data for event in client.events if isinstance(event, e.BytesMessage)] == [PINGRESP * 3]
    client.send(e.CloseConnection(code=1001, reason="leaving"))
    [closed] = client.events
    assert isinstance(closed, e.CloseConnection)
    assert closed.code == 1001
    assert client.talk.closing


def test_wsproto_is_told_goodbye_after_the_protocols_own() -> None:
    client = Wsproto()
    client.send(e.BytesMessage(data=CONNECT))
    client.talk.say(*LOGGED_IN)
    client.read()
    client.send(e.BytesMessage(data=PINGREQ + DISCONNECT))
    said, closed = client.events
    assert isinstance(said, e.BytesMessage)
    assert said.data == PINGRESP
    assert isinstance(closed, e.CloseConnection)
    assert closed.code == 1000


def websockets_client(talk: Talk) -> ClientProtocol:
    client = ClientProtocol(parse_uri("ws://here:15672/mqtt"), subprotocols=["mqtt"])  # type: ignore[list-item]
    client.send_request(client.connect())
    exchange(client, talk)
    client.events_received()
    assert client.handshake_exc is None
    return client


def exchange(client: ClientProtocol, talk: Talk) -> None:
    talk.output = b""
    for data in client.data_to_send():
        if data:
            talk.receive(data)
    if talk.output:
        client.receive_data(talk.output)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535])
def test_websockets_connects_and_talks(size: int) -> None:
    talk = Talk()
    client = websockets_client(talk)
    assert client.subprotocol == "mqtt"
    assert client.extensions == []
    client.send_binary(CONNECT)
    exchange(client, talk)
    talk.output = b""
    talk.say(*LOGGED_IN)
    client.receive_data(talk.output)
    assert [event.opcode for event in client.events_received()] == [Opcode.BINARY]  # type: ignore[union-attr]
    client.send_binary(b"\x30", fin=False)
    client.send_ping(b"p" * min(size, 125))
    remaining = size + 4
    client.send_continuation(bytes((remaining & 0x7F | 0x80, remaining >> 7 & 0x7F | 0x80, remaining >> 14)), fin=False)
    client.send_continuation(b"\x00\x01t\x00" + bytes(size), fin=True)
    exchange(client, talk)
    [pong] = client.events_received()
    assert (pong.opcode, pong.data) == (Opcode.PONG, b"p" * min(size, 125))  # type: ignore[union-attr]
    assert talk.commands[-1].messages.size == size
    client.send_close(1000, "done")
    exchange(client, talk)
    client.receive_eof()
    assert (client.close_code, client.close_reason) == (1000, "")
    assert talk.closing
