"""The slow twin of the kernel's WebSocket decoder: a byte at a time, whole messages in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kernel import Control

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
EXTENTS = {126: (2, 126), 127: (8, 65_536)}
"""Bytes of a longer length, and the least that it may say."""


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"\x12\x34\x56\x78") -> bytes:
    """As a client sends it."""
    size = len(payload)
    extended = b"" if size < 126 else struct.pack("!H" if size < 65536 else "!Q", size)
    short = size if size < 126 else 126 if size < 65536 else 127
    return bytes((fin << 7 | opcode, 0x80 | short)) + extended + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def begins_text(data: bytes) -> bool:
    """Whether something can follow that makes UTF-8 of it."""
    return any(
        is_text(data + more) for more in (b"", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xa0\x80", b"\x90\x80\x80")
    )


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class CutShort(Exception):
    """The stream ends in the middle of something."""


class Wrong(Exception):
    """With a close code."""


class SlowDecoder:
    """Payload bytes as ints, Controls, and a close code if it ends so."""

    def __init__(self, stream: bytes, message_size_max: int) -> None:
        self._stream = stream
        self._position = 0
        self._message_size_max = message_size_max
        self._message: bytes | None = None
        self._declared = 0
        self._text = False
        self._control_count = 0
        self._empty_count = 0

    def facts(self) -> Iterator[object]:
        try:
            while True:
                yield from self._frame()
        except CutShort:
            pass
        except Wrong as wrong:
            yield wrong.args[0]

    def _take(self, size: int) -> bytes:
        taken = self._stream[self._position : self._position + size]
        if len(taken) < size:
            raise CutShort
        self._position += size
        return taken

    def _frame(self) -> Iterator[object]:
        first, second = self._take(2)
        fin, opcode, size = bool(first >> 7), first & 15, second & 127
        control = opcode > 7
        known = opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        if first & 0x70 or not known or not second & 128 or (control and (not fin or size > 125)):
            raise Wrong(1002)
        if size in EXTENTS:
            extent, least = EXTENTS[size]
            size = int.from_bytes(self._take(extent), "big")
            if size < least or size >> 63:
                raise Wrong(1002)
        mask = self._take(4)
        if control:
            yield self._control(opcode, masked(self._take(size), mask))
            if opcode == CLOSE:
                raise CutShort
        else:
            self._begin(opcode, size)
            yield from self._payload(fin, size, mask)

    def _control(self, opcode: int, payload: bytes) -> Control:
        self._control_count += opcode != CLOSE
        if self._control_count > 64:
            raise Wrong(1008)
        return Control(opcode, payload)

    def _begin(self, opcode: int, size: int) -> None:
        if (opcode == CONTINUATION) == (self._message is None):
            raise Wrong(1002)
        if opcode != CONTINUATION:
            self._message, self._text, self._declared = b"", opcode == TEXT, 0
        self._declared += size
        if self._declared > self._message_size_max:
            raise Wrong(1009)
        self._empty_count = 0 if size else self._empty_count + 1
        if self._empty_count > 32:
            raise Wrong(1008)

    def _payload(self, fin: bool, size: int, mask: bytes) -> Iterator[int]:
        assert self._message is not None
        rest = masked(self._stream[self._position : self._position + size], mask)
        for byte in rest:
            self._message += bytes((byte,))
            last = fin and len(self._message) == self._declared
            if self._text and not (is_text if last else begins_text)(self._message):
                raise Wrong(1007)
            yield byte
        if fin and not size and self._text and not is_text(self._message):
            raise Wrong(1007)
        self._take(size)
        if fin:
            self._message = None
