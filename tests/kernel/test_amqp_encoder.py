"""The kernel's AMQP encoders against frames written slowly, against pamqp, and against the kernel's decoder."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import base as pamqp_base
from pamqp import body as pamqp_body
from pamqp import frame as pamqp_frame
from pamqp import header as pamqp_header

from kernel import (
    DeliveryRun,
    MessageRun,
    encode_confirms,
    encode_deliveries,
    encode_get_ok,
    encode_returns,
)
from tests.kernel.slow_amqp import body, header, method, opened, publish, short_string

FRAME_SIZE_MAX = 4096
Row = tuple[bytes, bytes, bytes, bytes, int, int | None]

NAMES = st.sampled_from([b"", b"q", b"orders.new", b"k" * 255, b"\xc3\xb1", b"a b'\"?"])
PROPERTIES = st.sampled_from([b"\0\0", b"\x10\0\2", b"\x88\0\x04text\x05", b"\x20\0\0\0\0\x04\x01at\x01"])
BODIES = st.sampled_from([b"", b"x", bytes(16), bytes(4088), bytes(4089), bytes(9000)])
ROWS: st.SearchStrategy[list[Row]] = st.lists(
    st.tuples(NAMES, NAMES, PROPERTIES, BODIES, st.just(0), st.none()), min_size=1, max_size=6
)


def content(channel: int, properties: bytes, payload: bytes, frame_size_max: int = FRAME_SIZE_MAX) -> bytes:
    size_max = frame_size_max - 8
    pieces = [body(channel, payload[at : at + size_max]) for at in range(0, len(payload), size_max)]
    return header(channel, len(payload), properties) + b"".join(pieces)


@given(ROWS, st.integers(1, 2047), NAMES, st.integers(1, 2**63), st.booleans(), st.data())
def test_deliveries_are_as_written_slowly(
    rows: list[Row], channel: int, consumer_tag: bytes, first_tag: int, redelivered: bool, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(rows) - 1))
    run = MessageRun.of(channel, rows)
    parts = [(0, len(rows), False), (first, len(rows) - first, redelivered)]
    deliveries = DeliveryRun.joined([DeliveryRun.of(run, *part) for part in parts])
    expected, tag = b"", first_tag
    for start, count, again in parts:
        for exchange, routing_key, properties, payload, *_ in rows[start : start + count]:
            arguments = short_string(consumer_tag) + struct.pack(">QB", tag, again)
            arguments += short_string(exchange) + short_string(routing_key)
            expected += method(channel, (60, 60), arguments) + content(channel, properties, payload)
            tag += 1
    assert bytes(encode_deliveries(deliveries, channel, consumer_tag, first_tag, FRAME_SIZE_MAX)) == expected


@given(ROWS, st.integers(1, 2047))
def test_what_was_decoded_is_encoded_like_what_was_built(rows: list[Row], channel: int) -> None:
    stream = b"".join(
        publish(channel, exchange, routing_key) + content(channel, properties, payload)
        for exchange, routing_key, properties, payload, *_ in rows
    )
    runs = [got for got in opened().receive_data(stream) if isinstance(got, MessageRun)]
    rows_of_runs = [row for run in runs for row in run.rows()]
    assert [row[:4] for row in rows_of_runs] == [row[:4] for row in rows]
    deliveries = DeliveryRun.joined([DeliveryRun.of(run, 0, run.count, False) for run in runs])
    whole = DeliveryRun.of(MessageRun.of(channel, rows), 0, len(rows), False)
    assert encode_deliveries(deliveries, channel, b"", 1, FRAME_SIZE_MAX) == encode_deliveries(
        whole, channel, b"", 1, FRAME_SIZE_MAX
    )


@given(ROWS)
def test_returns_are_as_written_slowly(rows: list[Row]) -> None:
    run = MessageRun.of(1, rows)
    expected = b"".join(
        method(
            1,
            (60, 50),
            struct.pack(">H", 312) + short_string(b"NO_ROUTE") + short_string(row[0]) + short_string(row[1]),
        )
        + content(1, row[2], row[3])
        for row in rows
    )
    assert bytes(encode_returns(run, 1, 312, b"NO_ROUTE", FRAME_SIZE_MAX)) == expected


@given(ROWS, st.integers(1, 2**63), st.integers(0, 2**32 - 1), st.booleans())
def test_a_get_ok_is_as_written_slowly(rows: list[Row], tag: int, count: int, redelivered: bool) -> None:
    exchange, routing_key, properties, payload, *_ = rows[-1]
    got = DeliveryRun.of(MessageRun.of(7, rows), len(rows) - 1, 1, redelivered)
    arguments = struct.pack(">QB", tag, redelivered) + short_string(exchange) + short_string(routing_key)
    expected = method(7, (60, 71), arguments + struct.pack(">I", count)) + content(7, properties, payload)
    assert bytes(encode_get_ok(got, 7, tag, count, FRAME_SIZE_MAX)) == expected


def test_pamqp_reads_what_is_written() -> None:
    rows: list[Row] = [(b"x", b"key", b"\x10\0\2", b"hello", 1, None)]
    run = MessageRun.of(3, rows)
    encoded = bytes(encode_deliveries(DeliveryRun.of(run, 0, 1, True), 3, b"ctag", 9, FRAME_SIZE_MAX))
    encoded += bytes(encode_returns(run, 3, 312, b"NO_ROUTE", FRAME_SIZE_MAX))
    encoded += bytes(encode_get_ok(DeliveryRun.of(run, 0, 1, False), 3, 10, 4, FRAME_SIZE_MAX))
    encoded += encode_confirms(3, [(1, 5)], 0, False) + encode_confirms(3, [(7, 7)], 5, True)
    read: list[object] = []
    while encoded:
        size, channel, got = pamqp_frame.unmarshal(encoded)
        assert channel == 3
        read.append(got)
        encoded = encoded[size:]
    methods = [dict(got) for got in read if isinstance(got, pamqp_base.Frame)]
    assert methods == [
        {"consumer_tag": "ctag", "delivery_tag": 9, "redelivered": True, "exchange": "x", "routing_key": "key"},
        {"reply_code": 312, "reply_text": "NO_ROUTE", "exchange": "x", "routing_key": "key"},
        {"delivery_tag": 10, "redelivered": False, "exchange": "x", "routing_key": "key", "message_count": 4},
        {"delivery_tag": 5, "multiple": True},
        {"delivery_tag": 7, "multiple": False, "requeue": False},
    ]
    headers = [got for got in read if isinstance(got, pamqp_header.ContentHeader)]
    assert [(got.body_size, got.properties.delivery_mode) for got in headers] == [(5, 2)] * 3
    assert [got.value for got in read if isinstance(got, pamqp_body.ContentBody)] == [b"hello"] * 3


# Confirms


def read_confirms(encoded: bytes) -> list[tuple[int, int, bool]]:
    """Method, tag, multiple of each."""
    read = []
    for at in range(0, len(encoded), 21):
        _, _, size, _, method_id, tag, bits, end = struct.unpack_from(">BHIHHQBB", encoded, at)
        assert (size, end, bits & ~1) == (13, 0xCE, 0)
        read.append((method_id, tag, bool(bits)))
    return read


@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.booleans(), st.booleans())
def test_a_client_learns_of_each_range_and_of_nothing_else(lengths: list[int], odd: bool, nack: bool) -> None:
    """Every second stretch of tags is confirmed; what was settled before is the first stretch, or nothing."""
    edges = [0]
    for length in lengths:
        edges.append(edges[-1] + length)
    stretches = [(a + 1, b) for a, b in itertools.pairwise(edges)]
    settled_through = edges[1] if odd else 0
    ranges = stretches[1 if odd else 0 :: 2]
    pending = set(range(settled_through + 1, edges[-1] + 1))
    confirmed: set[int] = set()
    for method_id, tag, multiple in read_confirms(encode_confirms(1, ranges, settled_through, nack)):
        assert method_id == (120 if nack else 80)
        told = {t for t in pending if t <= tag} if multiple else {tag}
        assert told <= pending
        pending -= told
        confirmed |= told
    assert confirmed == {tag for first, last in ranges for tag in range(first, last + 1)}


def test_a_range_that_goes_on_from_what_was_settled_is_one_frame() -> None:
    assert read_confirms(encode_confirms(1, [(4, 2000)], 3, False)) == [(80, 2000, True)]
    assert read_confirms(encode_confirms(1, [(4, 4)], 3, False)) == [(80, 4, False)]
    assert read_confirms(encode_confirms(1, [(4, 5), (6, 9)], 3, True)) == [(120, 5, True), (120, 9, True)]
    assert read_confirms(encode_confirms(1, [(5, 6)], 3, False)) == [(80, 5, False), (80, 6, False)]
    assert encode_confirms(1, [], 3, False) == b""


def test_misuse_is_refused() -> None:
    run = MessageRun.of(1, [(b"", b"q", b"\0\0", b"", 0, None)])
    for bad_range in ((0, 1), (5, 4)):
        with pytest.raises(ValueError, match="range"):
            encode_confirms(1, [bad_range], 0, False)
    with pytest.raises(ValueError, match="255 bytes"):
        encode_deliveries(DeliveryRun.of(run, 0, 1, False), 1, b"t" * 256, 1, FRAME_SIZE_MAX)
    with pytest.raises(ValueError, match="4096 bytes"):
        encode_returns(run, 1, 312, b"", 4095)
    with pytest.raises(ValueError, match="one message"):
        encode_get_ok(DeliveryRun.of(run, 0, 0, False), 1, 1, 0, FRAME_SIZE_MAX)
