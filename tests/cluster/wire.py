"""A net in memory that carries bytes between ``Peers``: seeded, and as bad as it is told to be.

As TCP, it keeps each connection's order and loses nothing but the connection; as TCP, a cut direction holds bytes back
until it is healed.  Time is the net's own.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Channel
from broker.cluster.hello import FRESH, Identity, PeerInfo, Secret, Terms
from broker.cluster.peer_link import PeerLink
from broker.cluster.peers import Peers
from broker.cluster.violation import Closing, Reason

CONNECT_TIMEOUT_S = 1.0
OUTPUT_SIZE = 65_536
"""What a socket takes at once."""
SECRET = b"the wire's secret"


class Heard:
    """A receiver that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        """(up | down | seen, node name), in order."""
        self.frames: list[tuple[str, Channel, Frame]] = []
        self.heartbeats: list[tuple[str, list[Any], float]] = []

    def receive_frames(self, info: PeerInfo, channel: Channel, frames: Sequence[Frame]) -> bool:
        self.frames += [(info.node_name, channel, frame) for frame in frames]
        return True

    def receive_heartbeat(self, info: PeerInfo, payload: list[Any], now: float) -> None:
        self.heartbeats.append((info.node_name, payload, now))

    def peer_up(self, info: PeerInfo) -> None:
        self.said.append(("up", info.node_name))

    def peer_down(self, info: PeerInfo) -> None:
        self.said.append(("down", info.node_name))

    def peer_seen(self, info: PeerInfo) -> None:
        self.said.append(("seen", info.node_name))

    def ups(self) -> list[tuple[str, str]]:
        return [(what, name) for what, name in self.said if what != "seen"]


class Node:
    """One start of a node."""

    def __init__(self, wire: Wire, name: str, terms: Terms, seed: int) -> None:
        self.name = name
        self.address = terms.identity.address
        self.heard = Heard()
        self.payload: list[Any] = []
        self.ended: list[Closing] = []
        """Why its links were closed, in order."""
        random = Random(seed)
        self.peers = Peers(terms, self.heard, random, lambda: random.randbytes(32), lambda: self.payload, wire.now)
        self.alive = True
        self.tick_at = wire.now


class End:
    """One node's end of a connection."""

    def __init__(self, node: Node, link: PeerLink) -> None:
        self.node = node
        self.link = link
        self.other: End | None = None
        self.open = True
        self.arrives_at = 0.0
        """When what was sent last arrives: nothing overtakes it."""
        self.held: list[Callable[[], None]] = []
        """Towards this end, while its way is cut."""


