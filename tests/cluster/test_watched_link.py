"""A link on a plain connection, which a watcher tells when there is something to read and room to write."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Channel, Kind
from broker.cluster.link_stream import CLOSE_TIMEOUT_S, WRITE_SIZE, WRITE_TIMEOUT_S
from broker.cluster.violation import Reason
from tests.cluster.link_ends import accepting, dialing, reason

Sockets: TypeAlias = tuple[socket.socket, socket.socket]

FRAMES = [Frame(Kind.APPEND, [number], bytes(WRITE_SIZE)) for number in range(8)]


class Told:
    """A watcher that tells when the test says so."""

    def __init__(self) -> None:
        self.tell: Callable[[], bool] = lambda: False
        self.writes = False

    def watch(self, _fd: int, receive_ready: Callable[[], bool], writes: bool) -> int:
        self.tell, self.writes = receive_ready, writes
        return -1

    def watch_again(self, token: int) -> None:
        raise AssertionError(token)

    def unwatch(self, token: int) -> None:
        assert token == -1


class Pair:
    """A dialer that is watched, and what the acceptor has not read."""

    def __init__(self, ours: trio.SocketStream, theirs: socket.socket) -> None:
        self.watcher = Told()
        self.end, self.carried = dialing(ours, Channel.BULK, self.watcher)
        self.other, _ = accepting(ours)
        self.theirs = theirs

    def read(self) -> int:
        """Takes what has come; how many bytes."""
        size = 0
        while data := self._received():
            size += len(data)
            self.other.peers.receive_data(self.other.link, data, trio.current_time())
            if output := b"".join(self.other.link.take_output(1 << 20)):
                self.theirs.sendall(output)
                self.other.peers.receive_written(self.other.link, len(output))
        return size

    def _received(self) -> bytes:
        try:
            return self.theirs.recv(1 << 20)
        except BlockingIOError:
            return b""

    @property
    def came(self) -> list[Frame]:
        return [frame for _, _, frame in self.other.heard.frames]

    async def shake_hands(self) -> None:
        while not (self.end.link.ready and self.other.link.ready):
            await wait_all_tasks_blocked()
            self.read()
            self.watcher.tell()
        assert self.watcher.writes

    def send(self, frames: list[Frame]) -> None:
        assert self.end.peers.send(ord("b"), Channel.BULK, frames)
        self.end.served(False)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@asynccontextmanager
async def connected(sockets: Sockets) -> AsyncIterator[Pair]:
    """Until the block ends."""
    ours, theirs = sockets
    pair = Pair(trio.SocketStream(trio.socket.from_stdlib_socket(ours)), theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.carried.run)
        await pair.shake_hands()
        yield pair
        nursery.cancel_scope.cancel()


async def test_what_was_not_taken_at_once_goes_on_when_the_watcher_tells(
    sockets: Sockets, autojump_clock: MockClock
) -> None:
    async with connected(sockets) as pair:
        pair.send(FRAMES)
        left = pair.end.link.queued_size
        assert left > 0, "no socket takes 2 MiB at once"
        await wait_all_tasks_blocked()
        assert pair.read() > 0
        assert pair.end.link.queued_size == left, "no task writes"
        while pair.end.link.queued_size:
            pair.watcher.tell()
            assert pair.read() > 0
        assert pair.came == FRAMES
        small = Frame(Kind.APPEND, [8], b"small")
        pair.send([small])
        pair.read()
        assert pair.came == [*FRAMES, small], "and at once again"


async def test_who_takes_nothing_is_given_up(sockets: Sockets, autojump_clock: MockClock) -> None:
    async with connected(sockets) as pair:
        pair.send(FRAMES)
        await trio.sleep(WRITE_TIMEOUT_S - 1)
        assert reason(pair.end) is None
        await trio.sleep(2)
        assert reason(pair.end) is Reason.WRITE_TIMEOUT


async def test_who_takes_some_now_and_then_is_not(sockets: Sockets, autojump_clock: MockClock) -> None:
    async with connected(sockets) as pair:
        pair.send(FRAMES)
        began = trio.current_time()
        while pair.end.link.queued_size:
            await trio.sleep(WRITE_TIMEOUT_S - 1)
            taken = 0
            while taken < 2 * WRITE_SIZE and pair.end.link.queued_size:
                taken += pair.read()
                pair.watcher.tell()
        assert reason(pair.end) is None
        assert trio.current_time() - began > WRITE_TIMEOUT_S


async def test_who_took_all_in_the_meantime_is_not(sockets: Sockets, autojump_clock: MockClock) -> None:
    size = WRITE_SIZE // 2 - 100  # two of them don't fit in the socket, and are less than what has to be taken
    pair_of = [Frame(Kind.APPEND, [number], bytes(size)) for number in range(2)]
    async with connected(sockets) as pair:
        pair.send(pair_of)
        assert pair.end.link.queued_size > 0
        await trio.sleep(WRITE_TIMEOUT_S - 1)
        while pair.end.link.queued_size:
            pair.read()
            pair.watcher.tell()
        pair.read()
        pair.send(pair_of)
        assert pair.end.link.queued_size > 0, "not taken for a second"
        await trio.sleep(2)
        assert reason(pair.end) is None


@pytest.mark.parametrize("reads", [True, False])
async def test_last_words_have_a_moment_to_leave(reads: bool, sockets: Sockets, autojump_clock: MockClock) -> None:
    async with connected(sockets) as pair:
        pair.send(FRAMES)
        await wait_all_tasks_blocked()
        pair.end.peers.stop(trio.current_time())
        pair.end.served(False)
        while reads and pair.read() > 0:
            await wait_all_tasks_blocked()
        await trio.sleep(2 * CLOSE_TIMEOUT_S)
        assert reason(pair.end) is Reason.SHUTDOWN
        pair.read()
        assert (pair.came == FRAMES) is reads
        assert pair.theirs.recv(1) == b"", "it is closed, whatever was left"
