"""Transports over real sockets on loopback: they find each other, lose each other, and speak TLS or not at all."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
import trustme

from broker.cluster.frame import Frame, encode_frames
from broker.cluster.frame_kinds import Channel, Kind
from broker.cluster.hello import FRESH, Identity, PeerInfo, Secret, Terms
from broker.cluster.tls import TlsContexts, TlsFiles, TlsUnusable, load_tls
from broker.cluster.transport import HANDSHAKE_COUNT_PER_HOST, AddressUnavailable, Transport, listen, resolve

TIMEOUT_S = 10.0


class Heard:
    """A receiver that writes down what it is told."""

    def __init__(self) -> None:
        self.up: set[str] = set()
        self.changes: list[tuple[str, str]] = []
        self.frames: list[tuple[str, Channel, Frame]] = []
        self.payloads: list[Any] = []

    def receive_frames(self, info: PeerInfo, channel: Channel, frames: Sequence[Frame]) -> bool:
        self.frames += [(info.node_name, channel, frame) for frame in frames]
        return True

    def receive_heartbeat(self, info: PeerInfo, payload: list[Any], now: float) -> None:
        self.payloads.append(payload)

    def peer_up(self, info: PeerInfo) -> None:
        self.up.add(info.node_name)
        self.changes.append(("up", info.node_name))

    def peer_down(self, info: PeerInfo) -> None:
        self.up.discard(info.node_name)
        self.changes.append(("down", info.node_name))

    def peer_seen(self, info: PeerInfo) -> None:
        pass


class Node:
    """One transport that runs."""

    def __init__(self, name: str, transport: Transport, heard: Heard, address: str) -> None:
        self.name = name
        self.transport = transport
        self.peers = transport.peers
        self.heard = heard
        self.address = address
        self.scope = trio.CancelScope()
        self.ended = trio.Event()

    async def run(self) -> None:
        with self.scope:
            await self.transport.run()
        self.ended.set()

    async def kill(self) -> None:
        self.scope.cancel()
        await self.ended.wait()


LOOK_S = 0.05


class Rings:
    """Wakes whoever waits for something to be true: on every ring of any node, and now and then, for heartbeats."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, happened: Callable[[], object]) -> None:
        with trio.fail_after(TIMEOUT_S):
            while not happened():
                self._rung = trio.Event()
                with trio.move_on_after(LOOK_S):
                    await self._rung.wait()


Start = Callable[..., Awaitable[Node]]


@asynccontextmanager
async def nodes() -> AsyncIterator[tuple[Start, Rings]]:
    """Starts nodes; all are ended with the block."""
    rings = Rings()
    async with trio.open_nursery() as nursery:

        async def start(
            name: str,
            port: int = 0,
            incarnation: int = 1,
            secret: bytes = b"loopback",
            tls: TlsContexts | None = None,
        ) -> Node:
            listeners = await listen("127.0.0.1", port)
            address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            who = Identity(int.from_bytes(name.encode(), "big"), incarnation, FRESH, "test", name, address)
            heard = Heard()
            transport = Transport(
                Terms(who, Secret(secret)), listeners, heard, lambda: ["of", name], rings.ring, Random(1), tls
            )
            node = Node(name, transport, heard, address)
            nursery.start_soon(node.run)
            return node

        yield start, rings
        nursery.cancel_scope.cancel()


def sees(node: Node, *names: str) -> Callable[[], bool]:
    """Whether exactly these are up to it."""
    return lambda: node.heard.up == set(names)


def knows(node: Node, what: str, name: str) -> Callable[[], bool]:
    """Whether it was told so."""
    return lambda: (what, name) in node.heard.changes


def meet(*some: Node) -> None:
    for node in some:
        node.transport.set_addresses([other.address for other in some])


