"""Field tables (AMQP 0-9-1 4.2.5.5), with the value types as RabbitMQ reads them.

Law: no bytes whatever make ``decode_table`` raise anything but a ProtocolViolation SYNTAX_ERROR, and it does not
recurse.  ``encode_table`` is for tables of our own making; a message's headers are never decoded and encoded again,
they stay opaque, because a decoded integer has lost its width.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from broker.model.topology import Arguments, Timestamp
from protocols.amqp.reply_codes import ReplyCode
from protocols.amqp.violation import ProtocolViolation

TABLE_DEPTH_MAX = 32
"""Tables and arrays in each other.  Limits and bad input, rule G5."""
TABLE_ELEMENTS_MAX = 65_536
"""Values in one table, nested ones included (same rule)."""

_U32 = struct.Struct(">I")
_I32_MIN, _I32_MAX = -(1 << 31), (1 << 31) - 1
_Container: TypeAlias = dict[str, Any] | list[Any]


def _decimal(value: tuple[int, int]) -> float:
    """A scale and the digits.  Python's float division rounds correctly where ``digits * 10 ** -scale`` does not."""
    scale, digits = value
    return digits / float(10**scale)


# The type's octet -> its layout and how what was unpacked becomes a value.
_FIXED: dict[int, tuple[struct.Struct, Callable[[tuple[Any, ...]], Any]]] = {
    ord("t"): (struct.Struct(">B"), lambda v: v[0] != 0),
    ord("b"): (struct.Struct(">b"), lambda v: v[0]),
    ord("B"): (struct.Struct(">B"), lambda v: v[0]),
    ord("s"): (struct.Struct(">h"), lambda v: v[0]),
    ord("u"): (struct.Struct(">H"), lambda v: v[0]),
    ord("I"): (struct.Struct(">i"), lambda v: v[0]),
    ord("i"): (struct.Struct(">I"), lambda v: v[0]),
    ord("l"): (struct.Struct(">q"), lambda v: v[0]),
    ord("f"): (struct.Struct(">f"), lambda v: v[0]),
    ord("d"): (struct.Struct(">d"), lambda v: v[0]),
    ord("D"): (struct.Struct(">Bi"), lambda v: _decimal((v[0], v[1]))),
    ord("T"): (struct.Struct(">Q"), lambda v: Timestamp(v[0])),
    ord("V"): (struct.Struct(""), lambda v: None),
}
_TABLE, _ARRAY, _LONG_STRING, _BYTES = b"FASx"


def decode_table(data: bytes, start: int = 0) -> tuple[Arguments, int]:
    """The table whose size stands at ``start``, and the position after it."""
    size = _u32(data, start)
    end = _checked_end(start + 4, size, len(data))
    return decode_table_entries(data, start + 4, end), end


def decode_table_entries(data: bytes, position: int, end: int) -> Arguments:
    """The table whose entries lie from ``position`` to ``end``, without a size before it (AMQPLAIN sends one)."""
    root: Arguments = {}
    container: _Container = root
    outer: list[tuple[_Container, int]] = []
    elements_left = TABLE_ELEMENTS_MAX
    while True:
        if position == end:
            if not outer:
                return root
            container, end = outer.pop()
            continue
        if not elements_left:
            raise _syntax_error(f"table of more than {TABLE_ELEMENTS_MAX} values")
        elements_left -= 1
        key = ""
        if isinstance(container, dict):
            key, position = decode_short_string(data, position, end)
        value, position, inner_end = _decode_value(data, position, end)
        if isinstance(container, dict):
            container[key] = value
        else:
            container.append(value)
        if inner_end is not None:
            if len(outer) + 2 > TABLE_DEPTH_MAX:
                raise _syntax_error(f"table nested deeper than {TABLE_DEPTH_MAX}")
            outer.append((container, end))
            container, end = value, inner_end


def _decode_value(data: bytes, position: int, end: int) -> tuple[Any, int, int | None]:
    """A value, the position after it, and for a table or an array (empty as yet) where its inside ends."""
    if position >= end:
        raise _syntax_error("table cut short")
    kind = data[position]
    position += 1
    fixed = _FIXED.get(kind)
    if fixed is not None:
        layout, value_of = fixed
        after = _checked_end(position, layout.size, end)
        return value_of(layout.unpack_from(data, position)), after, None
    if kind not in b"FASx":
        raise _syntax_error(f"unknown table value type {kind}")
    content = position + 4
    if content > end:
        raise _syntax_error("table cut short")
    after = _checked_end(content, _u32(data, position), end)
    if kind == _TABLE:
        return {}, content, after
    if kind == _ARRAY:
        return [], content, after
    value = bytes(data[content:after])
    return (_text_or_bytes(value) if kind == _LONG_STRING else value), after, None


def decode_short_string(data: bytes, position: int, end: int) -> tuple[str, int]:
    """A short string of UTF-8 that ends at ``end`` or before, and the position after it."""
    if position >= end:
        raise _syntax_error("short string cut short")
    after = _checked_end(position + 1, data[position], end)
    try:
        return data[position + 1 : after].decode(), after
    except UnicodeDecodeError:
        raise _syntax_error("short string is not UTF-8") from None


def _text_or_bytes(value: bytes) -> str | bytes:
    """A long string is text by custom only: what is not UTF-8 stays bytes."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _u32(data: bytes, position: int) -> int:
    if position + 4 > len(data):
        raise _syntax_error("table cut short")
    return int(_U32.unpack_from(data, position)[0])


def _checked_end(start: int, size: int, end: int) -> int:
    if start + size > end:
        raise _syntax_error("a size goes beyond what holds it")
    return start + size


def _syntax_error(detail: str) -> ProtocolViolation:
    return ProtocolViolation(ReplyCode.SYNTAX_ERROR, detail)


def encode_table(table: Arguments) -> bytes:
    """The table with its size before it.  Ours are shallow: recursion is bounded by an assertion."""
    entries = encode_table_entries(table)
    return _U32.pack(len(entries)) + entries


def encode_table_entries(table: Arguments, depth: int = 1) -> bytes:
    """The entries alone."""
    assert depth <= TABLE_DEPTH_MAX
    return b"".join(encode_short_string(key) + _encode_value(value, depth) for key, value in table.items())


def encode_short_string(text: str) -> bytes:
    encoded = text.encode()
    assert len(encoded) <= 255, f"short string of {len(encoded)} bytes"
    return bytes((len(encoded),)) + encoded


def encode_long_string(value: bytes) -> bytes:
    return _U32.pack(len(value)) + value


def _encode_value(value: Any, depth: int) -> bytes:
    match value:
        case None:
            return b"V"
        case bool():
            return b"t\x01" if value else b"t\x00"
        case Timestamp():
            return b"T" + struct.pack(">Q", value)
        case int():
            return struct.pack(">ci", b"I", value) if _I32_MIN <= value <= _I32_MAX else struct.pack(">cq", b"l", value)
        case float():
            return struct.pack(">cd", b"d", value)
        case str():
            return b"S" + encode_long_string(value.encode())
        case bytes():
            return b"x" + encode_long_string(value)
        case list():
            assert depth < TABLE_DEPTH_MAX
            return b"A" + encode_long_string(b"".join(_encode_value(item, depth + 1) for item in value))
        case dict():
            return b"F" + encode_long_string(encode_table_entries(value, depth + 1))
    raise TypeError(f"no field table type for {type(value).__name__}")
