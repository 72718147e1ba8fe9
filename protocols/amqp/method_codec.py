"""One codec for all methods: arguments to bytes and back.

Law: no bytes whatever make ``decode_method`` raise anything but a ProtocolViolation.  pamqp is the oracle in the tests;
it is not used here, since it refuses names with characters that it does not expect, recurses into tables and takes
truncated strings for whole ones.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from protocols.amqp.methods import FIELDS, METHOD_IDS, METHOD_NAMES, METHODS, Kind, Method
from protocols.amqp.reply_codes import ReplyCode
from protocols.amqp.table import (
    decode_short_string,
    decode_table,
    encode_long_string,
    encode_short_string,
    encode_table,
)
from protocols.amqp.violation import ProtocolViolation

FRAME_METHOD = 1
FRAME_HEARTBEAT = 8
FRAME_END = 0xCE
FRAME_OVERHEAD_SIZE = 8
"""Type, channel, size; and the end octet."""
HEARTBEAT_FRAME = struct.pack(">BHIB", FRAME_HEARTBEAT, 0, 0, FRAME_END)
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


class _Number(NamedTuple):
    """A number's layout and largest value."""

    layout: struct.Struct
    largest: int


_NUMBERS = {
    Kind.OCTET: _Number(struct.Struct(">B"), 0xFF),
    Kind.SHORT: _Number(struct.Struct(">H"), 0xFFFF),
    Kind.LONG: _Number(struct.Struct(">I"), 0xFFFF_FFFF),
    Kind.LONG_LONG: _Number(struct.Struct(">Q"), 0xFFFF_FFFF_FFFF_FFFF),
}
BITS_MAX = 8
"""Bits that follow each other share an octet; no method has more of them than fit one."""

_Decoded: TypeAlias = tuple[Any, int]


def _decode_number(kind: Kind) -> Callable[[bytes, int], _Decoded]:
    layout = _NUMBERS[kind].layout

    def decode(data: bytes, position: int) -> _Decoded:
        after = position + layout.size
        if after > len(data):
            raise ProtocolViolation(ReplyCode.SYNTAX_ERROR, "arguments cut short")
        return layout.unpack_from(data, position)[0], after

    return decode


_decode_long = _decode_number(Kind.LONG)


def _decode_long_string(data: bytes, position: int) -> _Decoded:
    size, start = _decode_long(data, position)
    if start + size > len(data):
        raise ProtocolViolation(ReplyCode.SYNTAX_ERROR, "long string goes beyond its frame")
    return data[start : start + size], start + size


_DECODERS: dict[Kind, Callable[[bytes, int], _Decoded]] = {
    **{kind: _decode_number(kind) for kind in _NUMBERS},
    Kind.BIT: _decode_number(Kind.OCTET),
    Kind.SHORT_STRING: lambda data, position: decode_short_string(data, position, len(data)),
    Kind.LONG_STRING: _decode_long_string,
    Kind.TABLE: decode_table,
}


def decode_method(class_id: int, method_id: int, arguments: bytes) -> Method:
    """The method whose arguments these are.

    Raises ProtocolViolation: NOT_IMPLEMENTED for an unknown method, SYNTAX_ERROR for arguments that are cut short,
    garbled or followed by something.
    """
    method = METHODS.get((class_id, method_id))
    if method is None:
        detail = f"unknown method {method_id} of class {class_id}"
        raise ProtocolViolation(ReplyCode.NOT_IMPLEMENTED, detail, class_id, method_id)
    try:
        return method(*_decode_arguments(FIELDS[method], arguments))
    except ProtocolViolation as violation:
        detail = f"{METHOD_NAMES[method]}: {violation.detail}"
        raise ProtocolViolation(violation.code, detail, class_id, method_id) from None


def _decode_arguments(fields: list[tuple[str, Kind]], data: bytes) -> list[Any]:
    values: list[Any] = []
    position = bits = bits_left = 0
    for _, kind in fields:
        if kind is Kind.BIT and bits_left:
            bits >>= 1
        else:
            value, position = _DECODERS[kind](data, position)
            if kind is not Kind.BIT:
                bits_left = 0
                values.append(value)
                continue
            bits, bits_left = value, BITS_MAX
        values.append(bool(bits & 1))
        bits_left -= 1
    if position != len(data):
        raise ProtocolViolation(ReplyCode.SYNTAX_ERROR, f"{len(data) - position} octets after the last argument")
    return values


def _encode_number(kind: Kind) -> Callable[[Any], bytes]:
    layout, largest = _NUMBERS[kind]

    def encode(value: Any) -> bytes:
        assert 0 <= value <= largest, value
        return layout.pack(value)

    return encode


_ENCODERS: dict[Kind, Callable[[Any], bytes]] = {
    **{kind: _encode_number(kind) for kind in _NUMBERS},
    Kind.SHORT_STRING: encode_short_string,
    Kind.LONG_STRING: encode_long_string,
    Kind.TABLE: encode_table,
}


def encode_arguments(method: Method) -> bytes:
    """The arguments alone."""
    parts: list[bytes] = []
    bits = bit_count = 0
    for name, kind in FIELDS[type(method)]:
        value = getattr(method, name)
        if kind is Kind.BIT:
            assert bit_count < BITS_MAX
            bits |= value << bit_count
            bit_count += 1
            continue
        if bit_count:
            parts.append(bytes((bits,)))
            bits = bit_count = 0
        parts.append(_ENCODERS[kind](value))
    if bit_count:
        parts.append(bytes((bits,)))
    return b"".join(parts)


def encode_method(channel: int, method: Method) -> bytes:
    """The whole frame."""
    class_id, method_id = METHOD_IDS[type(method)]
    arguments = encode_arguments(method)
    head = struct.pack(">BHIHH", FRAME_METHOD, channel, len(arguments) + 4, class_id, method_id)
    return head + arguments + bytes((FRAME_END,))
