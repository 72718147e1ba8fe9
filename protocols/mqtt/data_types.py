"""How values are written (MQTT 5, 1.5): each ``decode_*`` takes bytes and a position, and gives the value and the
position after it.

Law: whatever the bytes are, a value is read whole and from within them, or it is a ProtocolViolation.
"""

from __future__ import annotations

import struct

from broker.model.names import CONTROL_CHARACTER
from protocols.mqtt.violation import ProtocolViolation, malformed

STRING_SIZE_MAX = 0xFFFF
"""Bytes of a string or of binary data."""
VARIABLE_BYTE_INTEGER_MAX = 268_435_455
"""Four bytes of seven bits each."""

_TWO_BYTES = struct.Struct(">H")
_FOUR_BYTES = struct.Struct(">I")
_MORE = 0x80
"""On a byte of a variable byte integer: another follows."""


def cut_short() -> ProtocolViolation:
    return malformed("cut short")


def decode_byte(data: bytes, position: int) -> tuple[int, int]:
    if position >= len(data):
        raise cut_short()
    return data[position], position + 1


def decode_two_byte_integer(data: bytes, position: int) -> tuple[int, int]:
    after = position + 2
    if after > len(data):
        raise cut_short()
    return data[position] << 8 | data[position + 1], after


def decode_four_byte_integer(data: bytes, position: int) -> tuple[int, int]:
    after = position + 4
    if after > len(data):
        raise cut_short()
    return int.from_bytes(data[position:after], "big"), after


def decode_variable_byte_integer(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in (0, 7, 14, 21):
        if position >= len(data):
            raise cut_short()
        byte = data[position]
        position += 1
        value |= (byte & ~_MORE) << shift
        if byte < _MORE:
            if not byte and shift:  # [MQTT-1.5.5-1]
                raise malformed("variable byte integer that is longer than it need be")
            return value, position
    raise malformed("variable byte integer of more than four bytes")


def decode_binary_data(data: bytes, position: int) -> tuple[bytes, int]:
    start = position + 2
    if start > len(data):
        raise cut_short()
    end = start + (data[position] << 8 | data[position + 1])
    if end > len(data):
        raise cut_short()
    return data[start:end], end


def decode_string(data: bytes, position: int) -> tuple[str, int]:
    """Well-formed UTF-8 without surrogates and without U+0000 ([MQTT-1.5.4-1], [MQTT-1.5.4-2])."""
    encoded, after = decode_binary_data(data, position)
    try:
        text = encoded.decode()
    except UnicodeDecodeError:
        raise malformed("string that is not UTF-8") from None
    if "\0" in text:
        raise malformed("string that holds U+0000")
    return text, after


def decode_name(data: bytes, position: int) -> tuple[str, int]:
    """A string that other protocols may get to see: no control characters either.

    The specification leaves it to a server (1.5.4); Mosquitto refuses them too.
    """
    text, after = decode_string(data, position)
    # No control character is printable, and nearly all names are: ten times as fast as the search.
    if not text.isprintable() and CONTROL_CHARACTER.search(text):
        raise malformed("name that holds a control character")
    return text, after


def decode_string_pair(data: bytes, position: int) -> tuple[tuple[str, str], int]:
    name, position = decode_string(data, position)
    value, position = decode_string(data, position)
    return (name, value), position


def encode_byte(value: int) -> bytes:
    return bytes((value,))


def encode_two_byte_integer(value: int) -> bytes:
    return _TWO_BYTES.pack(value)


def encode_four_byte_integer(value: int) -> bytes:
    return _FOUR_BYTES.pack(value)


def encode_variable_byte_integer(value: int) -> bytes:
    assert 0 <= value <= VARIABLE_BYTE_INTEGER_MAX, value
    if value < _MORE:
        return bytes((value,))
    encoded = bytearray()
    while value >= _MORE:
        encoded.append(value & 0x7F | _MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_binary_data(value: bytes) -> bytes:
    assert len(value) <= STRING_SIZE_MAX, len(value)
    return _TWO_BYTES.pack(len(value)) + value


def encode_string(value: str) -> bytes:
    assert "\0" not in value
    return encode_binary_data(value.encode())


def encode_string_pair(value: tuple[str, str]) -> bytes:
    return encode_string(value[0]) + encode_string(value[1])
