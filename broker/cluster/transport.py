"""Links between nodes over TCP, with or without TLS: listens, dials, and lets ``Peers`` know.

Whoever sends through ``peers`` calls ``flush`` when a round's sends are done; ``ring`` is called when the receiver was
told something, so that a round is made.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

import structlog
import trio

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Channel, Role
from broker.cluster.hello import NONCE_SIZE, PeerInfo, Terms
from broker.cluster.link_stream import LinkStream, Watcher, closing_of, set_options
from broker.cluster.peer import HEARTBEAT_INTERVAL_S, SUSPICION_S
from broker.cluster.peer_link import HANDSHAKE_TIMEOUT_S, PeerLink
from broker.cluster.peers import Peers, Receiver
from broker.cluster.tls import TlsContexts
from broker.cluster.violation import Closing, Reason

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 3.0
STOP_TIMEOUT_S = 1.0
"""For what is queued to leave when the node stops."""
HANDSHAKE_COUNT_MAX = 128
HANDSHAKE_COUNT_PER_HOST = 32
"""Of connections accepted from who hasn't proved anything: beyond, they are closed unheard.  A node makes three."""
REPEAT_S = 60.0
"""After which the same trouble with the same address is logged again."""
TROUBLE_COUNT_MAX = 1024
"""Addresses whose last trouble is remembered."""
NOT_WORTH_A_LINE = frozenset(
    {Reason.OURSELVES, Reason.DUPLICATE, Reason.SHUTDOWN, Reason.FORGOTTEN, Reason.IDENTITY_CHANGED}
)


class AddressUnavailable(Exception):
    """The cluster's listener can't have its address; says which, and why."""


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """``port`` 0: any that is free.  Raises AddressUnavailable."""
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise AddressUnavailable(f"cluster on {host}:{port}: {error.strerror or error}") from error


async def resolve(address: str) -> list[str]:
    """The addresses that a name with a port stands for: each is a node's.  None: the name is not known now."""
    host, _, port = address.rpartition(":")
    try:
        found = await trio.socket.getaddrinfo(host.strip("[]"), int(port), type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    hosts = dict.fromkeys(str(where[0]) for *_, where in found)
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]


