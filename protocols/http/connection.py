"""The HTTP adapter: one connection's requests answered in order, until one of them upgrades it to WebSocket.

Laws: however the bytes are cut, the output is the same (but for the cap on pipelined requests, which is about cuts); no
bytes whatever raise anything out of it.  Handlers are plain functions that answer at once, so a request is answered in
the round that completes it.  The decoder is raw (``Data``): unread bytes are here, and the decoder is told how many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus

import h11

from broker.model.replies import CloseConnection, Reply
from kernel import Data, WebDecoder
from protocols.adapter import Adapter, Frame, Output, Ready
from protocols.http.head import headers_of, parse_head, split_target, take_head, violation_of
from protocols.http.message import Handler, Request, Response, refusal
from protocols.http.settings import (
    BODY_PROGRESS_MIN,
    BODY_WINDOW_S,
    CHUNK_COUNT_MAX,
    HEAD_SIZE_MAX,
    PIPELINED_COUNT_MAX,
    HttpSettings,
)
from protocols.http.violation import ProtocolViolation, bad_request

Upgrade = Callable[[Request, bytes, float], Adapter | Response]
"""Makes the adapter that a connection becomes, of the request, the bytes behind it and the time; or says why not."""

USUAL_HEADERS = {
    "Server": "Dragoman",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Arriving:
    """A request whose head has come."""

    __slots__ = ("body", "chunk_count", "event", "h11", "left", "window_at", "window_size")

    def __init__(self, connection: h11.Connection, event: h11.Request, length: int | None, now: float) -> None:
        self.h11 = connection
        self.event = event
        self.left = length
        """Bytes of the body that are to come; None: it is chunked."""
        self.body = bytearray()
        self.chunk_count = 0
        self.window_at = now
        self.window_size = 0
        """Of the body when the window began."""


class HttpAdapter:
    """One connection's worth of HTTP/1.1."""

    def __init__(
        self,
        decoder: WebDecoder,
        handler: Handler,
        upgrade: Upgrade,
        settings: HttpSettings,
        now_ms: Callable[[], int],
        *,
        peer: str,
        loopback: bool,
        now: float,
    ) -> None:
        """``now_ms``: wall time, for Date."""
        self._decoder = decoder
        self._handler = handler
        self._upgrade = upgrade
        self._settings = settings
        self._now_ms = now_ms
        self._peer = peer
        self._loopback = loopback
        self._input = bytearray()
        self._scanned = 0
        self._arriving: Arriving | None = None
        self._since = now
        """When the head began, or the wait for it."""
        self._served = False
        self._pipelined_count = 0
        self._output: list[Output] = []
        self._closing = False
        self._resumed = False
        self._successor: Adapter | None = None

    # The seam.

    @property
    def protocol(self) -> str:
        return "http" if self._successor is None else self._successor.protocol

    def receive_data(self, data: bytes, now: float) -> None:
        """The decoder and ``receive_frames`` in a row, resuming as needed; for streams and tests."""
        self.receive_frames(self._decoder.receive_data(data), now)
        while self._successor is None and self._resumed:
            self._resumed = False
            frames = self._decoder.resume()
            if frames:
                self.receive_frames(frames, now)
        if self._successor is not None:
            self._successor.receive_data(b"", now)

    def receive_frames(self, frames: Sequence[Frame], now: float) -> None:
        """What came, as it came.  This is the one place that catches what a peer did wrong."""
        if self._successor is not None:
            self._successor.receive_frames(frames, now)
            return
        if not frames:
            self._excuse(now)
            return
        for frame in frames:
            assert isinstance(frame, Data), frame
            if self._closing:
                return
            if not self._input and self._arriving is None:
                self._since = now
            self._input += frame.data
            try:
                self._go_on(now)
            except ProtocolViolation as violation:
                self._fail(violation)
        if self._successor is None:
            if self._closing:
                self._input.clear()
            self._resumed = not self._closing
            arriving = self._arriving
            self._decoder.held = len(self._input) + (len(arriving.body) if arriving else 0)

    def receive_replies(self, received: Sequence[Reply], now: float) -> None:
        """The core has nothing to say to HTTP but that it is over."""
        if self._successor is not None:
            self._successor.receive_replies(received, now)
        elif any(type(reply) is CloseConnection for reply in received):
            self._closing = True

    def receive_timeout(self, now: float) -> None:
        """The deadline has come: too early a call does nothing."""
        if self._successor is not None:
            self._successor.receive_timeout(now)
            return
        deadline = self._deadline()
        if deadline is None or now < deadline:
            return
        arriving = self._arriving
        if arriving is not None and len(arriving.body) - arriving.window_size >= BODY_PROGRESS_MIN:
            arriving.window_at, arriving.window_size = now, len(arriving.body)
        elif arriving is not None or self._input:
            self._fail(ProtocolViolation(HTTPStatus.REQUEST_TIMEOUT, "the request took too long to come"))
        else:
            self._closing = True

    def receive_end(self, now: float) -> None:
        """The peer is gone."""
        if self._successor is not None:
            self._successor.receive_end(now)
        self._closing = True

    def take_ready(self) -> Ready:
        """All that became due since the last call."""
        if self._successor is not None:
            return self._successor.take_ready()
        ready = Ready(self._output, [], self._deadline(), self._closing, self._resumed)
        self._output = []
        self._resumed = False
        return ready

    # Time.

    def _deadline(self) -> float | None:
        if self._closing:
            return None
        if self._arriving is not None:
            return self._arriving.window_at + BODY_WINDOW_S
        begun = self._input or not self._served
        return self._since + (self._settings.head_timeout_s if begun else self._settings.idle_timeout_s)

    def _excuse(self, now: float) -> None:
        """It isn't read at present."""
        self._since = now
        if self._arriving is not None:
            self._arriving.window_at, self._arriving.window_size = now, len(self._arriving.body)

    # Requests.

    def _go_on(self, now: float) -> None:
        while self._successor is None and not self._closing:
            if self._arriving is None and not self._begin(now):
                return
            if self._successor is not None or not self._receive_body():
                return
            self._answer(now)

    def _begin(self, now: float) -> bool:
        """Whether a whole head was there."""
        head, self._scanned = take_head(self._input, self._scanned)
        if head is None:
            return False
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_SIZE_MAX)
        event = parse_head(head, connection)
        length = _length_of(event)
        arriving = self._arriving = Arriving(connection, event, length, now)
        if length is not None and length > self._settings.body_size_max:
            raise self._too_large()
        if _asks_for_websocket(event):
            self._switch(arriving, now)
        elif connection.they_are_waiting_for_100_continue and not self._input:
            self._send(arriving, h11.InformationalResponse(status_code=100, headers=[]))
        return True

    def _receive_body(self) -> bool:
        """Whether all of it is there."""
        arriving = self._arriving
        assert arriving is not None
        size = len(self._input) if arriving.left is None else min(arriving.left, len(self._input))
        if size:
            arriving.h11.receive_data(bytes(self._input[:size]))
            del self._input[:size]
        if arriving.left is not None:
            arriving.left -= size
        while True:
            try:
                event = arriving.h11.next_event()
            except h11.RemoteProtocolError as error:
                raise violation_of(error) from error
            if event is h11.NEED_DATA:
                return False
            if isinstance(event, h11.EndOfMessage):
                self._input[:0] = arriving.h11.trailing_data[0]
                return True
            assert isinstance(event, h11.Data), event
            self._add(arriving, event)

    def _add(self, arriving: Arriving, event: h11.Data) -> None:
        arriving.body += event.data
        if len(arriving.body) > self._settings.body_size_max:
            raise self._too_large()
        if arriving.left is None:
            arriving.chunk_count += event.chunk_end
            if arriving.chunk_count > CHUNK_COUNT_MAX:
                raise bad_request(f"a body in more than {CHUNK_COUNT_MAX} chunks")

    def _too_large(self) -> ProtocolViolation:
        detail = f"a body of more than {self._settings.body_size_max} bytes"
        return ProtocolViolation(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)

    def _request_of(self, arriving: Arriving) -> Request:
        event = arriving.event
        path, segments, query = split_target(event)
        method, body = event.method.decode(), bytes(arriving.body)
        return Request(method, path, segments, query, headers_of(event), body, self._peer, self._loopback)

    def _answer(self, now: float) -> None:
        arriving = self._arriving
        assert arriving is not None
        self._pipelined_count = self._pipelined_count + 1 if self._input else 0
        if self._pipelined_count > PIPELINED_COUNT_MAX:
            raise ProtocolViolation(HTTPStatus.TOO_MANY_REQUESTS, "too many requests without waiting for answers")
        self._respond(self._handler(self._request_of(arriving)))
        self._closing = arriving.h11.our_state is h11.MUST_CLOSE
        self._arriving = None
        self._served = True
        self._since = now

    def _switch(self, arriving: Arriving, now: float) -> None:
        if arriving.left != 0:
            raise bad_request("an upgrade has no body")
        became = self._upgrade(self._request_of(arriving), bytes(self._input), now)
        if isinstance(became, Response):
            raise Refused(became)
        self._successor = became
        self._input.clear()
        self._arriving = None

    # Responses.

    def _fail(self, violation: ProtocolViolation) -> None:
        response = violation.response if isinstance(violation, Refused) else refusal(violation.status, violation.detail)
        self._respond(response, closing=True)
        self._closing = True
        self._input.clear()
        self._arriving = None

    def _respond(self, response: Response, *, closing: bool = False) -> None:
        arriving = self._arriving
        if arriving is None:  # no good head: h11 has not heard of it
            arriving = Arriving(h11.Connection(h11.SERVER), NO_REQUEST, 0, self._since)
        headers = {**USUAL_HEADERS, **response.headers, "Date": formatdate(self._now_ms() / 1000, usegmt=True)}
        with_body = response.status not in WITHOUT_BODY
        if with_body:
            headers |= {"Content-Type": response.content_type, "Content-Length": str(len(response.body))}
        if closing:
            headers["Connection"] = "close"
        event = h11.Response(
            status_code=response.status.value,
            reason=response.status.phrase,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        )
        self._send(arriving, event)
        if with_body and response.body and arriving.event.method != b"HEAD":
            self._send(arriving, h11.Data(data=response.body))
        if not closing:
            self._send(arriving, h11.EndOfMessage())

    def _send(self, arriving: Arriving, event: h11.Event) -> None:
        data = arriving.h11.send(event)
        if data:
            self._output.append(data)


class Refused(ProtocolViolation):
    """An upgrade that isn't done; the response says why."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status, response.status.phrase)
        self.response = response


NO_REQUEST = h11.Request(method="GET", target="/", headers=[("Host", "-")])
"""Stands where a request was none."""


def _length_of(event: h11.Request) -> int | None:
    """Bytes of the body; None: chunked."""
    headers = dict(event.headers)
    if b"transfer-encoding" in headers:
        return None
    return int(headers.get(b"content-length", 0))


def _asks_for_websocket(event: h11.Request) -> bool:
    """An upgrade of HTTP/1.0 is none (RFC 9110, 7.8)."""
    asks = any(name == b"upgrade" and b"websocket" in value.lower() for name, value in event.headers)
    return asks and event.http_version == b"1.1"
