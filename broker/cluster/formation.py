"""How a fresh node comes into a cluster: it founds one, or is taken in (log-and-shards.md section 11).

A node founds alone if it has nobody to look for.  Otherwise it founds only if every address it was given answered,
all of them are fresh, and its own peer id is the lowest: so one of them founds, and the others are taken in by it.  A
node that lost its disk is fresh too, meets members, and is taken in as a new one; it never founds beside them.

One whose data was damaged and put aside knows that there is a cluster: it never founds, and nobody founds with it.  If
a majority is lost that way, what is left waits for people.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping

from broker.cluster.hello import FRESH, PeerInfo

ASK_INTERVAL_S = 1.0
"""Between two requests to be taken in; each goes to another member."""
PATIENT_COUNT = 10
"""After so many requests without an answer something seems to be wrong."""


class Step(enum.Enum):
    WAIT = enum.auto()
    FOUND = enum.auto()
    ASK = enum.auto()


class Formation:
    """Of one fresh node."""

    def __init__(self, own_peer: int, addresses: Collection[str], may_found: bool = True) -> None:
        """``addresses``: of the other nodes, as far as they are configured; its own may be among them."""
        self._own_peer = own_peer
        self._addresses = frozenset(addresses)
        self._may_found = may_found
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
        others = self._others(seen)
        fresh = all(info.cluster_id == FRESH for info in others)
        first = all(self._own_peer < info.peer for info in others)
        allowed = self._may_found and all(info.may_found for info in others)
        if fresh and first and allowed and self._addresses <= frozenset(answered):
            return Step.FOUND, 0
        return Step.WAIT, 0

    def _others(self, seen: Mapping[int, PeerInfo]) -> list[PeerInfo]:
        return [info for info in seen.values() if info.peer != self._own_peer]

    def why_waiting(self, seen: Mapping[int, PeerInfo], answered: Iterable[str]) -> str:
        """For people."""
        others = self._others(seen)
        members = sorted(info.node_name for info in others if info.cluster_id != FRESH)
        if members:
            if self._turn < PATIENT_COUNT:
                return f"waiting to be taken in by {', '.join(members)}"
            return (
                f"{', '.join(members)} can't take it in: that needs a majority of the cluster's nodes. Start those that"
                " are down; if a majority is lost for good, see docs/operations/lost-majority.md"
            )
        lost = sorted(info.node_name for info in others if not info.may_found)
        if lost or not self._may_found:
            whose = "this node" if not self._may_found else ", ".join(lost)
            return (
                f"waiting for a node that still has the cluster's data: what {whose} had of it was damaged and put"
                " aside, so no cluster is founded in its place. Start the nodes that are down; if there is none, see"
                " docs/operations/lost-majority.md"
            )
        missing = sorted(self._addresses - frozenset(answered))
        if missing:
            return f"waiting for {', '.join(missing)}: a cluster is founded once all of cluster.peers answered"
        return "waiting for the node with the lowest peer id to found the cluster"