class Transport:
    """Of one node.  ``peers`` is what the rest of the cluster speaks with."""

    def __init__(
        self,
        terms: Terms,
        listeners: Sequence[trio.SocketListener],
        receiver: Receiver,
        heartbeat_payload: Callable[[], list[Any]],
        ring: Callable[[], None],
        random: Random,
        tls: TlsContexts | None = None,
        *,
        heartbeat_interval_s: float = HEARTBEAT_INTERVAL_S,
        suspicion_s: float = SUSPICION_S,
    ) -> None:
        """Takes the listeners over.  In a trio run: its clock is read."""
        self._listeners = listeners
        self._receiver = _Told(receiver)
        self._ring = ring
        self._tls = tls
        self._streams: dict[PeerLink, LinkStream] = {}
        self._watcher: Watcher | None = None
        self._ticking = trio.CancelScope()
        """Until the next tick."""
        self._beaten = trio.Event()
        self._beat_count = 0
        self._handshakes = _Handshakes()
        self._troubles = _Troubles()
        self._stopping = trio.Event()
        self._none_left = trio.Event()
        self.peers = Peers(
            terms,
            self._receiver,
            random,
            lambda: secrets.token_bytes(NONCE_SIZE),
            heartbeat_payload,
            trio.current_time(),
            heartbeat_interval_s=heartbeat_interval_s,
            suspicion_s=suspicion_s,
        )

    def set_addresses(self, addresses: Iterable[str]) -> None:
        """Where the other nodes are, host:port each."""
        self.peers.set_addresses(addresses, trio.current_time())
        self._served()

    def set_cluster_id(self, cluster_id: bytes) -> None:
        """This node is in a cluster now."""
        self.peers.set_cluster_id(cluster_id, trio.current_time())
        self._served()

    def read_by(self, watcher: Watcher) -> None:
        """Links are read in its rounds from now on."""
        self._watcher = watcher
        for stream in list(self._streams.values()):
            stream.read_by(watcher)

    def trouble(self, address: str) -> str | None:
        """What went wrong last when it was dialed, in words."""
        return self._troubles.last(address)

    async def beat(self) -> None:
        """Until heartbeats are sent."""
        await self._beaten.wait()

    def flush(self) -> None:
        """Lets out what was sent; it waits for nothing."""
        for link in self.peers.take_ready():
            if (stream := self._streams.get(link)) is not None:
                stream.wake()

    def stop(self) -> None:
        """Ends ``run``, when what is queued has left, or after a second."""
        self._stopping.set()

    def close(self) -> None:
        """Nobody is listened to any more; ``run`` ends with it."""
        for listener in self._listeners:
            listener.socket.close()

    async def run(self) -> None:
        """Until it is stopped or cancelled.  Links, listeners and dials end with it."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tick, nursery)
                for listener in self._listeners:
                    nursery.start_soon(self._accept_all, listener, nursery)
                await self._stopping.wait()
                self.peers.stop(trio.current_time())
                self._served()
                with trio.move_on_after(STOP_TIMEOUT_S):
                    while self._streams:
                        self._none_left = trio.Event()
                        await self._none_left.wait()
                nursery.cancel_scope.cancel()
        finally:
            self.peers.stop(trio.current_time())
            self._served()
            self.close()

    async def _tick(self, nursery: trio.Nursery) -> None:
        while True:
            now = trio.current_time()
            self.peers.tick(now)
            for address, channel in self.peers.take_dials(now):
                nursery.start_soon(self._dial, address, channel)
            self._served()
            with trio.CancelScope(deadline=self.peers.next_tick) as self._ticking:
                await trio.sleep_forever()

    async def _accept_all(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        # It waits and goes on when descriptors have run out.
        await trio.serve_listeners(self._accept, [listener], handler_nursery=nursery)

    async def _accept(self, stream: trio.SocketStream) -> None:
        try:
            host = str(stream.socket.getpeername()[0])
            set_options(stream)
        except (OSError, trio.BrokenResourceError):
            # It is gone again.
            await trio.aclose_forcefully(stream)
            return
        proved = self._handshakes.begin(host)
        if proved is None:
            if self._troubles.is_new(host, Closing(Reason.HELLO_TIMEOUT), trio.current_time()):
                log.warning("cluster connections closed unheard: too many say hello at once", address=host)
            await trio.aclose_forcefully(stream)
            return
        try:
            secured = await self._secure(stream, True, host)
            if secured is not None:
                await self._serve(self.peers.accepted(trio.current_time()), secured, host, proved)
        finally:
            proved()

    async def _dial(self, address: str, channel: Channel) -> None:
        stream = await self._connect(address)
        secured = None if stream is None else await self._secure(stream, False, address)
        now = trio.current_time()
        if secured is None:
            self.peers.dial_failed(address, channel, now)
        else:
            await self._serve(self.peers.dialed(address, channel, now), secured, address, _nothing)

    async def _connect(self, address: str) -> trio.SocketStream | None:
        """None: nobody is there."""
        host, _, port = address.rpartition(":")
        closing = Closing(Reason.CONNECT_TIMEOUT)
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            try:
                stream = await trio.open_tcp_stream(host.strip("[]"), int(port))
                set_options(stream)
                return stream
            except (OSError, UnicodeError, trio.BrokenResourceError) as error:
                closing = closing_of(error)
        self._tell(address, closing)
        return None

    async def _secure(self, stream: trio.SocketStream, accepted: bool, address: str) -> trio.abc.Stream | None:
        """With TLS, if there is to be TLS; None: it came to nothing, and is closed."""
        if self._tls is None:
            return stream
        context = self._tls.acceptor if accepted else self._tls.dialer
        secured = trio.SSLStream(stream, context, server_side=accepted, https_compatible=True)
        closing: Closing | None = Closing(Reason.TLS, "no handshake in time")
        try:
            with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
                try:
                    await secured.do_handshake()
                    closing = None
                except trio.BrokenResourceError as error:
                    closing = closing_of(error)
        finally:
            if closing is not None:
                await trio.aclose_forcefully(stream)
        if closing is not None:
            self._tell(address, closing)
            return None
        return secured

    async def _serve(self, link: PeerLink, stream: trio.abc.Stream, address: str, proved: Callable[[], None]) -> None:
        """Until the link is closed.  ``proved`` is called when the other has proved who it is, maybe often."""

        def served(room: bool) -> None:
            if link.was_ready:
                proved()
            self._served(room)

        self._streams[link] = LinkStream(link, stream, self.peers, served, self._watcher)
        try:
            await self._streams[link].run()
        finally:
            del self._streams[link]
            if not self._streams:
                self._none_left.set()
            assert link.closing is not None
            if link.info is not None and link.was_ready:
                self._tell(address, link.closing, link.info.node_name)
            elif link.role is Role.DIALER or link.closing.reason is not Reason.HUNG_UP:
                # Who hung up before he had said who he is may have been ourselves, a probe, or somebody's doubt.
                self._tell(address, link.closing)

    def _served(self, room: bool = False) -> None:
        """After anything that ``peers`` was told."""
        if self._receiver.take_told() or room:
            self._ring()
        if self.peers.next_tick != self._ticking.deadline:
            self._ticking.deadline = self.peers.next_tick
        if self.peers.beat_count != self._beat_count:
            self._beat_count = self.peers.beat_count
            self._beaten.set()
            self._beaten = trio.Event()
        self.flush()

    def _tell(self, address: str, closing: Closing, node_name: str = "") -> None:
        """A line for each trouble with an address, and not for every try and channel.

        ``node_name``: of the node that the link was ready with.
        """
        if closing.reason in NOT_WORTH_A_LINE:
            return
        if self._troubles.is_new(address, closing, trio.current_time()):
            if node_name:
                log.warning("cluster link closed", node=node_name, address=address, reason=str(closing))
            else:
                log.warning("cluster connection failed", address=address, reason=str(closing))


class _Handshakes:
    """Counts accepted connections that have proved nothing, in TLS's handshake or in ours."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, host: str) -> Callable[[], None] | None:
        """What is to be called when it ends, once or more; None: there are too many."""
        if self._counts.total() >= HANDSHAKE_COUNT_MAX or self._counts[host] >= HANDSHAKE_COUNT_PER_HOST:
            return None
        self._counts[host] += 1
        left = [host]

        def end() -> None:
            while left:
                self._counts[left.pop()] -= 1
                if not self._counts[host]:
                    del self._counts[host]

        return end

    def __len__(self) -> int:
        return self._counts.total()


