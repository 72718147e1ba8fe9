"""The net between nodes: as TCP it keeps each connection's order and loses nothing but connections.

Each *way*, from one machine to another, has its own delay, speed and trouble.  What is sent while a way is cut arrives
when it is healed; a connection is only made if both ways are open.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from broker.cluster.frame_kinds import Channel
from broker.cluster.peer_link import PeerLink
from broker.cluster.violation import Closing, Reason
from tests.simulation.cluster.events import Events

if TYPE_CHECKING:
    from tests.simulation.cluster.machine import Machine
    from tests.simulation.cluster.process import Process

CONNECT_TIMEOUT_US = 1_000_000
SOCKET_SIZE = 256 << 10
"""Bytes on their way in one direction of a connection, before writes block."""


class Way:
    """From one machine to another."""

    def __init__(self) -> None:
        self.delay_us = (100, 1000)
        self.cuts = 0
        """Faults that cut it at present."""
        self.corrupt = False
        """A bit of the next piece is flipped."""
        self.us_per_byte = 0.0
        self.slow_us = 0
        """On top of the delay."""
        self.slow_channel: Channel | None = None
        """Only its connections are slow, as one is that has lost a packet: what goes by others overtakes it."""


class End:
    """One process's end of a connection."""

    __slots__ = ("arrived", "arrives_us", "held", "in_flight", "link", "open", "other", "process", "way")

    def __init__(self, process: Process, link: PeerLink, way: Way) -> None:
        self.process = process
        self.link = link
        self.way = way
        """Towards this end."""
        self.other: End | None = None
        self.open = True
        self.arrives_us = 0
        """When what was last sent to this end arrives: nothing overtakes it."""
        self.in_flight = 0
        """Bytes on their way from this end, or not read yet."""
        self.arrived: list[bytes | Reason] = []
        """At this end, and not read."""
        self.held: list[bytes | Reason] = []
        """Towards this end, while its way is cut."""


