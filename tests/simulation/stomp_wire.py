"""STOMP 1.2 as a client sees it: bytes to frames and back, nothing of the broker's in it."""

from __future__ import annotations

import msgspec


class Frame(msgspec.Struct):
    """What came; values of headers are as they were written, escapes and all."""

    command: str
    headers: dict[str, str]
    body: bytes


class Incoming:
    """A connection's bytes, as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[Frame]:
        """What is complete now.  An assertion fails where the broker breaks the framing."""
        self._buffer += data
        frames = []
        while (found := self._take()) is not None:
            frames.append(found)
        return frames

    def _take(self) -> Frame | None:
        buffer = self._buffer
        while buffer[:1] == b"\n":
            del buffer[:1]
        end = buffer.find(b"\n\n")
        if end < 0:
            return None
        command, *lines = buffer[:end].decode().split("\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name, value)  # the first one counts
        start = end + 2
        size = int(headers["content-length"]) if "content-length" in headers else buffer.find(b"\0", start) - start
        if size < 0 or len(buffer) <= start + size:
            return None
        assert buffer[start + size] == 0, f"no NUL behind {command}"
        body = bytes(buffer[start : start + size])
        del buffer[: start + size + 1]
        return Frame(command, headers, body)


def frame(command: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """None of the values has anything to be escaped but what came so."""
    lines = [command, *(f"{name}:{value}" for name, value in headers.items())]
    if body:
        lines.append(f"content-length:{len(body)}")
    return "\n".join(lines).encode() + b"\n\n" + body + b"\0"
