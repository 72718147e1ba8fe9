"""What carries one link's bytes: a TCP or TLS stream, a task that reads it and one that writes it."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import TypeAlias

import trio

from broker.cluster.peer_link import PeerLink
from broker.cluster.peers import Peers
from broker.cluster.violation import Closing, Reason

READ_SIZE_MIN = 65_536
READ_SIZE_MAX = 262_144
"""While reads come full."""
WRITE_SIZE = 262_144
"""Written at once; what waits behind it is counted as queued."""
WRITE_TIMEOUT_S = 10.0
"""For the peer to take that much."""
CLOSE_TIMEOUT_S = 1.0
"""For the last words of a link that is closing."""
USER_TIMEOUT_MS = 5000
"""TCP gives a connection up whose bytes nobody acknowledges for so long."""
KEEPALIVE_S = 5
"""Links that carry nothing for hours notice too that the other machine is gone, after about so long and half of it."""

REASONS: dict[int, Reason] = {
    errno.ECONNREFUSED: Reason.CONNECTION_REFUSED,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.ENETUNREACH: Reason.UNREACHABLE,
    errno.EHOSTDOWN: Reason.UNREACHABLE,
    errno.ENETDOWN: Reason.UNREACHABLE,
    errno.EADDRNOTAVAIL: Reason.UNREACHABLE,
    errno.EACCES: Reason.UNREACHABLE,
    errno.EPERM: Reason.UNREACHABLE,
    errno.ECONNRESET: Reason.RESET,
    errno.ECONNABORTED: Reason.RESET,
    errno.EPIPE: Reason.RESET,
    errno.ETIMEDOUT: Reason.CONNECT_TIMEOUT,
    errno.EMFILE: Reason.NO_ROOM,
    errno.ENFILE: Reason.NO_ROOM,
    errno.ENOBUFS: Reason.NO_ROOM,
    errno.ENOMEM: Reason.NO_ROOM,
}
"""What the system says of a connection; EACCES and EPERM are a firewall's."""

StreamError: TypeAlias = OSError | UnicodeError | trio.BrokenResourceError | trio.ClosedResourceError
"""What a dial, a TLS handshake or a stream fails with; UnicodeError is a name's that can't be a DNS name."""


def closing_of(error: StreamError) -> Closing:
    """Why it failed, by the error's kind."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror | UnicodeError):
            return Closing(Reason.NAME_UNKNOWN, getattr(cause, "strerror", None) or "")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Closing(Reason.TLS, cause.verify_message)
        if isinstance(cause, ssl.SSLError):
            return Closing(Reason.TLS, (cause.reason or "no TLS").replace("_", " ").lower())
        if isinstance(cause, OSError) and cause.errno in REASONS:
            return Closing(REASONS[cause.errno], os.strerror(cause.errno).lower())
    return Closing(Reason.RESET, getattr(error, "strerror", None) or "")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """It, what it was raised from, and all of a group: trio's own words for several addresses hide their errors."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    if error.__cause__ is not None:
        yield from _causes(error.__cause__)


def set_options(stream: trio.SocketStream) -> None:
    """Of a TCP connection between nodes; NODELAY is on already."""
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    # trio's 16 KiB would wake the writer sixteen times for what it writes once.
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, WRITE_SIZE)


class LinkStream:
    """Moves one link's bytes until either end closes."""

    def __init__(self, link: PeerLink, stream: trio.abc.Stream, peers: Peers, served: Callable[[bool], None]) -> None:
        """``served`` is called after whatever happened to the link; True: forward has room again."""
        self._link = link
        self._stream = stream
        self._peers = peers
        self._served = served
        self._output = trio.Event()

    def wake(self) -> None:
        """There is output, or the link is closing."""
        self._output.set()

    async def run(self) -> None:
        """Until the link is closed, whose reason it then has."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_all, nursery.cancel_scope)
                nursery.start_soon(self._read_all, nursery.cancel_scope)
        finally:
            self._close(Closing(Reason.SHUTDOWN))
            await trio.aclose_forcefully(self._stream)

    async def _read_all(self, serving: trio.CancelScope) -> None:
        size = READ_SIZE_MIN
        while self._link.closing is None:
            try:
                data = await self._stream.receive_some(size)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._break(error, serving)
                return
            if not data:
                self._close(Closing(Reason.HUNG_UP))
                serving.cancel()
                return
            size = READ_SIZE_MAX if len(data) == size else READ_SIZE_MIN
            self._peers.receive_data(self._link, bytes(data), trio.current_time())
            self._served(False)

    async def _write_all(self, serving: trio.CancelScope) -> None:
        while True:
            while output := self._link.take_output(WRITE_SIZE):
                try:
                    in_time = await self._write(output[0] if len(output) == 1 else b"".join(output))
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    self._break(error, serving)
                    return
                if not in_time:
                    self._close(Closing(Reason.WRITE_TIMEOUT))
                    serving.cancel()
                    return
            if self._link.closing is not None:
                with trio.move_on_after(CLOSE_TIMEOUT_S):
                    await self._stream.aclose()
                serving.cancel()
                return
            await self._output.wait()
            self._output = trio.Event()

    async def _write(self, data: bytes) -> bool:
        """Whether the peer took all of it, a piece at a time."""
        pieces = memoryview(data)
        for at in range(0, len(pieces), WRITE_SIZE):
            piece = pieces[at : at + WRITE_SIZE]
            timeout_s = WRITE_TIMEOUT_S if self._link.closing is None else CLOSE_TIMEOUT_S
            with trio.move_on_after(timeout_s) as writing:
                await self._stream.send_all(piece)
            if writing.cancelled_caught:
                return False
            if self._peers.receive_written(self._link, len(piece)):
                self._served(True)
        return True

    def _break(self, error: trio.BrokenResourceError | trio.ClosedResourceError, serving: trio.CancelScope) -> None:
        closing = closing_of(error)
        if closing.reason is Reason.CONNECT_TIMEOUT:
            # Of a connection that was there: TCP gave it up.
            closing = Closing(Reason.SILENT, closing.detail)
        self._close(closing)
        serving.cancel()

    def _close(self, closing: Closing) -> None:
        self._peers.closed(self._link, closing, trio.current_time())
        self._served(False)
