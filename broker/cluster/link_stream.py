"""What carries one link's bytes: a TCP or TLS stream, a task that reads it and one that writes it."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import trio

from broker.cluster.peer_link import PeerLink
from broker.cluster.peers import Peers
from broker.cluster.violation import Closing, Reason
from kernel import Piece

READ_SIZE_MIN = 65_536
READ_SIZE_MAX = 262_144
"""While reads come full."""
ROUND_SIZE_MAX = 4 << 20
"""Read from one link in a round."""
WRITE_SIZE = 262_144
"""Written at once; what waits behind it is counted as queued."""
PIECES_MAX = 64
"""Given to the system in one call; more are put together.  It takes 1,024 at most (IOV_MAX)."""
WRITE_TIMEOUT_S = 10.0
"""For the peer to take that much.  Where a watcher writes it is looked at so often."""
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


def after(pieces: list[bytes | Piece | memoryview], size: int) -> list[bytes | Piece | memoryview]:
    """What comes after the first ``size`` bytes of them."""
    for place, piece in enumerate(pieces):
        if size < len(piece):
            return [memoryview(piece)[size:], *pieces[place + 1 :]]
        size -= len(piece)
    return []


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


class Watcher(Protocol):
    """Who looks after descriptors in rounds, so that no task need be woken for what they bring."""

    def watch(self, fd: int, receive_ready: Callable[[], bool], writes: bool) -> int:
        """Its token; told each time that more can be read, and at once if anything can; twice once the peer hung up.
        With ``writes`` also each time that it takes more, after it did not take all.  It says whether more is likely to
        follow soon."""

    def watch_again(self, token: int) -> None:
        """It was not read to its end."""

    def unwatch(self, token: int) -> None: ...


class LinkStream:
    """Moves one link's bytes until either end closes.

    With a watcher, a plain TCP connection is written to at once, and read and written when that says so: a task's wake
    costs 10 us and its turn, which a commit would wait for four times.  A task only sees that it gets on.
    """

    def __init__(
        self,
        link: PeerLink,
        stream: trio.abc.Stream,
        peers: Peers,
        served: Callable[[bool], None],
        watcher: Watcher | None = None,
    ) -> None:
        """``served`` is called after whatever happened to the link; True: forward has room again."""
        self._link = link
        self._stream = stream
        self._fd = stream.socket.fileno() if isinstance(stream, trio.SocketStream) else None
        """Of a plain TCP connection."""
        self._peers = peers
        self._served = served
        self._output = trio.Event()
        self._watcher = watcher
        self._token: int | None = None
        self._reading: trio.CancelScope | None = None
        self._serving = trio.CancelScope()
        self._left: list[bytes | Piece | memoryview] = []
        """Taken from the link and not written; the watcher tells when the connection takes more."""
        self._written = 0
        """Bytes that the connection took without a task."""
        self._drained = False
        """It took all there was, since the task last looked."""
        self._writing = False
        """The task is at it."""
        self._looking = trio.CancelScope()
        """The task sees that what is left gets on."""

    def wake(self) -> None:
        """There is output, or the link is closing."""
        if self._link.closing is not None:
            self._looking.cancel()
        elif self._token is not None and not self._writing:
            if not self._left:
                self._write_now()
            if not self._left:
                return
        self._output.set()

    def read_by(self, watcher: Watcher) -> None:
        """From now on; what is being waited for is not lost."""
        self._watcher = watcher
        if self._fd is not None and self._reading is not None:
            self._reading.cancel()

    async def run(self) -> None:
        """Until the link is closed, whose reason it then has."""
        try:
            with self._serving:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write_all)
                    nursery.start_soon(self._read_all)
        finally:
            self._unwatch()
            self._close(Closing(Reason.SHUTDOWN))
            await trio.aclose_forcefully(self._stream)

    async def _read_all(self) -> None:
        size = READ_SIZE_MIN
        while self._link.closing is None:
            if self._watcher is not None and self._fd is not None:
                self._token = self._watcher.watch(self._fd, self._receive_ready, writes=True)
                self._receive_readable()
                return
            with trio.CancelScope() as self._reading:
                try:
                    data = await self._stream.receive_some(size)
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    self._break(error)
                    return
            if self._reading.cancelled_caught:
                continue
            if not data:
                self._end()
                return
            self._take(bytes(data))
            size = READ_SIZE_MAX if len(data) == size else READ_SIZE_MIN

    def _take(self, data: bytes) -> bool:
        """Whether that was more than heartbeats."""
        told = self._peers.receive_data(self._link, data, trio.current_time())
        self._served(False)
        return told

    def _end(self) -> None:
        """The peer hung up."""
        self._close(Closing(Reason.HUNG_UP))
        self._serving.cancel()

    def _receive_ready(self) -> bool:
        """The connection brings something, or takes more."""
        if self._left and self._link.closing is None:
            self._write_now()
        return self._receive_readable()

    def _receive_readable(self) -> bool:
        """As much as there is, or as a round may take.  Whether that was more than heartbeats."""
        assert self._fd is not None
        assert self._token is not None
        assert self._watcher is not None
        taken = 0
        told = False
        while self._link.closing is None:
            try:
                data = os.read(self._fd, READ_SIZE_MAX)
            except BlockingIOError:
                break
            except OSError as error:
                self._break(error)
                break
            if not data:
                self._end()
                break
            told |= self._take(data)
            taken += len(data)
            if len(data) < READ_SIZE_MAX:
                break  # that was all; of an end that follows the watcher tells again
            if taken >= ROUND_SIZE_MAX:
                self._watcher.watch_again(self._token)
                break
        return told

    def _unwatch(self) -> None:
        if self._token is not None and self._watcher is not None:
            self._watcher.unwatch(self._token)
            self._token = None

    def _write_now(self) -> None:
        """What the connection takes without waiting."""
        assert self._fd is not None
        while self._left or (output := self._link.take_output(WRITE_SIZE)):
            if not self._left:
                self._left = [*output] if len(output) <= PIECES_MAX else [b"".join(output)]
            try:
                written = os.writev(self._fd, self._left)
            except BlockingIOError:
                return
            except OSError as error:
                self._break(error)
                return
            self._left = after(self._left, written)
            self._written += written
            if self._peers.receive_written(self._link, written):
                self._served(True)
            if self._left:
                return
        self._drained = True

    async def _write_all(self) -> None:
        while True:
            while self._left or self._link.has_output:
                try:
                    in_time = await (self._write_some() if self._token is None else self._look_after())
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    self._break(error)
                    return
                if not in_time:
                    self._close(Closing(Reason.WRITE_TIMEOUT))
                    self._serving.cancel()
                    return
            if self._link.closing is not None:
                with trio.move_on_after(CLOSE_TIMEOUT_S):
                    await self._stream.aclose()
                self._serving.cancel()
                return
            await self._output.wait()
            self._output = trio.Event()

    async def _look_after(self) -> bool:
        """Whether the watcher has got on with what is left, after a while."""
        if self._link.closing is not None:
            return await self._write_last()
        self._drained = False
        before = self._written
        with trio.move_on_after(WRITE_TIMEOUT_S) as self._looking:
            self._write_now()
            if self._left:
                await trio.sleep_forever()
        is_closing = self._link.closing is not None
        return is_closing or self._drained or self._written - before >= WRITE_SIZE

    async def _write_last(self) -> bool:
        """Whether the peer took the last words in time; the watcher tells nothing more."""
        assert self._fd is not None
        with trio.move_on_after(CLOSE_TIMEOUT_S):
            self._write_now()
            while self._left:
                await trio.lowlevel.wait_writable(self._fd)
                self._write_now()
        return not self._left

    async def _write_some(self) -> bool:
        """Whether the peer took it in time."""
        self._writing = True
        try:
            return await self._write(b"".join(self._link.take_output(WRITE_SIZE)))
        finally:
            self._writing = False

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

    def _break(self, error: OSError | trio.BrokenResourceError | trio.ClosedResourceError) -> None:
        closing = closing_of(error)
        if closing.reason is Reason.CONNECT_TIMEOUT:
            # Of a connection that was there: TCP gave it up.
            closing = Closing(Reason.SILENT, closing.detail)
        self._close(closing)
        self._serving.cancel()

    def _close(self, closing: Closing) -> None:
        self._peers.closed(self._link, closing, trio.current_time())
        self._served(False)
