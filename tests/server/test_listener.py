"""Accepting: limits, and what accept(2) may say.  The listening socket is a script; its connections are real pairs."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from broker.server.admission import Admission, ConnectionLimits
from broker.server.connection import Opened, Peer
from broker.server.listener import RETRY_S, Endpoint, Listener, is_loopback
from tests.server.echo import HANDSHAKE, EchoSession, opened
from tests.server.echo_server import EchoServer, running, wait_until


def open_echo(peer: Peer, now: float) -> Opened:
    assert peer.loopback
    return opened(now)


ENDPOINT = Endpoint("echo", "127.0.0.1", 0, open_echo)


class ScriptedSocket(socket.socket):
    """Always readable; ``accept_peer`` gives what stands in the script, then nothing."""

    def __init__(self) -> None:
        self._readable, writable = socket.socketpair()
        super().__init__(fileno=self._readable.detach())
        self._writable = writable
        self.script: list[int | str] = []
        self.clients: list[socket.socket] = []
        self.accept_count = 0
        self.first_words = b""
        """What a client says before it is accepted."""
        self.announce()

    def announce(self) -> None:
        """There is something to accept."""
        self._writable.send(b"x")

    def accept_peer(self, token: int) -> tuple[int, str, int]:
        assert token < 0, "a watched one"
        self.accept_count += 1
        if not self.script:
            self.recv(1)
            raise BlockingIOError
        step = self.script.pop(0)
        if isinstance(step, int):
            raise OSError(step, "as scripted")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.clients.append(theirs)
        theirs.send(self.first_words)
        return ours.detach(), step, 1

    def close(self) -> None:
        self._writable.close()
        super().close()


@pytest.fixture
async def server() -> AsyncIterator[EchoServer]:
    async with running(polled=True) as server:
        yield server


async def accepted(server: EchoServer, *script: int | str) -> ScriptedSocket:
    """A listener that has gone through the script."""
    listening = ScriptedSocket()
    listening.script = list(script)
    server.nursery.start_soon(run_for_a_while, Listener(ENDPOINT, listening, server.engine, listening.accept_peer))
    await wait_until(lambda: not listening.script)
    await trio.testing.wait_all_tasks_blocked(0.001)
    return listening


async def run_for_a_while(listener: Listener[EchoSession]) -> None:
    with trio.move_on_after(2 * RETRY_S):
        await listener.run()


async def hear(client: socket.socket) -> bytes:
    client.setblocking(False)
    await trio.lowlevel.wait_readable(client)
    return client.recv(100)


def close_all(listening: ScriptedSocket) -> None:
    for client in listening.clients:
        client.close()


async def test_who_comes_is_served(server: EchoServer) -> None:
    listening = await accepted(server, "127.0.0.1", "127.0.0.1")
    for client in listening.clients:
        client.send(HANDSHAKE)
        assert await hear(client) == b"hello"
    close_all(listening)


async def test_who_connects_is_accepted_within_a_round(server: EchoServer) -> None:
    listening = await accepted(server, "127.0.0.1")
    listening.script.append("127.0.0.1")
    listening.announce()
    server.engine.round(trio.current_time())
    assert server.engine.admission.count == 2
    close_all(listening)


async def test_a_connection_that_is_gone_already_does_no_harm(server: EchoServer) -> None:
    listening = await accepted(server, errno.ECONNABORTED, "127.0.0.1")
    listening.clients[0].send(HANDSHAKE)
    assert await hear(listening.clients[0]) == b"hello"
    close_all(listening)


async def test_without_descriptors_it_tries_again_later(server: EchoServer) -> None:
    began_at = trio.current_time()
    listening = await accepted(server, errno.EMFILE, "127.0.0.1")
    assert trio.current_time() - began_at >= RETRY_S
    listening.clients[0].send(HANDSHAKE)
    assert await hear(listening.clients[0]) == b"hello"
    close_all(listening)


async def test_who_is_too_many_is_hung_up_on_at_once(server: EchoServer) -> None:
    server.engine.admission = Admission(ConnectionLimits(count_max=1))
    listening = await accepted(server, "127.0.0.1", "127.0.0.1")
    assert await hear(listening.clients[1]) == b""
    assert server.engine.admission.count == 1
    close_all(listening)


async def test_what_is_said_with_the_connection_is_read_in_the_same_round(server: EchoServer) -> None:
    listening = await accepted(server)
    listening.script.append("127.0.0.1")
    listening.first_words = HANDSHAKE
    listening.announce()
    server.engine.round(trio.current_time())
    assert server.poller is not None
    assert server.poller.pending, "the decoder stopped at the protocol header and may go on"
    assert await hear(listening.clients[0]) == b"hello"
    close_all(listening)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("10.1.2.3", False), ("::1", True), ("fe80::1", False)],
)
def test_it_is_known_who_is_on_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
