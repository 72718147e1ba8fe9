"""A link's tasks, on streams in memory: what is written, when it is given up, and why it says that it ended."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import (
    MemoryReceiveStream,
    MemorySendStream,
    MockClock,
    lockstep_stream_pair,
    memory_stream_pair,
    wait_all_tasks_blocked,
)

from broker.cluster.frame import Frame, encode_frames
from broker.cluster.frame_kinds import Channel, Kind
from broker.cluster.link_stream import (
    REASONS,
    WRITE_SIZE,
    WRITE_TIMEOUT_S,
    StreamError,
    after,
    closing_of,
)
from broker.cluster.violation import Reason
from tests.cluster.link_ends import accepting, dialing, reason


@pytest.mark.parametrize("pair", [memory_stream_pair, lockstep_stream_pair])
async def test_two_ends_say_hello_and_frames_pass(pair: Any, autojump_clock: MockClock) -> None:
    one, other = pair()
    (a, carried_a), (b, carried_b) = dialing(one), accepting(other)
    frames = [Frame(Kind.APPEND, [size], bytes(size)) for size in (0, 10, WRITE_SIZE, 3 * WRITE_SIZE + 1)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carried_a.run)
        nursery.start_soon(carried_b.run)
        await wait_all_tasks_blocked()
        assert a.link.ready
        assert b.link.ready
        assert a.peers.send(ord("b"), Channel.BULK, frames)
        a.served(False)
        await wait_all_tasks_blocked()
        assert [frame for _, _, frame in b.heard.frames] == frames
        assert a.link.queued_size == 0
        a.peers.stop(trio.current_time())
        a.served(False)
    assert (reason(a), reason(b)) == (Reason.SHUTDOWN, Reason.HUNG_UP)


async def test_a_stranger_is_answered_and_hung_up(autojump_clock: MockClock) -> None:
    ours, theirs = memory_stream_pair()
    end, carried = accepting(ours)
    hello = [1, "dragoman-cluster", 9, 9, [], 1, 7, 7, bytes(16), "orders", "x", "x:1", bytes(32), 1][1:]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carried.run)
        await theirs.send_all(encode_frames([Frame(Kind.HELLO, hello)]))
        said = b"".join([data async for data in theirs])
    assert b"version" in said, "a rejection leaves before the connection is closed"
    assert reason(end) is Reason.VERSION


async def test_a_link_that_is_closed_elsewhere_ends_its_tasks(autojump_clock: MockClock) -> None:
    ours, theirs = memory_stream_pair()
    end, carried = accepting(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carried.run)
        await wait_all_tasks_blocked()
        end.peers.tick(trio.current_time() + 60)
        end.served(False)
    assert reason(end) is Reason.HELLO_TIMEOUT
    assert await theirs.receive_some() == b""


async def test_who_takes_nothing_is_given_up(autojump_clock: MockClock) -> None:
    ours, _theirs = lockstep_stream_pair()
    end, carried = dialing(ours)
    began = trio.current_time()
    await carried.run()
    assert reason(end) is Reason.WRITE_TIMEOUT
    assert trio.current_time() - began == WRITE_TIMEOUT_S


@pytest.mark.parametrize("broken", ["read", "write"])
async def test_a_stream_that_breaks_says_why(broken: str, autojump_clock: MockClock) -> None:
    async def fail() -> None:
        raise trio.BrokenResourceError from OSError(errno.ECONNRESET, "reset")

    reading, writing = MemoryReceiveStream(), MemorySendStream()
    if broken == "read":
        reading = MemoryReceiveStream(receive_some_hook=fail)
    else:
        writing = MemorySendStream(send_all_hook=fail)
    end, carried = dialing(trio.StapledStream(writing, reading))
    await carried.run()
    assert reason(end) is Reason.RESET


async def test_a_cancelled_stream_is_closed(autojump_clock: MockClock) -> None:
    ours, theirs = memory_stream_pair()
    end, carried = accepting(ours)
    with trio.move_on_after(1):
        await carried.run()
    assert reason(end) is Reason.SHUTDOWN
    assert await theirs.receive_some() == b""


async def test_room_on_forward_is_told(autojump_clock: MockClock) -> None:
    one, other = memory_stream_pair()
    (a, carried_a), (_b, carried_b) = dialing(one, Channel.FORWARD), accepting(other)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carried_a.run)
        nursery.start_soon(carried_b.run)
        await wait_all_tasks_blocked()
        while not a.peers.full(ord("b")):
            a.peers.send(ord("b"), Channel.FORWARD, [Frame(Kind.WORD, [0, 0], bytes(1 << 20))])
        assert a.rooms == 0
        a.served(False)
        await wait_all_tasks_blocked()
        assert a.rooms == 1
        nursery.cancel_scope.cancel()


def _from(error: BaseException, cause: BaseException) -> Any:
    error.__cause__ = cause
    return error


def _tls_error() -> ssl.SSLError:
    """What OpenSSL says of plain HTTP."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="a").do_handshake()
    return caught.value


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((OSError(number, "x"), reason) for number, reason in REASONS.items()),
        (socket.gaierror(-2, "Name or service not known"), Reason.NAME_UNKNOWN),
        (UnicodeError("label empty"), Reason.NAME_UNKNOWN),
        (OSError(errno.EIO, "what nobody thought of"), Reason.RESET),
        (trio.BrokenResourceError(), Reason.RESET),
        (trio.ClosedResourceError(), Reason.RESET),
        (_from(trio.BrokenResourceError(), OSError(errno.ETIMEDOUT, "x")), Reason.CONNECT_TIMEOUT),
        (_from(trio.BrokenResourceError(), _tls_error()), Reason.TLS),
        (
            _from(OSError("all failed"), ExceptionGroup("all", [OSError(errno.ECONNREFUSED, "x")])),
            Reason.CONNECTION_REFUSED,
        ),
    ],
    ids=repr,
)
def test_errors_have_reasons(error: StreamError, expected: Reason) -> None:
    assert closing_of(error).reason is expected
    assert str(closing_of(error)).isprintable()


@given(st.lists(st.binary(max_size=5), max_size=5), st.data())
def test_what_the_system_did_not_take_of_pieces_is_what_comes_after(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    written = data.draw(st.integers(0, len(whole)))
    left = after(list(pieces), written)
    assert b"".join(left) == whole[written:]
    assert all(len(piece) for piece in left[:1]), "the system would take nothing of it, for ever"