class Net:
    """All ways and connections."""

    def __init__(self, events: Events, random: Random, cuts: float) -> None:
        """``cuts``: chance that what is written at once arrives in pieces."""
        self.machines: dict[str, Machine] = {}
        self.corrupted_count = 0
        self._events = events
        self._random = random
        self._cuts = cuts
        self._ways: dict[tuple[str, str], Way] = {}
        self._ends: dict[PeerLink, End] = {}

    def way(self, sender: str, receiver: str) -> Way:
        way = self._ways.get((sender, receiver))
        if way is None:
            way = self._ways[sender, receiver] = Way()
        return way

    def ways(self) -> list[Way]:
        return list(self._ways.values())

    def is_open(self, one: str, other: str) -> bool:
        return not self.way(one, other).cuts and not self.way(other, one).cuts

    # Trouble

    def cut(self, ways: Iterable[tuple[str, str]]) -> None:
        for way in ways:
            self.way(*way).cuts += 1

    def heal(self, ways: Iterable[tuple[str, str]]) -> None:
        for way in ways:
            self.way(*way).cuts -= 1
        self._let_through()

    def heal_all(self) -> None:
        for way in self._ways.values():
            way.cuts = way.slow_us = 0
            way.us_per_byte = 0.0
            way.slow_channel = None
            way.corrupt = False
        self._let_through()

    def _let_through(self) -> None:
        for end in list(self._ends.values()):
            if end.held and not end.way.cuts:
                self._events.after(0, self._release, end)

    def _release(self, end: End) -> None:
        if end.way.cuts:
            return
        held, end.held = end.held, []
        for piece in held:
            self._take(end, piece)

    def reset(self, one: str, other: str) -> int:
        """Every connection between them breaks; how many."""
        broken = [
            end
            for end in self._ends.values()
            if end.process.name == one and end.other is not None and end.other.process.name == other
        ]
        for end in broken:
            self._close(end, Reason.RESET)
            if end.other is not None:
                self._close(end.other, Reason.RESET)
        return len(broken)

    def end_process(self, process: Process, told: bool) -> None:
        """It is gone.  ``told``: its machine lives on, and resets its connections."""
        for end in [end for end in self._ends.values() if end.process is process]:
            end.open = False
            del self._ends[end.link]
            if told:
                self._tell_reset(end)
            else:
                process.machine.lost_ends.append(end)

    def receive_boot(self, machine: Machine) -> None:
        """The power is back: who still speaks to connections of before is told that there are none."""
        lost, machine.lost_ends = machine.lost_ends, []
        for end in lost:
            self._tell_reset(end)

    def _tell_reset(self, end: End) -> None:
        if end.other is not None and end.other.open:
            self._carry(end.other, Reason.RESET, 0)

    # Connections

    def dial(self, process: Process, address: str, channel: Channel) -> None:
        name = address.partition(":")[0]
        machine = self.machines.get(name)
        if machine is None or not machine.powered or not self.is_open(process.name, name):
            self._events.after(CONNECT_TIMEOUT_US, self._connect, process, None, address, channel)
        else:
            delay_us = self._delay(self.way(process.name, name), channel, 0)
            self._events.after(delay_us, self._connect, process, machine, address, channel)

    def _connect(self, process: Process, machine: Machine | None, address: str, channel: Channel) -> None:
        process.do(self._connected, process, machine, address, channel)

    def _connected(self, process: Process, machine: Machine | None, address: str, channel: Channel) -> None:
        peers, now = process.cluster.peers, process.now
        target = None if machine is None else machine.process
        if target is None:
            peers.dial_failed(address, channel, now)
            return
        here = End(process, peers.dialed(address, channel, now), self.way(target.name, process.name))
        self._ends[here.link] = here
        there = End(target, target.cluster.peers.accepted(target.now), self.way(process.name, target.name))
        self._ends[there.link] = there
        here.other, there.other = there, here
        self.pump(process)
        self.pump(target)

    def pump(self, process: Process) -> None:
        """What the process's links have to say goes on its way."""
        peers, ends = process.cluster.peers, self._ends
        while ready := peers.take_ready():
            for link in ready:
                if link in ends:
                    self._write(ends[link])

    def _write(self, end: End) -> None:
        link, other = end.link, end.other
        if other is None:
            return
        cuts = self._cuts
        while end.open and end.in_flight < SOCKET_SIZE and (taken := link.take_output(SOCKET_SIZE)):
            output = b"".join(taken)
            size = len(output)
            end.process.cluster.peers.receive_written(link, size)
            end.in_flight += size
            if cuts and size > 1 and self._random.random() < cuts:
                at = self._random.randrange(1, size)
                self._send(other, output[:at])
                self._send(other, output[at:])
            else:
                self._send(other, output)
        if end.open and link.closing is not None and not link.has_output:
            self._close(end, Reason.HUNG_UP)
            self._carry(other, Reason.HUNG_UP, 0)

    def _send(self, other: End, piece: bytes) -> None:
        way = other.way
        if way.corrupt:
            way.corrupt = False
            self.corrupted_count += 1
            bit = self._random.randrange(len(piece) * 8)
            flipped = bytearray(piece)
            flipped[bit // 8] ^= 1 << bit % 8
            piece = bytes(flipped)
        self._carry(other, piece, len(piece))

    def _carry(self, end: End, piece: bytes | Reason, size: int) -> None:
        """To this end, after all that was sent to it before."""
        way, events = end.way, self._events
        when_us = events.now_us + self._delay(way, end.link.channel, size)
        if when_us > end.arrives_us:
            end.arrives_us = when_us
        events.at(end.arrives_us, self._arrive, end, piece)

    def _arrive(self, end: End, piece: bytes | Reason) -> None:
        if not end.open:
            return
        if end.held or end.way.cuts:
            end.held.append(piece)
        else:
            self._take(end, piece)

    @staticmethod
    def _take(end: End, piece: bytes | Reason) -> None:
        end.arrived.append(piece)
        end.process.receive_arrived(end)

    def read(self, process: Process, ends: Iterable[End]) -> None:
        """All that has arrived at its ends of connections, as the product's rounds read their sockets."""
        peers, now = process.cluster.peers, process.now
        for end in ends:
            if not end.open:
                continue
            arrived, end.arrived = end.arrived, []
            last = None if isinstance(arrived[-1], bytes) else arrived.pop()
            if arrived:
                data = arrived[0] if len(arrived) == 1 else b"".join(arrived)  # type: ignore[arg-type]
                assert isinstance(data, bytes)
                peers.receive_data(end.link, data, now)
                self._receive_read(end, len(data))
            if isinstance(last, Reason):
                self._close(end, last)

    def _receive_read(self, end: End, size: int) -> None:
        """The other end may go on writing."""
        other = end.other
        assert other is not None
        if other.open:
            other.in_flight -= size
            if other.link.has_output:
                self._write(other)

    def _close(self, end: End, reason: Reason) -> None:
        if end.open:
            end.open = False
            del self._ends[end.link]
            end.process.do(self._closed, end, reason)

    def _closed(self, end: End, reason: Reason) -> None:
        process = end.process
        process.cluster.peers.closed(end.link, Closing(reason), process.now)
        assert end.link.closing is not None
        process.note_closing(end.link)
        process.receive_told()
        self.pump(process)

    def _delay(self, way: Way, channel: Channel | None, size: int) -> int:
        least, most = way.delay_us
        delay_us = least + int((most - least) * self._random.random())
        if way.slow_channel is None or way.slow_channel is channel:
            delay_us += way.slow_us + int(size * way.us_per_byte)
        return delay_us
