"""The kernel's WebSocket decoder against a slow twin, its laws, and what it does in a poller."""

from __future__ import annotations

import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import (
    Account,
    AmqpDecoder,
    Chunk,
    Control,
    Counters,
    Data,
    MqttDecoder,
    Packet,
    Publishes,
    Violation,
    WebDecoder,
    encode_web_control,
    encode_web_messages,
)
from kernel.poller import Poller
from tests.kernel.slow_web import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, SlowDecoder, frame, is_text

CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00"
PUBLISH = b"\x30\x07\x00\x02ab\x00xy"


def decoded(pieces: list[bytes], message_size_max: int = 300) -> list[object]:
    """What comes of a stream when nothing inside is decoded: bytes, Controls, a close code."""
    decoder = WebDecoder()
    decoder.upgrade(None, b"", True, message_size_max)
    assert decoder.resume() == []
    facts: list[object] = []
    for piece in pieces:
        frames = decoder.receive_data(piece)
        while decoder.stopped:
            frames += decoder.resume()
        for each in frames:
            if isinstance(each, Data):
                facts += each.data
            else:
                facts.append(each.code if isinstance(each, Violation) else each)
        assert decoder.buffered < 140
    return facts


payloads = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=8).map(str.encode),
    st.sampled_from([b"", b"\xe2", b"\x82\xac", b"\xed\xa0\x80", b"x" * 126, b"y" * 200, "€".encode()]),
)
frames = st.builds(
    lambda opcode, payload, fin, mask: frame(opcode, payload if opcode < 8 else payload[:125], fin=fin, mask=mask),
    st.sampled_from([CONTINUATION, CONTINUATION, TEXT, BINARY, PING, PONG, CLOSE]),
    payloads,
    st.booleans(),
    st.binary(min_size=4, max_size=4),
)
streams = st.one_of(
    st.lists(frames, max_size=8).map(b"".join),
    st.binary(max_size=60),
    st.tuples(st.lists(frames, max_size=4).map(b"".join), st.binary(max_size=20)).map(b"".join),
)


@given(streams, st.data())
def test_it_is_as_its_slow_twin_however_the_bytes_are_cut(stream: bytes, data: st.DataObject) -> None:
    expected = list(SlowDecoder(stream, 300).facts())
    assert decoded([stream]) == expected
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=6)))
    assert decoded([stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]) == expected
    assert decoded([stream[at : at + 1] for at in range(len(stream))]) == expected


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.booleans())
def test_what_a_server_says_is_whole_messages(pieces: list[bytes], text: bool) -> None:
    output = [Chunk(piece) if number % 2 else piece for number, piece in enumerate(pieces)]
    encoded = b"".join(map(bytes, encode_web_messages(output, text)))
    if not pieces:
        assert encoded == b""
        return
    size = sum(map(len, pieces))
    head = bytes((0x80 | encoded[0] & 15, size)) if size < 126 else bytes((encoded[0], 126)) + size.to_bytes(2, "big")
    assert encoded == head + b"".join(pieces)
    assert encoded[0] == 0x80 | (TEXT if text and all(map(is_text, pieces)) else BINARY)


def test_large_output_is_cut_and_chunks_stay_shared() -> None:
    chunk = Chunk(bytes(600_000))
    pieces = encode_web_messages([b"before", chunk], False)
    assert [len(piece) for piece in pieces] == [10, 6, 262_138, 10, 262_144, 10, 75_718]
    assert encode_web_messages([chunk.__class__(b"x" * 10)], False) == [b"\x82\x0a", Chunk(b"x" * 10)]
    with pytest.raises(TypeError, match="bytes or Chunk"):
        encode_web_messages(["text"], True)  # type: ignore[list-item]


def test_control_frames() -> None:
    assert encode_web_control(PONG, b"now") == b"\x8a\x03now"
    for opcode, payload in ((PING, bytes(126)), (BINARY, b""), (16, b"")):
        with pytest.raises(ValueError, match="control frame"):
            encode_web_control(opcode, payload)


def test_messages_of_a_read_are_one_run_and_stops_are_the_inner_decoders() -> None:
    decoder = WebDecoder()
    assert decoder.receive_data(b"GET / HTTP/1.1\r\n\r\n" + frame(BINARY, CONNECT)[:3]) != []
    inner = MqttDecoder()
    decoder.upgrade(inner, frame(BINARY, CONNECT)[:3], False, 1000)
    assert decoder.resume() == []
    stream = frame(BINARY, CONNECT)[3:] + frame(BINARY, PUBLISH) * 50 + frame(PING, b"p") + frame(BINARY, PUBLISH)
    assert decoder.receive_data(stream) == [Packet(1, 0, CONNECT[2:])]
    assert decoder.stopped
    assert inner.version == 5
    run, ping, last = decoder.resume()
    assert isinstance(run, Publishes)
    assert isinstance(last, Publishes)
    assert (len(run.messages), ping, len(last.messages)) == (50, Control(PING, b"p"), 1)
    with pytest.raises(ValueError, match="upgraded before"):
        decoder.upgrade(inner, b"", False, 1000)
    with pytest.raises(ValueError, match="an inner decoder"):
        decoder.choose(inner, b"", False)


def test_no_web_decoder_is_in_another() -> None:
    decoder = WebDecoder()
    with pytest.raises(TypeError, match="in no other"):
        decoder.upgrade(decoder, b"", True, 1)  # type: ignore[arg-type]
    decoder.upgrade(None, b"", True, 1)
    with pytest.raises(TypeError, match="in no other"):
        decoder.choose(WebDecoder(), b"", True)  # type: ignore[arg-type]


def test_what_an_adapter_holds_is_counted() -> None:
    decoder = WebDecoder()
    decoder.held = 100
    assert (decoder.held, decoder.buffered) == (100, 100)
    decoder.upgrade(AmqpDecoder(), b"abc", False, 1)
    assert decoder.buffered == 3


def test_the_poller_reads_with_it() -> None:
    poller = Poller(Counters(), Account("input", 0), Account("output", 0))
    ours, peer = socket.socketpair()
    decoder = WebDecoder()
    with peer:
        poller.add(1, ours.detach(), decoder)
        peer.sendall(b"GET")
        assert poller.round() == [(1, [Data(b"GET")])]
        decoder.upgrade(MqttDecoder(), b"", False, 1000)
        poller.wake(1)
        assert poller.round() == []
        peer.sendall(frame(BINARY, CONNECT[:5]))
        assert poller.round() == [(1, [])]
        assert poller.input_size(1) == 5
        peer.sendall(frame(BINARY, CONNECT[5:]))
        assert poller.round() == [(1, [Packet(1, 0, CONNECT[2:])])]
