"""An engine with the echo core, by sockets of a poller or by streams in memory, and clients of it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import trio
import trio.testing

from broker.server.admission import Admission, ConnectionLimits
from broker.server.buffers import Buffers
from broker.server.connection import Peer
from broker.server.engine import Engine
from broker.server.rounds import Phase, Rounds
from broker.server.stream import StreamTransport
from broker.server.transport import PolledSocket
from kernel import Counters
from kernel.poller import Poller
from tests.server.echo import DrawnSyncs, EchoCore, EchoSession, opened

PEER = Peer("127.0.0.1", 1, True)


class EchoServer:
    """``polled``: clients are sockets, and time is real; else they are streams."""

    def __init__(self, nursery: trio.Nursery, polled: bool, buffers: Buffers | None = None) -> None:
        self.nursery = nursery
        self.clients: list[trio.abc.HalfCloseableStream] = []
        self.syncs = DrawnSyncs()
        self.core = EchoCore(self.syncs)
        self.buffers = buffers or Buffers()
        self.admission = Admission(ConnectionLimits())
        self.poller = Poller(Counters(), self.buffers.input, self.buffers.output) if polled else None
        self.engine: Engine[EchoSession] = Engine(
            self.core,
            self.syncs,
            now_ms=lambda: 0,
            admission=self.admission,
            buffers=self.buffers,
            poller=self.poller,
        )
        self.rounds = Rounds(self.engine, trio.current_time, self.begin_reads)

    def begin_reads(self, reads: object) -> None:
        raise AssertionError("an echo reads nothing")

    def connect(self, buffered: bool = True) -> trio.abc.HalfCloseableStream:
        """``buffered``: a stream takes output that the client hasn't read."""
        assert self.admission.admit(PEER.address)
        client = self.connect_stream(buffered) if self.poller is None else self.connect_socket(self.poller)
        self.clients.append(client)
        return client

    def connect_stream(self, buffered: bool) -> trio.abc.HalfCloseableStream:
        ours, theirs = trio.testing.memory_stream_pair() if buffered else trio.testing.lockstep_stream_pair()
        made = opened(trio.current_time())

        def open_stream(token: int) -> StreamTransport:
            transport = StreamTransport(token, ours, made.decoder, self.engine, self.buffers)
            self.nursery.start_soon(transport.run)
            return transport

        self.engine.open(PEER, made, open_stream)
        return theirs

    def connect_socket(self, poller: Poller) -> trio.abc.HalfCloseableStream:
        ours, theirs = socket.socketpair()
        made = opened(trio.current_time())
        self.engine.open(PEER, made, lambda token: PolledSocket(poller, token, ours.detach(), made.decoder))
        theirs.setblocking(False)
        return UnixStream(trio.socket.from_stdlib_socket(theirs))

    def sync(self) -> None:
        """The journal's write ends."""
        self.syncs.synced = self.syncs.submitted
        self.engine.ring()


class UnixStream(trio.abc.HalfCloseableStream):
    """trio.SocketStream is for TCP alone (it sets TCP options)."""

    def __init__(self, connected: trio.socket.SocketType) -> None:
        self._socket = connected

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[await self._socket.send(left) :]
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self._socket.recv(max_bytes or 65536)
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def send_eof(self) -> None:
        self._socket.shutdown(trio.socket.SHUT_WR)
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self._socket.close()
        await trio.lowlevel.checkpoint()


@contextlib.asynccontextmanager
async def running(polled: bool, buffers: Buffers | None = None) -> AsyncIterator[EchoServer]:
    """Stops the server in the end, and looks whether anything is left."""
    async with trio.open_nursery() as nursery:
        server = EchoServer(nursery, polled, buffers)
        nursery.start_soon(server.rounds.run)
        try:
            yield server
        finally:
            for client in server.clients:
                await trio.aclose_forcefully(client)
        server.syncs.synced = server.syncs.submitted
        server.rounds.stop("")
        server.rounds.hurry()
    assert server.rounds.phase is Phase.STOPPED
    assert not server.core.sessions
    assert not server.engine.connections
    assert server.admission.count == server.admission.unproven_count == 0
    assert server.buffers.input.charged == server.buffers.output.charged == 0


async def receive_exactly(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await stream.receive_some(size - len(data))
        assert more, f"the end after {data!r}"
        data += more
    return data


async def receive_all(stream: trio.abc.ReceiveStream) -> bytes:
    """Until the server hangs up."""
    return b"".join([data async for data in stream])


async def wait_until(condition: Callable[[], bool], step_s: float = 0.01) -> None:
    """Looks every ``step_s``, a thousand times."""
    for _ in range(1000):
        if condition():
            return
        await trio.sleep(step_s)
    raise AssertionError("it never came to be so")
