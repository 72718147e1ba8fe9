"""All links of one node, without I/O: who is there, who is suspected, what to dial, what to send.

The edge (``transport.py``, or a simulated net) dials what ``take_dials`` says, reports connections, bytes and ends,
calls ``tick`` by ``next_tick``, and serves the links that ``take_ready`` names.  A node sends on the links that it
dialed and receives on those that it accepted; with one of each for every channel, and heartbeats coming, the other
node is *up*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, Protocol

import msgspec

from broker.cluster.dials import Dials
from broker.cluster.frame import Frame, encode_pieces
from broker.cluster.frame_kinds import CONSENSUS, FORWARD, HEARTBEAT, Channel, Kind, Role
from broker.cluster.hello import FRESH, Handshake, PeerInfo, Terms
from broker.cluster.peer import HEARTBEAT_INTERVAL_S, SILENCE_S_MAX, SUSPICION_S, Peer, PeerFigures
from broker.cluster.peer_link import PeerLink
from broker.cluster.violation import Closing, LinkViolation, Reason
from kernel import Piece

QUEUE_SIZE_MAX: dict[Channel, int] = {Channel.CONSENSUS: 8 << 20, Channel.BULK: 128 << 20, Channel.FORWARD: 16 << 20}
"""Bytes that wait for the socket; consensus and bulk are sent no more, forward is ``full``.

Bulk's large entries lie in the log as well, and are not copied.  It takes what eight groups may have under way, 16
appends of 1 MiB each: what is dropped is sent again, to somebody who is slow already (docs/decisions/0018).
"""
FORWARD_SIZE_MAX = QUEUE_SIZE_MAX[FORWARD]
TICK_LATE_S = 0.1
"""A tick that comes later than this says that we stood still, which is not the others' silence."""
TICK_S_MIN = 0.01
FOLLOW, DRIFT = 1.2, 1.25
"""Intervals after which heartbeats go though those that they go with didn't come; and while they come to go with them.
"""
PEER_COUNT_MAX = 1024
"""Nodes whose incarnation is remembered: those without a link are forgotten first."""


class Receiver(Protocol):
    """The rest of the cluster, told what the links bring.  It may call ``Peers`` from within."""

    def receive_frames(self, info: PeerInfo, channel: Channel, frames: Sequence[Frame]) -> bool:
        """All that one read brought, in order, on a channel.  Whether a round is to follow."""

    def receive_heartbeat(self, info: PeerInfo, payload: list[Any], now: float) -> None: ...

    def peer_up(self, info: PeerInfo) -> None:
        """It can be spoken with and heard.  What was sent before it was down may be lost."""

    def peer_down(self, info: PeerInfo) -> None:
        """It was up: a link is closed, or it is silent."""

    def peer_seen(self, info: PeerInfo) -> None:
        """On each hello that was proved, of fresh nodes too."""


