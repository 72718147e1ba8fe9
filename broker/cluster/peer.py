"""Another node, as one node sees it: its six links, and whether it is alive."""

from __future__ import annotations

import math

import msgspec

from broker.cluster.frame_kinds import Channel, Role
from broker.cluster.hello import PeerInfo
from broker.cluster.peer_link import PeerLink

HEARTBEAT_INTERVAL_S = 0.3
SUSPICION_S = 1.0
"""Of silence: three heartbeats and a bit.  Redpanda's are 150 ms and 1.5 s; ours don't share a socket with bulk."""
SILENCE_S_MAX = 5.0
"""After which what a node dialed is given up: its machine is gone, for it would have closed it."""


class PeerFigures(msgspec.Struct, frozen=True):
    """For people."""

    info: PeerInfo
    up: bool
    dialed: tuple[Channel, ...]
    accepted: tuple[Channel, ...]
    round_trip_ms: int | None
    queued_sizes: dict[Channel, int]


class Peer:
    """Of one incarnation."""

    __slots__ = ("accepted", "clock_at", "clock_ms", "dialed", "echoed_at", "heard_at", "info", "round_trip_ms", "up")

    def __init__(self, info: PeerInfo) -> None:
        self.info = info
        self.dialed: dict[Channel, PeerLink] = {}
        self.accepted: dict[Channel, PeerLink] = {}
        self.up = False
        """It can be spoken with and heard, and is not suspected."""
        self.heard_at = -math.inf
        """When its last heartbeat came, or the link that carries them."""
        self.clock_ms = 0
        """What its last heartbeat gave as its time; 0: there was none."""
        self.clock_at = 0.0
        self.round_trip_ms: int | None = None
        self.echoed_at = -math.inf
        """When what it heard of us last was said, by our clock."""

    @property
    def complete(self) -> bool:
        """All links are there, both ways."""
        return len(self.dialed) == len(self.accepted) == len(Channel)

    @property
    def links(self) -> list[PeerLink]:
        return [*self.dialed.values(), *self.accepted.values()]

    def links_of(self, role: Role) -> dict[Channel, PeerLink]:
        """Those where we are the dialer, or the acceptor."""
        return self.dialed if role is Role.DIALER else self.accepted

    def remove(self, link: PeerLink) -> bool:
        """Whether it was one of these: it may have been replaced."""
        links = self.links_of(link.role)
        if link.channel is None or links.get(link.channel) is not link:
            return False
        del links[link.channel]
        return True

    def receive_clock(self, clock_ms: int, echo_ms: int, held_ms: int, now: float) -> None:
        """Of a heartbeat: its time, ours as it knows it, and how long ago it heard that."""
        self.heard_at = self.clock_at = now
        self.clock_ms = clock_ms
        if echo_ms:
            self.echoed_at = max(self.echoed_at, min((echo_ms - held_ms) / 1000, now))
            self.round_trip_ms = max(0, int(now * 1000) - echo_ms)

    def echo_ms(self, now: float) -> int:
        """Its time as we know it: carried on by our clock, so that how long we held it is left out."""
        return self.clock_ms + int((now - self.clock_at) * 1000) if self.clock_ms else 0

    def held_ms(self, now: float) -> int:
        """How long ago its time was heard."""
        return int((now - self.clock_at) * 1000) if self.clock_ms else 0

    def figures(self) -> PeerFigures:
        queued = {channel: link.queued_size for channel, link in self.dialed.items()}
        return PeerFigures(
            self.info, self.up, tuple(sorted(self.dialed)), tuple(sorted(self.accepted)), self.round_trip_ms, queued
        )
