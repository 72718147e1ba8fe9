"""An MQTT 5 message's properties as slowly as they read: a strict reader, and a builder."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterable

PAYLOAD_FORMAT, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA, USER_PROPERTY = 1, 3, 8, 9, 38

Property = tuple[int, int] | tuple[int, bytes] | tuple[int, str] | tuple[int, str, str]


def is_text(text: str) -> bool:
    """What a receiver may not hang up on (1.5.4): no control character, no non-character."""
    return not any(
        unicodedata.category(c) in ("Cc", "Cs") or ord(c) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(c) <= 0xFDEF for c in text
    )


def string(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def encode_properties(properties: Iterable[Property]) -> bytes:
    out = b""
    for number, *values in properties:
        out += bytes([number])
        for value in values:
            if isinstance(value, int):
                out += bytes([value])
            else:
                out += string(value.encode() if isinstance(value, str) else value)
    return out


def decode_properties(data: bytes) -> list[Property]:
    """Raises ``ValueError`` (or fails an assert) where an MQTT 5 client may hang up."""
    found: list[Property] = []

    def take(size: int) -> bytes:
        nonlocal data
        assert size <= len(data), "beyond the end"
        front, data = data[:size], data[size:]
        return front

    def take_bytes() -> bytes:
        return take(struct.unpack(">H", take(2))[0])

    def take_text() -> str:
        text = take_bytes().decode()
        assert is_text(text), text
        return text

    while data:
        number = take(1)[0]
        if number == PAYLOAD_FORMAT:
            found.append((number, take(1)[0]))
        elif number == CORRELATION_DATA:
            found.append((number, take_bytes()))
        elif number == USER_PROPERTY:
            found.append((number, take_text(), take_text()))
        else:
            assert number in (CONTENT_TYPE, RESPONSE_TOPIC), number
            found.append((number, take_text()))
    singles = [p[0] for p in found if p[0] != USER_PROPERTY]
    assert len(singles) == len(set(singles)), "twice what may stand once"
    for p in found:
        assert p[0] != PAYLOAD_FORMAT or p[1] in (0, 1)
        if p[0] == RESPONSE_TOPIC:
            assert p[1] != ""
            assert not set("+#") & set(str(p[1]))
    return found
