"""How a fresh node comes into a cluster: it founds one, or is taken in (log-and-shards.md section 11).

A node founds alone if it has nobody to look for.  Otherwise it founds only if every address it was given answered,
all of them are fresh, and its own peer id is the lowest: so one of them founds, and the others are taken in by it.  A
node that lost its disk is fresh too, meets members, and is taken in as a new one; it never founds beside them.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping

from broker.cluster.hello import FRESH, PeerInfo

ASK_INTERVAL_S = 1.0
"""Between two requests to be taken in; each goes to another member."""


class Step(enum.Enum):
    WAIT = enum.auto()
    FOUND = enum.auto()
    ASK = enum.auto()


class Formation:
    """Of one fresh node."""

    def __init__(self, own_peer: int, addresses: Collection[str]) -> None:
        """``addresses``: of the other nodes, as far as they are configured; its own may be among them."""
        self._own_peer = own_peer
        self._addresses = frozenset(addresses)
        self._ask_at = 0.0
        self._turn = 0

    def next_step(
        self, seen: Mapping[int, PeerInfo], answered: Iterable[str], up: Collection[int], now: float
    ) -> tuple[Step, int]:
        """``answered``: addresses behind which a node was met, itself included.  ASK names the member to be asked."""
        members = sorted(peer for peer in up if seen[peer].cluster_id != FRESH)
        if members:
            if now < self._ask_at:
                return Step.WAIT, 0
            self._ask_at = now + ASK_INTERVAL_S
            self._turn += 1
            return Step.ASK, members[self._turn % len(members)]
        others = [info for info in seen.values() if info.peer != self._own_peer]
        fresh = all(info.cluster_id == FRESH for info in others)
        first = all(self._own_peer < info.peer for info in others)
        if fresh and first and self._addresses <= frozenset(answered):
            return Step.FOUND, 0
        return Step.WAIT, 0

    def why_waiting(self, seen: Mapping[int, PeerInfo], answered: Iterable[str]) -> str:
        """For people."""
        missing = sorted(self._addresses - frozenset(answered))
        if missing:
            return f"waiting for {', '.join(missing)}: a cluster is founded once all of cluster.peers answered"
        return "waiting for the node with the lowest peer id to found the cluster"
