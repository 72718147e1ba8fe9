"""The laws of the WebSocket adapter: any cut gives the same, no bytes raise anything, what is inside is as over TCP."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.packet_codec import encode_packet
from protocols.mqtt.packets import Disconnect, Pingreq, Subscribe, SubscriptionRequest
from protocols.mqtt.version import Version
from tests.protocols.mqtt.conversation import publish
from tests.protocols.mqtt.core_double import Connection, flat, opening
from tests.protocols.websocket.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    frame,
    framed,
    opened,
    said_inside,
    server_frames,
    upgrade,
)

V5 = Version.MQTT_5
PACKETS = [
    opening(V5),
    publish(V5, "a", b"x" * 200),
    publish(V5, "a/b", b"y", 1, 7),
    publish(V5, "a", b"", 2, 8),
    encode_packet(Subscribe(1, (SubscriptionRequest("a/#", 1),)), V5),
    encode_packet(Pingreq(), V5),
    encode_packet(Disconnect(), V5),
    b"\x00\x00",
]
conversations = st.lists(st.sampled_from(PACKETS), max_size=6).map(lambda packets: opening(V5) + b"".join(packets))
frames = st.builds(
    lambda opcode, payload, fin: frame(opcode, payload, fin=fin),
    st.sampled_from([BINARY, BINARY, CONTINUATION, TEXT, PING, CLOSE, 3]),
    st.one_of(st.sampled_from(PACKETS), st.binary(max_size=10)),
    st.booleans(),
)
garbage = st.one_of(st.lists(frames, max_size=8).map(b"".join), st.binary(max_size=100), conversations.map(framed))


class OverWebSocket(Connection):
    """The same adapter and core as over TCP, and WebSocket between."""

    def __init__(self) -> None:
        super().__init__()
        inner, decoder = self.adapter, self.mqtt_decoder
        made = opened({"mqtt": lambda request: (inner, decoder), "amqp": lambda request: (inner, decoder)})
        self.decoder, self.adapter = made.decoder, made.adapter

    def receive(self, data: bytes) -> None:
        if not self.closing:
            super().receive(data)

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        head, _, rest = self.output.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        return server_frames(rest)


def cut_at(stream: bytes, data: st.DataObject) -> list[bytes]:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    return [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]


def controls(connection: OverWebSocket) -> list[tuple[int, bytes]]:
    return [each for each in connection.frames if each[0] >= CLOSE]


@given(conversations, st.data())
def test_what_is_inside_is_as_over_tcp(stream: bytes, data: st.DataObject) -> None:
    plain, wrapped = Connection(), OverWebSocket()
    plain.receive(stream)
    for piece in cut_at(upgrade() + framed(stream), data):
        wrapped.receive(piece)
    assert flat(wrapped.commands) == flat(plain.commands)
    assert said_inside(wrapped.frames) == plain.output
    assert wrapped.closing == plain.closing
    plain.finish()
    wrapped.finish()
    assert said_inside(wrapped.frames) == plain.output


@given(garbage, st.data())
def test_any_cut_gives_the_same_and_nothing_is_raised(stream: bytes, data: st.DataObject) -> None:
    whole, cut = OverWebSocket(), OverWebSocket()
    whole.receive(upgrade() + stream)
    for piece in cut_at(upgrade() + stream, data):
        cut.receive(piece)
    assert flat(cut.commands) == flat(whole.commands)
    assert said_inside(cut.frames) == said_inside(whole.frames)
    assert controls(cut) == controls(whole)
    assert cut.closing == whole.closing
    if whole.closing:
        assert whole.frames[-1][0] == CLOSE