def _nothing() -> None:
    """A dialer isn't counted."""


class _Troubles:
    """What went wrong last with each address."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Closing, float]] = {}

    def last(self, address: str) -> str | None:
        last = self._last.get(address)
        return None if last is None else str(last[0])

    def is_new(self, address: str, closing: Closing, now: float) -> bool:
        last = self._last.pop(address, None)
        new = last is None or last[0].reason is not closing.reason or now >= last[1] + REPEAT_S
        while len(self._last) >= TROUBLE_COUNT_MAX:
            del self._last[next(iter(self._last))]
        self._last[address] = (closing, now) if last is None or new else last
        return new


class _Told:
    """Passes all on to a receiver, knows whether there was anything, and logs who comes and goes."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._told = False

    def take_told(self) -> bool:
        told, self._told = self._told, False
        return told

    def receive_frames(self, info: PeerInfo, channel: Channel, frames: Sequence[Frame]) -> bool:
        self._told |= self._receiver.receive_frames(info, channel, frames)
        return self._told

    def receive_heartbeat(self, info: PeerInfo, payload: list[Any], now: float) -> None:
        self._receiver.receive_heartbeat(info, payload, now)  # which no round need follow

    def peer_up(self, info: PeerInfo) -> None:
        self._told = True
        log.info("node is up", node=info.node_name, address=info.address, peer=f"{info.peer:016x}")
        self._receiver.peer_up(info)

    def peer_down(self, info: PeerInfo) -> None:
        self._told = True
        log.warning("node is down", node=info.node_name, address=info.address, peer=f"{info.peer:016x}")
        self._receiver.peer_down(info)

    def peer_seen(self, info: PeerInfo) -> None:
        self._told = True
        self._receiver.peer_seen(info)
