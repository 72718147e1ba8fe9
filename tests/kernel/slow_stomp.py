"""A STOMP message's properties as slowly as they read: header lines of STOMP 1.2, and destinations."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", ":": "\\c"}


def encode_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    def escaped(text: str) -> str:
        return "".join(ESCAPES.get(c, c) for c in text)

    return "".join(f"{escaped(name)}:{escaped(value)}\n" for name, value in headers).encode()


def decode_lines(data: bytes) -> list[tuple[str, str]]:
    """Raises ``ValueError`` (or fails an assert) where a STOMP 1.2 client may hang up."""
    plain = {escape: c for c, escape in ESCAPES.items()}

    def unescaped(text: str) -> str:
        out = ""
        while text:
            size = 2 if text[0] == "\\" else 1
            assert text[0] not in "\r\0:", text
            out += plain[text[:size]] if size == 2 else text[0]
            text = text[size:]
        return out

    *lines, rest = data.decode().split("\n")
    assert rest == "", "a line without its end"
    found = [(unescaped(name), unescaped(value)) for name, _, value in (line.partition(":") for line in lines)]
    assert all(":" in line for line in lines)
    names = [name for name, _ in found]
    assert "" not in names
    assert len(names) == len(set(names)), "twice what may stand once"
    return found


def destination(prefix: str, name: bytes) -> str:
    """RabbitMQ's: ``/``, ``%`` and what is not printable ASCII are escaped."""
    return prefix + quote(name, safe=bytes(range(0x20, 0x7F)).replace(b"/", b"").replace(b"%", b""))


def name_of(escaped: str) -> bytes:
    return unquote_to_bytes(escaped)
