"""An HTTP adapter with its decoder, and all that it ever said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus

import h11

from kernel import WebDecoder
from protocols.adapter import Adapter
from protocols.http.connection import HttpAdapter
from protocols.http.message import Handler, Request, Response, refusal
from protocols.http.settings import HttpSettings

SETTINGS = HttpSettings(body_size_max=50_000)
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


def echo(request: Request) -> Response:
    """Says what it was asked."""
    if request.segments == ("nothing",):
        return Response(HTTPStatus.NO_CONTENT)
    return Response(body=f"{request.method} {request.path} {request.query} ".encode() + request.body)


def no_upgrade(request: Request, leftover: bytes, now: float) -> Adapter | Response:
    return refusal(HTTPStatus.NOT_FOUND, "no WebSocket")


class Talk:
    """One connection."""

    def __init__(
        self,
        handler: Handler = echo,
        upgrade: Callable[[Request, bytes, float], Adapter | Response] = no_upgrade,
        settings: HttpSettings = SETTINGS,
    ) -> None:
        self.decoder = WebDecoder()
        self.now = 1000.0
        self.adapter = HttpAdapter(
            self.decoder, handler, upgrade, settings, lambda: 0, peer="127.0.0.1", loopback=True, now=self.now
        )
        self.output = b""
        self.closing = False
        self.deadline: float | None = None
        self.settle()

    def receive(self, data: bytes) -> bytes:
        """What is answered."""
        before = len(self.output)
        if not self.closing:
            self.adapter.receive_frames(self.decoder.receive_data(data), self.now)
            self.settle()
        return self.output[before:]

    def receive_all(self, pieces: Sequence[bytes]) -> Talk:
        for piece in pieces:
            self.receive(piece)
        return self

    def settle(self) -> None:
        while True:
            ready = self.adapter.take_ready()
            self.output += b"".join(map(bytes, ready.output))
            self.closing, self.deadline = ready.closing, ready.deadline
            assert ready.commands == []
            if not ready.resumed:
                return
            frames = self.decoder.resume()
            if frames:
                self.adapter.receive_frames(frames, self.now)

    def wait(self, seconds: float) -> bytes:
        """Time goes by, with a call where the deadline is."""
        before = len(self.output)
        end = self.now + seconds
        while self.deadline is not None and self.deadline <= end:
            self.now = self.deadline
            self.adapter.receive_timeout(self.now)
            self.settle()
        self.now = end
        return self.output[before:]


def responses(output: bytes, methods: Sequence[str] = ()) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of each, as h11's client reads them; ``methods`` where they are not GET."""
    read: list[tuple[int, dict[str, str], bytes]] = []
    while output:
        client = h11.Connection(h11.CLIENT)
        method = methods[len(read)] if len(read) < len(methods) else "GET"
        client.send(h11.Request(method=method, target="/", headers=[("Host", "here")]))
        client.send(h11.EndOfMessage())
        client.receive_data(output)
        event = client.next_event()
        while isinstance(event, h11.InformationalResponse):
            event = client.next_event()
        assert isinstance(event, h11.Response), event
        body = b""
        while isinstance(data := client.next_event(), h11.Data):
            body += bytes(data.data)
        assert isinstance(data, h11.EndOfMessage), data
        read.append((event.status_code, {name.decode(): value.decode() for name, value in event.headers}, body))
        output = client.trailing_data[0]
    return read


def statuses(output: bytes) -> list[int]:
    return [status for status, _, _ in responses(output)]
