"""STOMP frames in plain Python: what a client writes, and what it reads of what we write."""

from __future__ import annotations

from typing import NamedTuple

from protocols.stomp.version import Version

ESCAPES = {"\\": "\\\\", "\n": "\\n", ":": "\\c", "\r": "\\r"}
UNESCAPES = {written: character for character, written in ESCAPES.items()}
UNESCAPED = ("CONNECT", "CONNECTED")
"""Never escaped: a peer that does not know the version yet has to read them."""


class ServerFrame(NamedTuple):
    command: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(reversed(self.headers)).get(name)


def escaped(text: str, version: Version) -> str:
    if version is Version.V1_0:
        return text
    return "".join(ESCAPES.get(each, each) for each in text if each != "\r" or version is Version.V1_2)


def frame(
    command: str, *headers: tuple[str, str], body: bytes = b"", version: Version = Version.V1_2, end: bytes = b"\0"
) -> bytes:
    """A frame as a client writes it."""
    plain = command in UNESCAPED
    lines = [
        f"{name}:{value}" if plain else f"{escaped(name, version)}:{escaped(value, version)}" for name, value in headers
    ]
    return "\n".join([command, *lines, "", ""]).encode() + body + end


def read_frames(output: bytes, version: Version = Version.V1_2) -> list[ServerFrame]:
    """All of what was sent; heart-beats are frames without a command."""
    frames = []
    position = 0
    while position < len(output):
        if output[position : position + 1] == b"\n":
            frames.append(ServerFrame("", [], b""))
            position += 1
            continue
        end = output.index(b"\n\n", position)
        command, *lines = output[position:end].decode().split("\n")
        headers = [_read_header(line, command, version) for line in lines]
        position = end + 2
        size = dict(headers).get("content-length")
        after = output.index(b"\0", position) if size is None else position + int(size)
        assert output[after : after + 2] == b"\0\n", "a frame of ours is broken"
        frames.append(ServerFrame(command, headers, output[position:after]))
        position = after + 2
    return frames


def _read_header(line: str, command: str, version: Version) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    assert colon, f"no header: {line!r}"
    assert "\r" not in line
    if command in UNESCAPED or version is Version.V1_0:
        return name, value
    assert ":" not in value, f"not escaped: {line!r}"
    return _unescaped(name), _unescaped(value)


def _unescaped(text: str) -> str:
    out = ""
    at = 0
    while at < len(text):
        if text[at] == "\\":
            out += UNESCAPES[text[at : at + 2]]
            at += 2
        else:
            out += text[at]
            at += 1
    return out