class Wire:
    """The net and its clock."""

    def __init__(self, seed: int = 1, delay_s: float = 0.002, piece_size_max: int = OUTPUT_SIZE) -> None:
        """Each piece takes up to ``delay_s``, and what is written is cut into pieces of up to ``piece_size_max``."""
        self.now = 100.0
        self._random = Random(seed)
        self._delay_s = delay_s
        self._piece_size_max = piece_size_max
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.nodes: dict[str, Node] = {}
        self._ends: dict[PeerLink, End] = {}
        self._cut: set[tuple[str, str]] = set()
        self._corrupt: set[tuple[str, str]] = set()
        self._slow: dict[tuple[str, str, Channel | None], float] = {}
        self.dials: list[tuple[float, str, str, Channel]] = []
        """(when, who, address, channel)"""
        self.tap: list[tuple[str, str, Channel | None, bytes]] = []
        """(from, to, channel, bytes) as they were written."""

    def add(
        self,
        name: str,
        peer: int = 0,
        incarnation: int = 1,
        cluster_id: bytes = FRESH,
        cluster_name: str = "test",
        secret: bytes = SECRET,
        versions: tuple[int, int] = (1, 1),
        features: tuple[str, ...] = (),
    ) -> Node:
        """Starts a node, which listens at ``<name>:7000``; it replaces one of that name, which is killed."""
        if name in self.nodes:
            self.kill(name)
        who = Identity(peer or 1 + len(self.nodes), incarnation, cluster_id, cluster_name, name, f"{name}:7000")
        terms = Terms(who, Secret(secret), not secret, *versions, features)
        node = self.nodes[name] = Node(self, name, terms, self._random.getrandbits(32))
        self._tick(node)
        return node

    def meet(self) -> None:
        """Everybody is told everybody's address."""
        addresses = [node.address for node in self.nodes.values()]
        for node in self.nodes.values():
            node.peers.set_addresses(addresses, self.now)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._pump()
        self.now = until
        self._pump()

    # Faults

    def kill(self, name: str) -> None:
        """Its connections are reset, and nobody listens there."""
        node = self.nodes[name]
        node.alive = False
        for end in [end for end in self._ends.values() if end.node is node]:
            self._hang_up(end, Reason.RESET)

    def cut(self, sender: str, receiver: str) -> None:
        """Nothing from one arrives at the other, until it is healed."""
        self._cut.add((sender, receiver))

    def slow(self, sender: str, receiver: str, channel: Channel, seconds: float) -> None:
        """What one says to the other on a channel takes so much longer, until it is healed."""
        self._slow[sender, receiver, channel] = seconds

    def heal(self) -> None:
        self._cut.clear()
        self._slow.clear()
        for end in list(self._ends.values()):
            held, end.held = end.held, []
            for event in held:
                self._at(self.now, event)

    def reset(self, one: str, other: str) -> None:
        """Every connection between them breaks."""
        for end in list(self._ends.values()):
            if end.other is not None and end.node.name == one and end.other.node.name == other:
                self._hang_up(end, Reason.RESET)

    def corrupt(self, sender: str, receiver: str) -> None:
        """A bit of the next piece from one to the other is flipped."""
        self._corrupt.add((sender, receiver))

    def inject(self, target: str, data: bytes) -> PeerLink:
        """A stranger dials a node, and says this."""
        link = self.nodes[target].peers.accepted(self.now)
        self._ends[link] = End(self.nodes[target], link)
        self.nodes[target].peers.receive_data(link, data, self.now)
        self._pump()
        return link

    # The net itself

    def _at(self, when: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, event))

    def _plan_tick(self, node: Node) -> None:
        node.tick_at = node.peers.next_tick
        self._at(node.tick_at, lambda: self._tick(node) if self.now == node.tick_at else None)

    def _tick(self, node: Node) -> None:
        if node.alive:
            node.peers.tick(self.now)
            for address, channel in node.peers.take_dials(self.now):
                self.dials.append((self.now, node.name, address, channel))
                self._dial(node, address, channel)
            self._plan_tick(node)

    def _dial(self, node: Node, address: str, channel: Channel) -> None:
        name = address.partition(":")[0]
        target = self.nodes.get(name)
        ways = {(node.name, name), (name, node.name)}
        if ways & self._cut:
            self._at(self.now + CONNECT_TIMEOUT_S, lambda: self._connect(node, None, address, channel))
        else:
            self._at(self.now + self._delay(), lambda: self._connect(node, target, address, channel))

    def _connect(self, node: Node, target: Node | None, address: str, channel: Channel) -> None:
        if not node.alive:
            return
        if target is None or not target.alive:
            node.peers.dial_failed(address, channel, self.now)
            return
        here = End(node, node.peers.dialed(address, channel, self.now))
        there = End(target, target.peers.accepted(self.now))
        here.other, there.other = there, here
        self._ends[here.link], self._ends[there.link] = here, there

    def _pump(self) -> None:
        """What the links have to say goes on its way, and ticks come when they are asked for."""
        for node in self.nodes.values():
            if node.alive and node.peers.next_tick < node.tick_at:
                self._plan_tick(node)
        busy = True
        while busy:
            busy = False
            for node in [node for node in self.nodes.values() if node.alive]:
                for link in node.peers.take_ready():
                    busy = True
                    if link in self._ends:
                        self._write(self._ends[link])

    def _write(self, end: End) -> None:
        while end.open and (output := b"".join(end.link.take_output(OUTPUT_SIZE))):
            end.node.peers.receive_written(end.link, len(output))
            if end.other is not None:
                self.tap.append((end.node.name, end.other.node.name, end.link.channel, output))
                self._send(end, end.other, output)
        if end.open and end.link.closing is not None:
            self._hang_up(end, Reason.HUNG_UP)

    def _send(self, end: End, other: End, output: bytes) -> None:
        way = (end.node.name, other.node.name)
        while output:
            size = self._random.randint(1, self._piece_size_max)
            piece, output = output[:size], output[size:]
            if way in self._corrupt:
                self._corrupt.discard(way)
                bit = self._random.randrange(len(piece) * 8)
                flipped = bytearray(piece)
                flipped[bit // 8] ^= 1 << bit % 8
                piece = bytes(flipped)
            self._carry(end, other, lambda piece=piece: self._arrive(other, piece))  # type: ignore[misc]

    def _carry(self, end: End, other: End, event: Callable[[], None]) -> None:
        """After all that was sent before."""
        way = (end.node.name, other.node.name)
        late_s = self._slow.get((*way, end.link.channel), 0.0)
        end.arrives_at = max(end.arrives_at, self.now + self._delay() + late_s)
        self._at(end.arrives_at, lambda: other.held.append(event) if way in self._cut else event())

    def _arrive(self, end: End, piece: bytes) -> None:
        if end.open:
            end.node.peers.receive_data(end.link, piece, self.now)

    def _hang_up(self, end: End, reason: Reason) -> None:
        """This end closes; the other learns it after all that was sent."""
        self._end(end, reason)
        other = end.other
        if other is not None and other.open:
            self._carry(end, other, lambda: self._end(other, reason))

    def _end(self, end: End, reason: Reason) -> None:
        if end.open:
            end.open = False
            del self._ends[end.link]
            end.node.peers.closed(end.link, Closing(reason), self.now)
            assert end.link.closing is not None
            end.node.ended.append(end.link.closing)

    def _delay(self) -> float:
        return self._random.uniform(0.0, self._delay_s)


def met(*names: str, seed: int = 1) -> tuple[Wire, list[Node]]:
    """Nodes that are all up to each other, and what led there is forgotten."""
    wire = Wire(seed)
    nodes = [wire.add(name) for name in names]
    wire.meet()
    wire.run(1.0)
    for node in nodes:
        assert up(node) == sorted(set(names) - {node.name})
        node.heard.said.clear()
        node.ended.clear()
    return wire, nodes


def up(node: Node) -> list[str]:
    return sorted(info.node_name for info in node.peers.up())


def reasons(node: Node) -> set[Reason]:
    return {closing.reason for closing in node.ended}