class Peers:
    """Of one node, for as long as it runs."""

    def __init__(
        self,
        terms: Terms,
        receiver: Receiver,
        random: Random,
        draw_nonce: Callable[[], bytes],
        heartbeat_payload: Callable[[], list[Any]],
        now: float,
        *,
        heartbeat_interval_s: float = HEARTBEAT_INTERVAL_S,
        suspicion_s: float = SUSPICION_S,
        silence_s_max: float = SILENCE_S_MAX,
    ) -> None:
        """``draw_nonce``: 32 bytes nobody can foresee.  ``heartbeat_payload``: what goes with the next heartbeats."""
        assert heartbeat_interval_s < suspicion_s < silence_s_max
        self._terms = terms
        self._receiver = receiver
        self._draw_nonce = draw_nonce
        self._heartbeat_payload = heartbeat_payload
        self._heartbeat_interval_s = heartbeat_interval_s
        self._suspicion_s = suspicion_s
        self._silence_s_max = silence_s_max
        self._dials = Dials(random)
        self._links: dict[PeerLink, None] = {}
        """Those that aren't closing."""
        self._ready: dict[PeerLink, None] = {}
        self._peers: dict[int, Peer] = {}
        self._tick_by = self._heartbeat_at = self._beat_at = now
        self.beat_count = 0
        """How often heartbeats were sent."""
        self._stopped = False

    # What the rest of the cluster asks

    def send(self, peer: int, channel: Channel, frames: Sequence[Frame]) -> bool:
        """False: nothing was sent, since no link is ready or too much waits on it (forward takes more, see ``full``).

        True says only that they are queued: they are lost if the link is closed.
        """
        if self._dialed(peer, channel) is None:
            return False
        pieces = encode_pieces(frames)
        return self.send_pieces(peer, channel, pieces, sum(map(len, pieces)))

    def send_pieces(self, peer: int, channel: Channel, pieces: Sequence[bytes | Piece], size: int) -> bool:
        """The same of frames that are encoded already; ``size``: of all pieces."""
        link = self._dialed(peer, channel)
        if link is None:
            return False
        over = link.queued_size + size > QUEUE_SIZE_MAX[channel]
        if over and link.queued_size and channel is not FORWARD:
            return False
        link.send(pieces, size)
        self._ready[link] = None
        return True

    def queued_size(self, peer: int, channel: Channel) -> int:
        """Bytes that wait for the socket."""
        link = self._dialed(peer, channel)
        return 0 if link is None else link.queued_size

    def full(self, peer: int) -> bool:
        """Whether forward should be sent nothing more: too much waits, or there is no link to wait for."""
        link = self._dialed(peer, FORWARD)
        return link is None or link.queued_size >= FORWARD_SIZE_MAX

    def heard_us_at(self, peer: int) -> float:
        """When we said what that node heard of us last, as far as we know: by our clock."""
        known = self._peers.get(peer)
        return -math.inf if known is None or not known.up else known.echoed_at

    def up(self) -> list[PeerInfo]:
        """Those that can be spoken with and heard, by peer id."""
        return [self._peers[number].info for number in sorted(self._peers) if self._peers[number].up]

    def figures(self) -> list[PeerFigures]:
        """Of all that are linked with us, by peer id."""
        return [self._peers[number].figures() for number in sorted(self._peers) if self._peers[number].links]

    def answered(self) -> set[str]:
        """Addresses behind which some node was found, ourselves included."""
        return self._dials.answered()

    def found_at(self, address: str) -> int:
        """The peer that answered there last; 0: none did, or it isn't dialed."""
        return self._dials.peer_at(address)

    def set_addresses(self, addresses: Iterable[str], now: float) -> None:
        """Where the other nodes are; our own may be among them."""
        self._dials.set_addresses(addresses, now)
        self._hurry(now)
        self._forget_addresses(now)

    def set_cluster_id(self, cluster_id: bytes, now: float) -> None:
        """This node was fresh and is now in a cluster: it says hello anew to everybody."""
        identity = self._terms.identity
        assert identity.cluster_id == FRESH != cluster_id
        identity = msgspec.structs.replace(identity, cluster_id=cluster_id)
        self._terms = msgspec.structs.replace(self._terms, identity=identity)
        self._close_all(Reason.IDENTITY_CHANGED, now)

    def stop(self, now: float) -> None:
        """Closes all links, for good."""
        self._stopped = True
        self._close_all(Reason.SHUTDOWN, now)

    # What the edge reports and asks

    def take_dials(self, now: float) -> list[tuple[str, Channel]]:
        """What to dial.  Each is answered with ``dialed`` or ``dial_failed``."""
        return [] if self._stopped else self._dials.take_due(now, self._is_reached)

    def dialed(self, address: str, channel: Channel, now: float) -> PeerLink:
        """A connection to it is there."""
        link = self._open(Role.DIALER, channel, address, now)
        if address not in self._dials:
            self._close(link, Closing(Reason.FORGOTTEN), now)
        return link

    def dial_failed(self, address: str, channel: Channel, now: float) -> None:
        """No connection came of it."""
        self._dials.ended(address, channel, False, now)
        self._hurry(now)

    def accepted(self, now: float) -> PeerLink:
        """A connection from somebody is there."""
        return self._open(Role.ACCEPTOR, None, None, now)

    def receive_data(self, link: PeerLink, data: bytes, now: float) -> bool:
        """Bytes from a link; ends of stream are ``closed``.  Whether the receiver was given more than heartbeats."""
        was_ready = link.was_ready
        frames = link.receive_data(data, now)
        if not was_ready and link.ready:
            self._register(link, now)
            was_ready = True
        # A link that became ready and broke in one read never was there.
        told = bool(frames) and was_ready and self._deliver(link, frames, now)
        self._serve(link, now)
        return told

    def receive_written(self, link: PeerLink, size: int) -> bool:
        """So many bytes of its output are written.  Whether forward to that node is no longer ``full``."""
        was_full = link.queued_size >= FORWARD_SIZE_MAX
        link.receive_written(size)
        return was_full and link.queued_size < FORWARD_SIZE_MAX and link.channel is FORWARD

    def closed(self, link: PeerLink, closing: Closing, now: float) -> None:
        """Its connection is gone.  The reason is ours if we closed it."""
        self._close(link, closing, now)
        self._ready.pop(link, None)

    def take_ready(self) -> list[PeerLink]:
        """Links that have output or are closing since this was asked last."""
        if not self._ready:
            return []
        ready, self._ready = list(self._ready), {}
        return ready

    def tick(self, now: float) -> None:
        """Heartbeats, suspicion and deadlines."""
        late_s = now - self._tick_by - TICK_LATE_S
        for link in [link for link in self._links if now >= link.deadline]:
            link.receive_timeout(now)
            self._serve(link, now)
        if now >= self._heartbeat_at:
            self._heartbeat_at = max(now, self._heartbeat_at + self._heartbeat_interval_s)
            self.beat(now)
        for number in sorted(self._peers):
            peer = self._peers.get(number)
            if peer is not None and Channel.CONSENSUS in peer.accepted:
                peer.heard_at += max(0.0, late_s)
                self._watch(peer, now)
        self._tick_by = self._plan_tick(now)

    @property
    def next_tick(self) -> float:
        """By when to call ``tick``: for heartbeats, twice as often while somebody is dialed, or at a deadline.

        Whatever is reported may change it.
        """
        return self._tick_by

    def _hurry(self, now: float) -> None:
        """There may be something to dial."""
        self._tick_by = min(self._tick_by, now + self._heartbeat_interval_s / 2)

    def _plan_tick(self, now: float) -> float:
        if self._dials.waits(now + self._heartbeat_interval_s, self._is_reached):
            return now + self._heartbeat_interval_s / 2
        at = min((link.deadline for link in self._links), default=math.inf)
        for peer in self._peers.values():
            if Channel.CONSENSUS in peer.accepted:
                at = min(at, peer.heard_at + (self._suspicion_s if peer.up else self._silence_s_max))
        return max(min(self._heartbeat_at, at), now + TICK_S_MIN)

    # Links

    def _open(self, role: Role, channel: Channel | None, address: str | None, now: float) -> PeerLink:
        handshake = Handshake(role, self._terms, channel, self._draw_nonce(), self._judge)
        link = PeerLink(handshake, address, now)
        self._links[link] = None
        if self._stopped:
            self._close(link, Closing(Reason.SHUTDOWN), now)
        self._ready[link] = None
        return link

    def _judge(self, info: PeerInfo, cluster_name: str, proved: bool) -> Closing | None:
        """Before the proof only a dialer asks: whether to go on at all.  What is refused then isn't told to anybody."""
        who = self._terms.identity
        ours = (info.peer, info.incarnation) == (who.peer, who.incarnation)
        if ours or not proved:
            if ours:
                return Closing(Reason.OURSELVES, info.node_name)
            # A dialer keeps the link that it has; an acceptor takes the newer.
            return Closing(Reason.DUPLICATE, info.node_name) if self._has_other(info) else None
        if info.peer == who.peer:
            return Closing(Reason.COPIED_PEER, f"peer {who.peer:x}, {info.node_name} and {who.node_name}")
        if cluster_name != who.cluster_name:
            return Closing(Reason.CLUSTER_NAME, f"{cluster_name} and {who.cluster_name}")
        if FRESH not in (info.cluster_id, who.cluster_id) and info.cluster_id != who.cluster_id:
            return Closing(Reason.CLUSTER_ID, f"{info.cluster_id.hex()} and {who.cluster_id.hex()}")
        known = self._peers.get(info.peer)
        if known is not None and info.incarnation < known.info.incarnation:
            return Closing(Reason.STALE_INCARNATION, info.node_name)
        return None

    def _has_other(self, info: PeerInfo) -> bool:
        """Whether another dialed link to that node, on the channel of the link that ``info`` is of, is there."""
        dialed = [link for link in self._links if link.role is Role.DIALER and link.info is not None]
        channel = next(link.channel for link in dialed if link.info is info)
        return any(
            link.info is not info
            and link.channel is channel
            and (link.info.peer, link.info.incarnation) == (info.peer, info.incarnation)
            for link in dialed
            if link.info is not None
        )

    def _register(self, link: PeerLink, now: float) -> None:
        """Its handshake is done."""
        info, channel = link.info, link.channel
        assert info is not None
        assert channel is not None
        peer = self._peer(info, now)
        old = peer.links_of(link.role).get(channel)
        if old is not None:
            self._close(old, Closing(Reason.REPLACED), now)
        peer.links_of(link.role)[channel] = link
        if link.address is not None:
            self._dials.found(link.address, info.peer)
        else:
            self._dials.learn(info.peer, info.address, now)
            self._tick_by = now
            if channel is Channel.CONSENSUS:
                peer.heard_at = now
        self._receiver.peer_seen(info)
        self._look_up(peer, now)

    def _peer(self, info: PeerInfo, now: float) -> Peer:
        """Of this incarnation: an older one is down."""
        peer = self._peers.get(info.peer)
        if peer is not None and peer.info.incarnation < info.incarnation:
            for link in peer.links:
                self._close(link, Closing(Reason.NEWER_INCARNATION), now)
            peer = None
        if peer is None:
            self._forget_peers()
            peer = self._peers[info.peer] = Peer(info)
        peer.info = info
        return peer

    def _forget_peers(self) -> None:
        for number, peer in list(self._peers.items()):
            if len(self._peers) < PEER_COUNT_MAX:
                break
            if not peer.links:
                del self._peers[number]

    def _deliver(self, link: PeerLink, frames: list[Frame], now: float) -> bool:
        """Whether there were others than heartbeats."""
        info, channel = link.info, link.channel
        assert info is not None
        assert channel is not None
        rest = frames
        if channel is CONSENSUS:
            rest = [frame for frame in frames if frame.kind != HEARTBEAT]
            if len(rest) < len(frames):
                for frame in frames:
                    if frame.kind == HEARTBEAT:
                        self._receive_heartbeat(info, frame.head, now)
        if rest:
            try:
                self._receiver.receive_frames(info, channel, rest)
            except LinkViolation as violation:
                self._close(link, violation.closing, now)
        return bool(rest)

    def _serve(self, link: PeerLink, now: float) -> None:
        """After anything that may have made output or closed it."""
        if link.closing is not None:
            self._close(link, link.closing, now)
        elif link.has_output:
            self._ready[link] = None

    def _close(self, link: PeerLink, closing: Closing, now: float) -> None:
        link.close(closing)
        if link not in self._links:
            return
        del self._links[link]
        self._ready[link] = None
        self._hurry(now)
        assert link.closing is not None
        if link.address is not None and link.channel is not None:
            self._dials.ended(link.address, link.channel, link.was_ready, now)
            if link.info is not None:
                self._dials.found(link.address, link.info.peer)
            if link.closing.reason is Reason.OURSELVES:
                self._dials.found_ourselves(link.address, now)
        peer = None if link.info is None else self._peers.get(link.info.peer)
        if link.was_ready and peer is not None and peer.remove(link):
            if not peer.accepted:
                self._dials.unlearn(peer.info.peer, now)
            self._take_down(peer)

    def _close_all(self, reason: Reason, now: float) -> None:
        for link in list(self._links):
            self._close(link, Closing(reason), now)

    def _forget_addresses(self, now: float) -> None:
        for link in list(self._links):
            if link.address is not None and link.address not in self._dials:
                self._close(link, Closing(Reason.FORGOTTEN), now)

    def _dialed(self, peer: int, channel: Channel) -> PeerLink | None:
        known = self._peers.get(peer)
        return None if known is None else known.dialed.get(channel)

    def _is_reached(self, peer: int, channel: Channel) -> bool:
        return self._dialed(peer, channel) is not None

    # Up and down

    def _send_heartbeats(self, now: float) -> None:
        numbers = [number for number, peer in self._peers.items() if Channel.CONSENSUS in peer.dialed]
        if not numbers:
            return
        payload = self._heartbeat_payload()
        for number in numbers:
            echo_ms, held_ms = self._peers[number].echo_ms(now), self._peers[number].held_ms(now)
            head = [int(now * 1000), echo_ms, held_ms, payload]
            self.send(number, Channel.CONSENSUS, [Frame(Kind.HEARTBEAT, head)])

    def _receive_heartbeat(self, info: PeerInfo, head: list[Any], now: float) -> None:
        clock_ms, echo_ms, held_ms, payload = head
        peer = self._peers.get(info.peer)
        if peer is not None and peer.info.incarnation == info.incarnation:
            peer.receive_clock(clock_ms, echo_ms, held_ms, now)
            if info.peer < self._terms.identity.peer:
                self._beat_with(now)
            self._look_up(peer, now)
            self._receiver.receive_heartbeat(info, payload, now)

    def beat(self, now: float) -> None:
        """Tells all what a heartbeat says, which has changed, or is due."""
        self._beat_at = now
        self.beat_count += 1
        self._send_heartbeats(now)

    def _beat_with(self, now: float) -> None:
        """Our heartbeats come to go with those of a node that goes before: who is awake for one is so for all."""
        interval_s = self._heartbeat_interval_s
        if now - self._beat_at > interval_s / 2:
            self.beat(now)
        self._heartbeat_at = min(now + FOLLOW * interval_s, self._beat_at + DRIFT * interval_s)
        if now < self._tick_by:  # else the tick is late, and is to find that out
            self._tick_by = self._plan_tick(now)

    def _look_up(self, peer: Peer, now: float) -> None:
        if peer.complete and not peer.up and now - peer.heard_at <= self._suspicion_s:
            peer.up = True
            self._receiver.peer_up(peer.info)

    def _take_down(self, peer: Peer) -> None:
        if peer.up:
            peer.up = False
            self._receiver.peer_down(peer.info)

    def _watch(self, peer: Peer, now: float) -> None:
        silence_s = now - peer.heard_at
        if silence_s > self._suspicion_s:
            self._take_down(peer)
        if silence_s > self._silence_s_max:
            for link in list(peer.accepted.values()):
                self._close(link, Closing(Reason.SILENT), now)
