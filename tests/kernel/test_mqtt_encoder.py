"""MQTT's encoders: what they write, and that the decoder reads it back; see also the Rust tests beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import (
    FLAG_EXACTLY_ONCE,
    FLAG_PERSISTENT,
    FLAG_RETAIN,
    ORIGIN_AMQP,
    ORIGIN_MQTT,
    Acks,
    Chunk,
    DeliveryRun,
    Grant,
    MessageRun,
    MqttDecoder,
    PacketIds,
    PublishEncoder,
    Publishes,
    TopicAliases,
    encode_acks,
)

Row = tuple[bytes, bytes, bytes, bytes, int, int | None]

TOPICS = st.sampled_from([b"a", b"a/b", b"$SYS/x", "caf\u00e9".encode(), b"/"])
PROPERTIES = st.sampled_from([b"", b"\x01\x00", b"\x09\x00\x01\xff\x26\x00\x01a\x00\x01b"])
FLAGS = st.sampled_from([0, FLAG_PERSISTENT, FLAG_PERSISTENT | FLAG_EXACTLY_ONCE, FLAG_RETAIN])
ROWS = st.lists(
    st.tuples(st.just(b"amq.topic"), TOPICS, PROPERTIES, st.binary(max_size=200), FLAGS, st.none()), min_size=1
)


def deliveries(*rows: Row, redelivered: bool = False) -> DeliveryRun:
    return DeliveryRun.of(MessageRun.of(0, rows, ORIGIN_MQTT), 0, len(rows), redelivered)


def row(topic: bytes = b"t", body: bytes = b"x", flags: int = 0) -> Row:
    return (b"amq.topic", topic, b"", body, flags, None)


def opened(version: int, topic_alias_max: int = 0) -> MqttDecoder:
    decoder = MqttDecoder(1 << 20)
    name = b"\x00\x06MQIsdp" if version == 3 else b"\x00\x04MQTT"
    decoder.receive_data(bytes([0x10, len(name) + 1]) + name + bytes([version]))
    decoder.topic_alias_max = topic_alias_max
    decoder.resume()
    return decoder


def read(version: int, wire: bytes, topic_alias_max: int = 0) -> list[tuple[int, int, bytes, bytes, bytes]]:
    """QoS, packet identifier, topic, properties, body of each."""
    read = []
    for frame in opened(version, topic_alias_max).receive_data(wire):
        assert isinstance(frame, Publishes), frame
        ids = frame.packet_ids.to_list() or [0] * len(frame.messages)
        read += [(frame.qos, id, *row[1:4]) for id, row in zip(ids, frame.messages.rows(), strict=True)]
    return read


def encode(
    run: DeliveryRun,
    version: int = 5,
    grants: Grant | list[Grant] | None = None,
    ids: list[int] | None = None,
    packet_size_max: int = 1 << 20,
    aliases: TopicAliases | None = None,
    encoder: PublishEncoder | None = None,
) -> tuple[bytes, list[int]]:
    chunk, left_out = (encoder or PublishEncoder()).encode(
        run,
        version=version,
        grants=Grant(2, False, []) if grants is None else grants,
        packet_ids=None if ids is None else PacketIds.of(ids),
        now_ms=0,
        packet_size_max=packet_size_max,
        aliases=aliases,
    )
    assert isinstance(chunk, Chunk)
    return bytes(chunk), left_out


@given(
    rows=ROWS, version=st.sampled_from([3, 4, 5]), qos=st.integers(0, 2), with_ids=st.booleans(), aliased=st.booleans()
)
def test_what_is_encoded_is_decoded(rows: list[Row], version: int, qos: int, with_ids: bool, aliased: bool) -> None:
    ids = list(range(1, len(rows) + 1)) if with_ids else None
    aliases = TopicAliases(2) if aliased and version == 5 else None
    wire, left_out = encode(deliveries(*rows), version, Grant(qos, False, []), ids, aliases=aliases)
    expected = []
    for index, (_, topic, properties, body, flags, _) in enumerate(rows):
        published = 2 if flags & FLAG_EXACTLY_ONCE else 1
        sent_qos = max(1, min(published, qos)) if with_ids else 0
        id = index + 1 if with_ids else 0
        expected.append((sent_qos, id, topic, properties if version == 5 else b"", body))
    assert read(version, wire, 2) == expected
    assert left_out == []


@given(rows=ROWS, with_ids=st.booleans(), subscribers=st.lists(st.integers(1, 65535), min_size=1, max_size=5))
def test_a_fan_out_is_the_same_as_one_by_one(rows: list[Row], with_ids: bool, subscribers: list[int]) -> None:
    run, shared = deliveries(*rows), PublishEncoder()
    for first_id in subscribers:
        ids = [1 + (first_id + n) % 65535 for n in range(len(rows))] if with_ids else None
        assert encode(run, ids=ids, encoder=shared) == encode(run, ids=ids)
    assert shared.held > 0


def test_topics_come_in_the_order_they_are_first_seen_whatever_the_origin() -> None:
    ours = deliveries(row(b"b/c"), row(b"a"), row(b"b/c"))
    foreign = MessageRun.of(
        1, [(b"x", b"b.c", b"\0\0", b"y", 0, None), (b"x", b"p/q", b"\0\0", b"z", 0, None)], ORIGIN_AMQP
    )
    run = DeliveryRun.joined([ours, DeliveryRun.of(foreign, 0, 2, False)])
    assert run.topics() == [b"b/c", b"a", b"p%2Fq"]
    grants = [Grant(2, False, [n]) for n in (1, 2, 3)]
    wire, _ = encode(run, grants=grants)
    assert wire.count(b"\x00\x03b/c\x02\x0b\x01") == 3
    assert wire.count(b"\x00\x01a\x02\x0b\x02") == 1
    assert wire.count(b"\x00\x05p%2Fq\x02\x0b\x03") == 1


def test_amqp_messages_bring_their_properties_and_lead_back_to_their_queue() -> None:
    foreign = MessageRun.of(1, [(b"", b"q", b"\x90\x00\x01a\x01", b"y", 0, None)], ORIGIN_AMQP)
    run = DeliveryRun.of(foreign, 0, 1, False)
    assert run.topics() == [b"$queue/q"]
    wire, _ = encode(run)
    assert b"$queue/q\x04\x03\x00\x01ay" in wire


def test_what_is_too_large_is_named_by_its_index() -> None:
    run = deliveries(row(body=b"x" * 10), row(), row(body=b"x" * 10))
    wire, left_out = encode(run, ids=[1, 2, 3], packet_size_max=12)
    assert left_out == [0, 2]
    assert [message[1] for message in read(5, wire)] == [2]


def test_calls_that_make_no_sense_are_errors() -> None:
    run = deliveries(row(), row(b"u"))
    with pytest.raises(ValueError, match="a packet identifier for each"):
        encode(run, ids=[1])
    with pytest.raises(ValueError, match="a grant for each topic"):
        encode(run, grants=[Grant(0, False, [])])
    with pytest.raises(ValueError, match="a version is"):
        encode(run, version=6)
    with pytest.raises(ValueError, match="topic aliases are MQTT 5's"):
        encode(run, version=4, aliases=TopicAliases(1))
    with pytest.raises(TypeError, match="grants are"):
        encode(run, grants=[0, 1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="a QoS is"):
        Grant(3, False, [])
    for id in (0, 268_435_456):
        with pytest.raises(ValueError, match="a subscription identifier is"):
            Grant(0, False, [id])


def test_a_grant_is_what_it_was_made_of() -> None:
    grant = Grant(1, True, [7, 268_435_455])
    assert (grant.qos, grant.retain_as_published, grant.subscription_ids) == (1, True, [7, 268_435_455])
    assert grant == Grant(1, True, [7, 268_435_455])
    assert grant != Grant(1, True, [7])
    assert repr(grant) == "Grant(qos=1, retain_as_published=True, subscription_ids=[7, 268435455])"


@given(
    kind=st.integers(4, 7),
    ids=st.lists(st.integers(1, 65535), min_size=1),
    version=st.sampled_from([3, 4, 5]),
    refused=st.booleans(),
)
def test_acknowledgements_are_decoded(kind: int, ids: list[int], version: int, refused: bool) -> None:
    reason = (0x87 if kind < 6 else 0x92) if refused else 0
    wire = encode_acks(kind, PacketIds.of(ids), reason, version)
    assert len(wire) == len(ids) * (5 if reason and version == 5 else 4)
    told = reason if version == 5 else 0
    assert opened(version).receive_data(wire) == [Acks(kind, told, PacketIds.of(ids))]


def test_an_acknowledgement_has_the_reasons_of_its_kind() -> None:
    with pytest.raises(ValueError, match="of kind 4"):
        encode_acks(3, PacketIds.of([1]), 0, 5)
    with pytest.raises(ValueError, match="PUBREL has no reason code 0x87"):
        encode_acks(6, PacketIds.of([1]), 0x87, 5)