async def test_three_find_each_other_and_one_is_killed_and_comes_back() -> None:
    async with nodes() as (start, rings):
        a, b, c = [await start(name) for name in "abc"]
        meet(a, b, c)
        for node in (a, b, c):
            await rings.wait(sees(node, *{"a", "b", "c"} - {node.name}))
        frame = Frame(Kind.WORD, [1, 3], b"body")
        assert a.peers.send(ord("b"), Channel.FORWARD, [frame] * 3)
        a.transport.flush()
        await rings.wait(lambda: len(b.heard.frames) == 3)
        assert b.heard.frames == [("a", Channel.FORWARD, frame)] * 3
        await rings.wait(lambda: ["of", "a"] in b.heard.payloads)

        await c.kill()
        for node in (a, b):
            await rings.wait(knows(node, "down", "c"))
        again = await start("c", int(c.address.rpartition(":")[2]), incarnation=2)
        meet(a, b, again)
        for node in (a, b):
            await rings.wait(sees(node, *{"a", "b", "c"} - {node.name}))
        assert [info.incarnation for info in a.peers.up()] == [1, 2]


async def test_large_bodies_go_through_whole_and_in_order() -> None:
    async with nodes() as (start, rings):
        a, b = [await start(name) for name in "ab"]
        a.transport.set_addresses([b.address])
        await rings.wait(lambda: a.heard.up and b.heard.up)
        frames = [Frame(Kind.APPEND, [number], Random(number).randbytes(size)) for number, size in enumerate(SIZES)]
        assert a.peers.send(ord("b"), Channel.BULK, frames)
        a.transport.flush()
        await rings.wait(lambda: len(b.heard.frames) == len(frames))
        assert [frame for _, _, frame in b.heard.frames] == frames
        await rings.wait(lambda: a.peers.queued_size(ord("b"), Channel.BULK) == 0)


SIZES = [0, 1, 65_536, 262_144, 1 << 20, 5 << 20, 7]


async def test_a_stop_lets_out_what_was_sent() -> None:
    async with nodes() as (start, rings):
        a, b = [await start(name) for name in "ab"]
        meet(a, b)
        await rings.wait(lambda: a.heard.up and b.heard.up)
        assert a.peers.send(ord("b"), Channel.BULK, [Frame(Kind.APPEND, [0], bytes(4 << 20))])
        a.transport.stop()
        with trio.fail_after(TIMEOUT_S):
            await a.ended.wait()
        await rings.wait(lambda: b.heard.frames)
        await rings.wait(knows(b, "down", "a"))
        assert a.heard.changes == [("up", "b"), ("down", "b")]


async def test_who_does_not_know_the_secret_stays_outside() -> None:
    async with nodes() as (start, rings):
        a, b = await start("a"), await start("b", secret=b"guessed")
        c = await start("c")
        meet(a, b, c)
        await rings.wait(lambda: a.heard.up and c.heard.up)
        await trio.sleep(0.5)
        assert a.heard.up == {"c"}
        assert b.heard.changes == []


async def test_strangers_are_closed_and_disturb_nobody() -> None:
    async with nodes() as (start, rings):
        a, b = [await start(name) for name in "ab"]
        meet(a, b)
        await rings.wait(lambda: a.heard.up and b.heard.up)
        port = int(a.address.rpartition(":")[2])
        for said in (b"GET / HTTP/1.1\r\n\r\n", encode_frames([Frame(Kind.RAFT, [])]), bytes(100)):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(said)
            with trio.fail_after(TIMEOUT_S):
                assert await _ends(stream)
        # Too many who say nothing.
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(HANDSHAKE_COUNT_PER_HOST + 5)]
        with trio.fail_after(TIMEOUT_S):
            for stream in streams[HANDSHAKE_COUNT_PER_HOST:]:
                assert await _ends(stream), "beyond the limit, closed at once"
            for stream in streams[:HANDSHAKE_COUNT_PER_HOST]:
                assert await _ends(stream), "and the others in time"
        assert a.heard.changes == [("up", "b")]
        # Who is closed sees it before the task that served him is at its end.
        await rings.wait(lambda: len(a.transport._handshakes) == 0)


