"""Record batches against a slow twin, written from Kafka's description of batch v2 and our frame around it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import MessageRun, decode_record_batch, encode_record_batch, retain_records

Row = tuple[bytes, bytes, bytes, bytes, int, int | None]

NAMES = st.sampled_from([b"", b"q", b"orders.new", b"k" * 255, b"\xff\0"])
ROWS: st.SearchStrategy[list[Row]] = st.lists(
    st.tuples(
        NAMES,
        NAMES,
        st.sampled_from([b"\0\0", b"\x10\0\2", b"\x08\0\x07", b"\x88\0\x04text\x05"]),
        st.sampled_from([b"", b"x", bytes(63), bytes(64), bytes(8191), bytes(8192)]) | st.binary(max_size=40),
        st.integers(0, 15),
        st.none() | st.integers(0, 2**32 - 2),
    ),
    min_size=1,
    max_size=9,
)
TIMES = st.integers(0, 2**62)


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRC_OF_BYTE = [_crc_of_byte(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """Castagnoli, byte by byte."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_OF_BYTE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value: int) -> bytes:
    value = value << 1 if value >= 0 else -value * 2 - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def encode_slowly(messages: MessageRun, time_ms: int, numbers: list[int] | None = None) -> bytes:
    """The frame of a run, or of those of its records that are named."""
    keys = messages.keys()
    frame = struct.pack("<BH", 0, len(keys))
    for exchange, routing_key, *_ in keys:
        frame += bytes([len(exchange)]) + exchange + bytes([len(routing_key)]) + routing_key
    frame += struct.pack("<I", crc32c(frame))
    rows, records = messages.rows(), b""
    kept = range(len(rows)) if numbers is None else numbers
    for number in kept:
        _, _, properties, body, flags, expiration_ms = rows[number]
        expiration = 2**32 - 1 if expiration_ms is None else expiration_ms
        value = struct.pack("<HBBI", messages.key(number), flags, messages.priority(number), expiration) + properties
        record = b"\0" + varint(0) + varint(number) + varint(-1) + varint(len(body)) + body
        record += varint(1) + varint(1) + b"\0" + varint(len(value)) + value
        records += varint(len(record)) + record
    checked = struct.pack(">hiqqqhii", 0, len(rows) - 1, time_ms, time_ms, -1, -1, -1, len(kept)) + records
    return frame + struct.pack(">qiibI", 0, len(checked) + 9, 0, 2, crc32c(checked)) + checked


@given(ROWS, TIMES)
def test_the_twin_writes_the_same_bytes(rows: list[Row], time_ms: int) -> None:
    messages = MessageRun.of(1, rows)
    if sum(len(row[3]) for row in rows) < 3000:  # the twin's CRC is slow
        assert encode_record_batch(messages, time_ms) == encode_slowly(messages, time_ms)


@given(ROWS, TIMES)
def test_a_run_comes_back_whole(rows: list[Row], time_ms: int) -> None:
    messages = MessageRun.of(1, rows)
    decoded_time, decoded, numbers = decode_record_batch(encode_record_batch(messages, time_ms))
    assert (decoded_time, numbers) == (time_ms, list(range(len(rows))))
    assert decoded.rows() == messages.rows() == rows
    assert decoded.keys() == messages.keys()
    assert [decoded.priority(i) for i in numbers] == [messages.priority(i) for i in numbers]


@given(ROWS, st.data())
def test_records_that_are_retained_keep_their_numbers(rows: list[Row], data: st.DataObject) -> None:
    messages = MessageRun.of(1, [(*row[:3], row[3][:40], *row[4:]) for row in rows])
    edges = data.draw(st.lists(st.integers(0, len(rows) + 2), max_size=6, unique=True).map(sorted))
    ranges = list(zip(edges[::2], edges[1::2], strict=False))
    kept = [n for n in range(len(rows)) if any(first <= n < past for first, past in ranges)]
    retained = retain_records(encode_record_batch(messages, 5), ranges)
    if not kept:
        assert retained is None
        return
    assert retained == encode_slowly(messages, 5, kept)
    assert decode_record_batch(retained)[2] == kept


@given(ROWS, st.data())
def test_a_flipped_bit_or_a_missing_byte_is_found(rows: list[Row], data: st.DataObject) -> None:
    frame = encode_record_batch(MessageRun.of(1, rows), 5)
    at = data.draw(st.integers(0, len(frame) * 8 - 1))
    flipped = bytearray(frame)
    flipped[at // 8] ^= 1 << at % 8
    for damaged in (bytes(flipped), frame[: at // 8], frame + b"\0"):
        with pytest.raises(ValueError, match=r"."):
            decode_record_batch(damaged)
        with pytest.raises(ValueError, match=r"."):
            retain_records(damaged, [(0, 1)])


@given(st.binary(max_size=200))
def test_garbage_is_damage_and_nothing_worse(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_record_batch(garbage)


def test_kafkas_own_checksum_covers_what_it_says() -> None:
    """CRC32C of "123456789" is E3069283 (RFC 3720 B.4's polynomial)."""
    assert crc32c(b"123456789") == 0xE3069283
