"""AMQP as a client sees it: bytes to frames and back, nothing of the kernel's in it.

``Incoming`` takes a connection's bytes in any pieces and gives methods, those with content with it.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from protocols.amqp.method_codec import decode_method, encode_method
from protocols.amqp.methods import BasicDeliver, BasicGetOk, BasicReturn, Method
from protocols.amqp.table import decode_table

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
WITH_CONTENT = (BasicDeliver, BasicGetOk, BasicReturn)
HEADERS_FLAG = 1 << 13


class Received(msgspec.Struct):
    """A method on a channel, with its content if it has any."""

    channel: int
    method: Method
    properties: bytes = b""
    body: bytes = b""


class Incoming:
    """A connection's bytes, as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._open: Received | None = None
        self._left = 0

    def receive(self, data: bytes) -> list[Received]:
        """What is complete now.  An assertion fails where the broker breaks the framing."""
        buffer = self._buffer
        buffer += data
        received: list[Received] = []
        position = 0
        while len(buffer) >= position + 8:
            kind, channel, size = struct.unpack_from(">BHI", buffer, position)
            end = position + 7 + size
            if len(buffer) <= end:
                break
            assert buffer[end] == 0xCE, "a frame does not end where it should"
            self._take(kind, channel, bytes(buffer[position + 7 : end]), received)
            position = end + 1
        del buffer[:position]
        return received

    def _take(self, kind: int, channel: int, payload: bytes, received: list[Received]) -> None:
        if kind == METHOD:
            assert self._open is None, "a method within a content"
            class_id, method_id = struct.unpack_from(">HH", payload)
            one = Received(channel, decode_method(class_id, method_id, payload[4:]))
            if isinstance(one.method, WITH_CONTENT):
                self._open = one
                self._left = -1
            else:
                received.append(one)
            return
        if kind == HEARTBEAT:
            return
        one = self._open  # type: ignore[assignment]
        assert one is not None, "content without a method"
        assert one.channel == channel
        if kind == HEADER:
            assert self._left == -1
            self._left = struct.unpack_from(">Q", payload, 4)[0]
            one.properties = payload[12:]
        else:
            assert kind == BODY
            one.body += payload
            self._left -= len(payload)
            assert self._left >= 0, "more body than was announced"
        if self._left == 0:
            received.append(one)
            self._open = None


def content(channel: int, properties: bytes, body: bytes, frame_size_max: int) -> bytes:
    """A content header and its body frames."""
    frames = [frame(HEADER, channel, struct.pack(">HHQ", 60, 0, len(body)) + properties)]
    step = frame_size_max - 8
    frames += [frame(BODY, channel, body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(frames)


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(channel: int, value: Method) -> bytes:
    return encode_method(channel, value)


def properties(persistent: bool, expiration_ms: int | None) -> bytes:
    """delivery-mode and expiration."""
    flags = (1 << 12) | (0 if expiration_ms is None else 1 << 8)
    encoded = struct.pack(">HB", flags, 2 if persistent else 1)
    if expiration_ms is not None:
        text = str(expiration_ms).encode()
        encoded += bytes((len(text),)) + text
    return encoded


def headers(encoded: bytes) -> dict[str, Any]:
    """The headers among encoded properties (they follow content-type and -encoding, which nothing here sets)."""
    (flags,) = struct.unpack_from(">H", encoded)
    assert not flags >> 14, "nobody sets a content type here"
    if not flags & HEADERS_FLAG:
        return {}
    return decode_table(encoded, 2)[0]
