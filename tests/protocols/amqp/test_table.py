"""Field tables: every type read, nothing raised but violations, and pamqp agreed with where it is right."""

from __future__ import annotations

import math
import struct
from typing import Any

import pamqp.decode
import pamqp.encode
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.model.topology import Timestamp
from protocols.amqp.reply_codes import ReplyCode
from protocols.amqp.table import TABLE_DEPTH_MAX, TABLE_ELEMENTS_MAX, decode_table, encode_table
from protocols.amqp.violation import ProtocolViolation

keys = st.text(max_size=60).filter(lambda key: len(key.encode()) <= 255)
scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(0, 2**64 - 1).map(Timestamp)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
tables = st.dictionaries(keys, values, max_size=6)


def table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


@given(tables)
def test_what_is_encoded_is_decoded(value: dict[str, Any]) -> None:
    encoded = encode_table(value)
    assert decode_table(b"ab" + encoded + b"cd", 2) == (value, len(encoded) + 2)


def test_a_timestamp_stays_a_timestamp() -> None:
    decoded, _ = decode_table(encode_table({"t": Timestamp(2**40), "n": 2**40}))
    assert [type(value) for value in decoded.values()] == [Timestamp, int]


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (b"t\x01", True),
        (b"t\x00", False),
        (b"b\xff", -1),
        (b"B\xff", 255),
        (b"s\xff\xfe", -2),
        (b"u\xff\xfe", 65534),
        (b"I\xff\xff\xff\xff", -1),
        (b"i\xff\xff\xff\xff", 2**32 - 1),
        (b"l" + b"\xff" * 8, -1),
        (b"f\x3f\x80\x00\x00", 1.0),
        (b"d" + struct.pack(">d", 0.1), 0.1),
        (b"D\x02\x00\x00\x00\x7b", 1.23),
        (b"D\xff\xff\xff\xff\xff", -1 / 10**255),
        (b"S\x00\x00\x00\x03a\x00b", "a\x00b"),
        (b"S\x00\x00\x00\x02\xff\xfe", b"\xff\xfe"),
        (b"x\x00\x00\x00\x01a", b"a"),
        (b"T" + b"\xff" * 8, 2**64 - 1),
        (b"V", None),
        (b"A\x00\x00\x00\x03Vt\x01", [None, True]),
        (b"A\x00\x00\x00\x00", []),
        (b"F\x00\x00\x00\x03\x01aV", {"a": None}),
    ],
)
def test_every_type_that_rabbitmq_reads_is_read(encoded: bytes, value: object) -> None:
    decoded, _ = decode_table(table(b"\x01k" + encoded + b"\x01zV"))
    assert decoded == {"k": value, "z": None}


def test_a_nan_is_read() -> None:
    decoded, _ = decode_table(table(b"\x01kd\x7f\xf8" + bytes(6)))
    assert math.isnan(decoded["k"])


@given(st.binary(max_size=80))
@example(b"\x00\x00\x00\x02\x01k")
@example(b"\x00\x00\x00\x03\x01kS")
@example(b"\x00\x00\x00\x08\x01kS\x00\x00\x00\x09a")
@example(b"\xff\xff\xff\xff")
def test_garbage_is_a_syntax_error_and_nothing_else(data: bytes) -> None:
    for framed in (data, table(data)):
        try:
            found: object = type(decode_table(framed)[0])
        except ProtocolViolation as violation:
            found = violation.code
        assert found in (dict, ReplyCode.SYNTAX_ERROR)


@given(tables, st.data())
def test_a_table_cut_anywhere_is_a_syntax_error(value: dict[str, Any], data: st.DataObject) -> None:
    encoded = encode_table(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(ProtocolViolation):
        decode_table(encoded[:cut])


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = b"\x01kF" + table(inner)
    return table(inner)


def nested_arrays(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = b"A" + table(inner)
    return table(b"\x01k" + inner)


@pytest.mark.parametrize("nest", [nested, nested_arrays])
def test_depth_is_bounded_without_recursion(nest: Any) -> None:
    decode_table(nest(TABLE_DEPTH_MAX - 1))
    for depth in (TABLE_DEPTH_MAX, 1500):
        with pytest.raises(ProtocolViolation, match="nested deeper than 32"):
            decode_table(nest(depth))


def test_the_number_of_values_is_bounded() -> None:
    decode_table(table(b"\x01kA" + table(b"V" * (TABLE_ELEMENTS_MAX - 1))))
    with pytest.raises(ProtocolViolation, match="more than 65536 values"):
        decode_table(table(b"\x01kA" + table(b"V" * TABLE_ELEMENTS_MAX)))


# pamqp writes integers as the smallest type that holds them, floats as 32 bits, and knows neither bytes nor timestamps
# past 2106.
pamqp_scalars = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
pamqp_values = pamqp_scalars | st.lists(pamqp_scalars, max_size=3)
pamqp_tables = st.dictionaries(st.text(min_size=1, max_size=20), pamqp_values, max_size=5)


@given(pamqp_tables)
def test_pamqp_reads_what_we_write_and_writes_what_we_read(value: dict[str, Any]) -> None:
    encoded = encode_table(value)
    consumed, theirs = pamqp.decode.field_table(encoded)
    assert (consumed, theirs) == (len(encoded), value)
    assert decode_table(pamqp.encode.field_table(value))[0] == value