async def _ends(stream: trio.SocketStream) -> bool:
    try:
        return await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return True
    finally:
        await stream.aclose()


async def test_dials_of_all_kinds_fail_by_their_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        async with nodes() as (start, rings):
            a, b = [await start(name) for name in "ab"]
            a.transport.set_addresses([nobody, "no-such-host.invalid:1", "a..b:1", b.address])
            await rings.wait(lambda: a.heard.up)
            await trio.sleep(0.3)
    said = capsys.readouterr().out
    assert said.count("nobody listens") == 1, "once, though it was dialed again and again"
    assert said.count("cannot be resolved") == 2


async def test_an_address_that_is_taken() -> None:
    (listener,) = await listen("127.0.0.1", 0)
    port = listener.socket.getsockname()[1]
    with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{port}"):
        await listen("127.0.0.1", port)
    await listener.aclose()


async def test_names_stand_for_addresses() -> None:
    assert await resolve("127.0.0.1:7400") == ["127.0.0.1:7400"]
    assert await resolve("[::1]:7400") == ["[::1]:7400"]
    assert "127.0.0.1:7400" in await resolve("localhost:7400")
    assert await resolve("no-such-host.invalid:7400") == []
    assert await resolve("a..b:7400") == []


# TLS


def files(folder: Path, authority: trustme.CA, name: str) -> TlsFiles:
    certificate = authority.issue_cert(name)
    paths = [folder / f"{name}.{what}" for what in ("ca", "cert", "key")]
    authority.cert_pem.write_to_path(str(paths[0]))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(paths[1]), append=True)
    certificate.private_key_pem.write_to_path(str(paths[2]))
    return TlsFiles(*map(str, paths))


async def test_with_tls_of_one_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    async with nodes() as (start, rings):
        a, b, c = [await start(name, tls=load_tls(files(tmp_path, authority, f"{name}.example"))) for name in "abc"]
        meet(a, b, c)
        for node in (a, b, c):
            await rings.wait(sees(node, *{"a", "b", "c"} - {node.name}))
        frames = [Frame(Kind.APPEND, [number], Random(number).randbytes(size)) for number, size in enumerate(SIZES)]
        assert a.peers.send(ord("b"), Channel.BULK, frames)
        a.transport.flush()
        await rings.wait(lambda: len(b.heard.frames) == len(frames))
        assert [frame for _, _, frame in b.heard.frames] == frames
        await b.kill()
        await rings.wait(knows(a, "down", "b"))


async def test_another_authority_or_no_tls_stays_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = trustme.CA()
    async with nodes() as (start, rings):
        a, b = [await start(name, tls=load_tls(files(tmp_path, authority, f"{name}.example"))) for name in "ab"]
        other = await start("o", tls=load_tls(files(tmp_path, trustme.CA(), "o.example")))
        plain = await start("p")
        meet(a, b, other, plain)
        await rings.wait(lambda: a.heard.up and b.heard.up)
        await trio.sleep(0.5)
        assert a.heard.up == {"b"}
        assert other.heard.changes == plain.heard.changes == []
    assert "TLS could not be agreed on" in capsys.readouterr().out


def test_tls_files_that_cannot_be_used(tmp_path: Path) -> None:
    good = files(tmp_path, trustme.CA(), "a.example")
    other = files(tmp_path, trustme.CA(), "b.example")
    (tmp_path / "empty").write_text("")
    empty, missing = str(tmp_path / "empty"), str(tmp_path / "missing")
    load_tls(good)
    for bad, named in (
        (TlsFiles(missing, good.cert_file, good.key_file), missing),
        (TlsFiles(empty, good.cert_file, good.key_file), empty),
        (TlsFiles(good.ca_file, missing, good.key_file), missing),
        (TlsFiles(good.ca_file, good.cert_file, empty), empty),
        (TlsFiles(good.ca_file, good.cert_file, other.key_file), other.key_file),
    ):
        with pytest.raises(TlsUnusable, match=named):
            load_tls(bad)
