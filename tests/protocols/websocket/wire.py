"""A client's half by hand: the upgrade, its frames, and what a server's frames hold."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from broker.config import Config
from broker.config.schema import HttpListener
from broker.server.connection import Opened, Peer
from broker.web import http_protocol
from protocols.adapter import Adapter
from protocols.http.message import Request, Response
from protocols.websocket.inner import Inner, InnerDecoder, InnerProtocol, UpgradeRequest
from tests.kernel.slow_web import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

KEY = base64.b64encode(b"the sample nonce").decode()
LISTENER = HttpListener(protocol="http", websocket_protocols=("amqp", "mqtt"))
PIECES = (1, 3, 7, 40, 126)


def upgrade(path: str = "/mqtt", token: str | None = "mqtt", **headers: str) -> bytes:
    """The request; headers by their names with underscores, empty ones are left out."""
    named = {
        "Host": "here:15672",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Key": KEY,
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Protocol": token or "",
        **headers,
    }
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items() if value]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def framed(data: bytes) -> bytes:
    """A client's bytes in messages and fragments of all sizes, with pings between."""
    out, position, number = b"", 0, 0
    while position < len(data):
        piece = data[position : position + PIECES[number % len(PIECES)]]
        position += len(piece)
        if number % 3 == 1:
            half = len(piece) // 2
            out += frame(BINARY, piece[:half], fin=False) + frame(PING, b"p") + frame(CONTINUATION, piece[half:])
        else:
            out += frame(BINARY, piece)
        number += 1
    return out


def server_frames(output: bytes) -> list[tuple[int, bytes]]:
    """Opcode and payload of each; only what a server may send."""
    frames, position = [], 0
    while position < len(output):
        first, size = output[position : position + 2]
        assert first & 0xF0 == 0x80, "not fragmented, no extension"
        assert size < 0x80, "a server does not mask"
        position += 2
        extent = {126: 2, 127: 8}.get(size, 0)
        if extent:
            size = int.from_bytes(output[position : position + extent], "big")
        position += extent
        payload = output[position : position + size]
        assert len(payload) == size, "a frame is whole"
        frames.append((first & 15, payload))
        position += size
    return frames


def said_inside(frames: list[tuple[int, bytes]]) -> bytes:
    return b"".join(payload for opcode, payload in frames if opcode in (TEXT, BINARY))


def close_code(frames: list[tuple[int, bytes]]) -> int:
    """Of the close frame, which is the last."""
    assert [opcode for opcode, _ in frames].count(CLOSE) == 1
    opcode, payload = frames[-1]
    assert opcode == CLOSE
    return int.from_bytes(payload[:2], "big")


def opened(
    make: Mapping[str, Callable[[UpgradeRequest], tuple[Adapter, InnerDecoder]]],
    listener: HttpListener = LISTENER,
    text_allowed: tuple[str, ...] = (),
    now: float = 0.0,
) -> Opened:
    """A connection as the broker makes it, with these inside."""

    def inner(name: str) -> InnerProtocol:
        def open_inner(request: UpgradeRequest, now: float) -> Inner:
            return Inner(*make[name](request))

        return InnerProtocol(open_inner, name in text_allowed)

    def not_found(request: Request) -> Response:
        raise AssertionError("only upgrades here")

    protocols = {name: inner(name) for name in make}
    return http_protocol(listener, Config(), protocols, not_found)(Peer("127.0.0.1", 1, True), now)


__all__ = ["BINARY", "CLOSE", "CONTINUATION", "PING", "PONG", "TEXT", "frame"]
