"""Which addresses to dial, and when: each has a dial for every channel, which backs off while it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from broker.cluster.frame_kinds import Channel

BACK_OFF_S_MIN = 0.05
BACK_OFF_S_MAX = 2.0
KNOWN_RETRY_S = 60.0
"""For an address that led to ourselves, or to a node that is reached at another: somebody else may be there now."""
ADDRESS_COUNT_MAX = 256


class Dial:
    """Of one address and channel."""

    __slots__ = ("due_at", "failure_count", "peer", "under_way")

    def __init__(self, peer: int, now: float) -> None:
        self.peer = peer
        """Who was last found there; 0: not known."""
        self.due_at = now
        self.failure_count = 0
        self.under_way = False
        """Being dialed, or a link is there."""


class Dials:
    """Of one node: the addresses it was given, and those that nodes named that dialed us (so both ways are there)."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._dials: dict[tuple[str, Channel], Dial] = {}
        self._given: tuple[str, ...] = ()
        self._learned: dict[int, str] = {}

    def __contains__(self, address: str) -> bool:
        return (address, Channel.CONSENSUS) in self._dials

    def set_addresses(self, addresses: Iterable[str], now: float) -> None:
        """Those not among them are forgotten, unless they were learned."""
        self._given = tuple(dict.fromkeys(addresses))
        assert len(self._given) <= ADDRESS_COUNT_MAX
        self._renew(now)

    def learn(self, peer: int, address: str, now: float) -> None:
        """A node that is linked to us is reached there, as it says: however often it was not, it is dialed at once."""
        if self._learned.get(peer) != address:
            self._learned[peer] = address
            self._renew(now)
            for channel in Channel:
                dial = self._dials[address, channel]
                dial.due_at = min(dial.due_at, now)

    def unlearn(self, peer: int, now: float) -> None:
        """It is not linked to us any more."""
        if self._learned.pop(peer, None) is not None:
            self._renew(now)

    def take_due(self, now: float, reached: Callable[[int, Channel], bool]) -> list[tuple[str, Channel]]:
        """What to dial now.  Whoever is ``reached`` already, at another address, is hardly ever dialed."""
        due = []
        for (address, channel), dial in self._dials.items():
            if dial.under_way or now < dial.due_at:
                continue
            if now < dial.due_at + KNOWN_RETRY_S and dial.peer != 0 and reached(dial.peer, channel):
                continue
            dial.under_way = True
            due.append((address, channel))
        return due

    def waits(self, until: float, reached: Callable[[int, Channel], bool]) -> bool:
        """Whether somebody who isn't ``reached`` is being dialed, or is to be until then."""
        return any(
            (dial.under_way or dial.due_at < until) and not (dial.peer != 0 and reached(dial.peer, channel))
            for (_, channel), dial in self._dials.items()
        )

    def answered(self) -> set[str]:
        """Addresses behind which some node was found, ourselves included."""
        return {address for (address, _), dial in self._dials.items() if dial.peer}

    def peer_at(self, address: str) -> int:
        """Who was last found there; 0: not known."""
        dial = self._dials.get((address, Channel.CONSENSUS))
        return 0 if dial is None else dial.peer

    def found(self, address: str, peer: int) -> None:
        """The node ``peer`` answered there."""
        for channel in Channel:
            if (dial := self._dials.get((address, channel))) is not None:
                dial.peer = peer

    def found_ourselves(self, address: str, now: float) -> None:
        for channel in Channel:
            if (dial := self._dials.get((address, channel))) is not None:
                dial.due_at = now + KNOWN_RETRY_S

    def ended(self, address: str, channel: Channel, was_ready: bool, now: float) -> None:
        """The dial failed, or the link that came of it is closed."""
        dial = self._dials.get((address, channel))
        if dial is None:
            return
        dial.under_way = False
        dial.failure_count = 0 if was_ready else dial.failure_count + 1
        # Half of it is drawn, so that nodes that lost each other at once don't come back at once.
        longest = min(BACK_OFF_S_MAX, 2 * BACK_OFF_S_MIN * 2 ** min(dial.failure_count, 10))
        dial.due_at = now + longest * (0.5 + self._random.random() / 2)

    def _renew(self, now: float) -> None:
        peers = {address: peer for peer, address in self._learned.items()}
        wanted = dict.fromkeys([*self._given, *self._learned.values()])
        before = self._dials
        self._dials = {
            (address, channel): before.get((address, channel)) or Dial(peers.get(address, 0), now)
            for address in wanted
            for channel in Channel
        }
