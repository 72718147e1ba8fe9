"""The laws of MQTT's decoder over streams that clients could send and over any bytes; PyPI's ``mqtt5`` as an oracle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import (
    FLAG_EXACTLY_ONCE,
    FLAG_PERSISTENT,
    FLAG_RETAIN,
    ORIGIN_MQTT,
    Acks,
    DeliveryRun,
    Grant,
    MessageRun,
    MqttDecoder,
    Packet,
    PacketIds,
    PublishEncoder,
    Publishes,
    Violation,
    encode_acks,
)

CORPUS = Path(__file__).parent / "corpus" / "mqtt"
PACKET_SIZE_MAX = 4096
ALIAS_MAX = 3
CODES = {0x81, 0x82, 0x90, 0x94, 0x95, 0x99}
QOS_FLAGS = (0, FLAG_PERSISTENT, FLAG_PERSISTENT | FLAG_EXACTLY_ONCE)

Fact = tuple[Any, ...]


def connect(version: int) -> bytes:
    name = b"\x00\x06MQIsdp" if version == 3 else b"\x00\x04MQTT"
    return bytes([0x10, len(name) + 1]) + name + bytes([version])


def string(text: bytes) -> bytes:
    return len(text).to_bytes(2) + text


def packet(first: int, body: bytes) -> bytes:
    size, rest = b"", len(body)
    while rest >= 0x80:
        size, rest = size + bytes([rest & 0x7F | 0x80]), rest >> 7
    return bytes([first]) + size + bytes([rest]) + body


def to_facts(frames: Sequence[object]) -> Iterator[Fact]:
    for got in frames:
        match got:
            case Publishes():
                assert len(got.messages) > 0
                ids = got.packet_ids.to_list() if got.qos else [0] * len(got.messages)
                yield from ((got.qos, id, *row) for id, row in zip(ids, got.messages.rows(), strict=True))
            case Acks():
                yield from (("ack", got.kind, got.reason, id) for id in got.packet_ids.to_list())
            case Packet():
                yield "packet", got.kind, got.flags, got.body
            case Violation():
                assert got.connection
                assert got.code in CODES
                yield "violation", got.code
            case _:
                raise AssertionError(got)


def decode_all(decoder: MqttDecoder, pieces: Sequence[bytes]) -> list[Fact]:
    """Feeds it piece by piece and resumes it whenever it stops."""
    facts: list[Fact] = []
    for piece in pieces:
        facts += to_facts(decoder.receive_data(piece))
        while decoder.stopped:
            facts += to_facts(decoder.resume())
        assert decoder.buffered < PACKET_SIZE_MAX
    return facts


def new_decoder() -> MqttDecoder:
    decoder = MqttDecoder(PACKET_SIZE_MAX)
    decoder.topic_alias_max = ALIAS_MAX
    return decoder


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = [0, *sorted(at % (len(stream) + 1) for at in cuts), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(ends)]


# Streams a client could send: mostly right, some bent.

TOPICS = st.sampled_from([b"a", b"a/b", b"", b"a/+", b"\xff", b"a\n", b"/" * 127, b"/" * 128])
PROPERTIES = st.sampled_from(
    [
        b"\x01\x01",
        b"\x01\x00",
        b"\x02\0\0\0\x05",
        b"\x03\0\x01c",
        b"\x08\0\x01r",
        b"\x09\0\x01\xff",
        b"\x26\0\x01a\0\x01b",
        b"\x23\0\x01",
        b"\x23\0\x02",
        b"\x23\0\x04",
        b"\x0b\x01",
        b"\x11\0\0\0\0",
        b"\x08\0\x01+",
    ]
)
IDS = st.sampled_from([b"\0\x01", b"\0\x02", b"\xff\xff", b"\0\0"])


@st.composite
def publishes(draw: st.DrawFn, version: int) -> bytes:
    qos = draw(st.integers(0, 2))
    first = 0x30 | qos << 1 | draw(st.sampled_from([0, 1])) | (draw(st.sampled_from([0, 8])) if qos else 0)
    body = string(draw(TOPICS)) + (draw(IDS) if qos else b"")
    if version == 5:
        properties = b"".join(draw(st.lists(PROPERTIES, max_size=3)))
        body += bytes([len(properties)]) + properties
    return packet(first, body + draw(st.sampled_from([b"", b"text", b"\xff", bytes(5000), bytes(3000)])))


def streams(version: int) -> st.SearchStrategy[bytes]:
    acks = st.builds(
        lambda first, id, rest: packet(first, id + rest),
        st.sampled_from([0x40, 0x50, 0x62, 0x70, 0x60]),
        IDS,
        st.sampled_from([b"", b"", b"\0", b"\x92", b"\x87", b"\x10\0", b"\0\x05\x1f\0\x02no"]),
    )
    others = st.sampled_from(
        [
            b"\xc0\0",
            packet(0x82, b"\0\1\0\1#\1"),
            packet(0xA2, b"\0\1\0\1#"),
            b"\xe0\0",
            b"\xf0\0",
            b"\x20\2\0\0",
            b"\xc1\0",
        ]
    )
    packets = publishes(version) | publishes(version) | acks | others
    return st.lists(packets, max_size=12).map(lambda packets: connect(version) + b"".join(packets))


STREAMS = st.sampled_from([3, 4, 5]).flatmap(streams)


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 2**31), max_size=8))
def test_however_a_stream_is_cut_the_facts_are_the_same(stream: bytes, cuts: list[int]) -> None:
    assert decode_all(new_decoder(), cut(stream, cuts)) == decode_all(new_decoder(), [stream])


@given(stream=STREAMS, at=st.integers(0, 2**31), garbage=st.binary(max_size=40), cuts=st.lists(st.integers(0, 2**31)))
def test_no_bytes_give_more_than_a_violation(stream: bytes, at: int, garbage: bytes, cuts: list[int]) -> None:
    at %= len(stream) + 1
    bent = stream[:at] + garbage + stream[at:]
    facts = decode_all(new_decoder(), [bent])
    assert all(fact[0] != "violation" for fact in facts[:-1])
    assert decode_all(new_decoder(), cut(bent, cuts)) == facts
    if garbage and garbage[0] >> 4 != 1:
        assert decode_all(new_decoder(), [garbage]) == [("violation", 0x82)]


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: str(path.name))
def test_the_corpus_decodes_the_same_however_it_is_cut(path: Path) -> None:
    stream = path.read_bytes()
    whole = decode_all(new_decoder(), [stream])
    for size in (1, 7, 64):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert decode_all(new_decoder(), pieces) == whole


# mqtt5: strict, version 5 only

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TOPIC = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="+#"), min_size=1, max_size=20)
USER_PROPERTIES = st.lists(st.tuples(TEXT, TEXT), max_size=3)


@given(
    topic=TOPIC,
    payload=TEXT.map(str.encode),
    qos=st.integers(0, 2),
    retain=st.booleans(),
    text_format=st.booleans(),
    expiry_s=st.none() | st.integers(0, 2**32 - 1),
    content_type=st.none() | TEXT,
    response_topic=st.none() | TOPIC,
    correlation_data=st.none() | st.binary(max_size=20),
    user_properties=USER_PROPERTIES,
)
def test_what_mqtt5_writes_comes_out_as_it_reads_it(
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    text_format: bool,
    expiry_s: int | None,
    content_type: str | None,
    response_topic: str | None,
    correlation_data: bytes | None,
    user_properties: list[tuple[str, str]],
) -> None:
    told: dict[str, Any] = {
        "payload_format_indicator": int(text_format),
        "content_type": content_type,
        "response_topic": response_topic,
        "correlation_data": correlation_data,
        "user_properties": user_properties,
    }
    sent = mqtt5.PublishPacket(
        topic,
        payload,
        qos=mqtt5.QoS(qos),
        retain=retain,
        packet_id=7 if qos else None,
        message_expiry_interval=expiry_s,
        **told,
    )
    [fact] = decode_all(new_decoder(), [connect(5), sent.write()])[1:]
    ours, id, exchange, name, properties, body, flags, expiration_ms = fact
    assert (ours, id, exchange, name, body) == (qos, 7 if qos else 0, b"amq.topic", topic.encode(), payload)
    assert flags == QOS_FLAGS[qos] | (FLAG_RETAIN if retain else 0)
    assert expiration_ms == (None if expiry_s is None else min(expiry_s * 1000, 2**32 - 2))
    # And on to a subscriber, who has two subscriptions.
    run = MessageRun.of(0, [(exchange, name, properties, body, flags, expiration_ms)], ORIGIN_MQTT)
    chunk, left_out = PublishEncoder().encode(
        DeliveryRun.of(run, 0, 1, True),
        version=5,
        grants=Grant(2, True, [1, 300]),
        packet_ids=PacketIds.of([9]) if qos else None,
        now_ms=0,
        packet_size_max=1 << 20,
        aliases=None,
    )
    assert left_out == []
    received, size = mqtt5.read(memoryview(bytes(chunk)))
    assert size == len(chunk)
    assert isinstance(received, mqtt5.PublishPacket)
    assert {name: getattr(received, name) for name in told} == told
    assert (received.topic, received.payload, received.retain) == (topic, payload, retain)
    assert (int(received.qos), received.duplicate, received.packet_id) == (qos, qos > 0, 9 if qos else None)
    assert received.subscription_ids == [1, 300]


@pytest.mark.parametrize(
    ("kind", "packet_class", "reasons"),
    [
        (4, mqtt5.PubAckPacket, mqtt5.PubAckReasonCode),
        (5, mqtt5.PubRecPacket, mqtt5.PubRecReasonCode),
        (6, mqtt5.PubRelPacket, mqtt5.PubRelReasonCode),
        (7, mqtt5.PubCompPacket, mqtt5.PubCompReasonCode),
    ],
)
def test_acknowledgements_are_as_mqtt5_has_them(kind: int, packet_class: Any, reasons: Any) -> None:
    known = []
    for reason in range(256):
        try:
            code = reasons(reason)
        except ValueError:
            wrong = packet(kind << 4 | (2 if kind == 6 else 0), b"\0\x07" + bytes([reason]))
            assert decode_all(new_decoder(), [connect(5), wrong])[1:] == [("violation", 0x82)]
            continue
        known.append(reason)
        theirs = packet_class(7, reason_code=code, reason_str="why", user_properties=[("a", "b"), ("a", "c")]).write()
        assert decode_all(new_decoder(), [connect(5), theirs])[1:] == [("ack", kind, reason, 7)]
        ours = encode_acks(kind, PacketIds.of([7]), reason, 5)
        assert ours == packet_class(7, reason_code=code).write()
    assert len(known) == (9 if kind < 6 else 2)
