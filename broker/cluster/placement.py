"""Which nodes are to hold each shard, and which of them is to lead it.

Asked by the meta shard's leader whenever anything changed; what it answers is proposed, and asked again after that,
until nothing is left to do.  Law: every answer mends something or betters something, so that the cluster comes to rest.
A shard is changed only when its last change is done, one replica at a time but where its size changes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence

import msgspec

from broker.core.topology_commands import DropNode, PutShard
from broker.core.topology_rows import NodeRow
from broker.model.names import NO_PEER, PeerId, ShardId

LEADER_TRANSFER_INTERVAL_S = 5.0
"""Between two transfers for balance, unless the first has come about.  Each stops a shard for a moment; Raft gives one
up within this time."""


class PlacedNode(msgspec.Struct, frozen=True):
    """A node as placement sees it.  ``dead_s``: since when it was not heard of; 0: it is alive.

    ``short``: its disk has no room left.
    """

    peer: PeerId
    zone: str = ""
    leaving: bool = False
    replaced_by: PeerId = NO_PEER
    dead_s: float = 0.0
    short: bool = False

    @classmethod
    def of(cls, row: NodeRow, dead_s: float, short: bool = False) -> PlacedNode:
        return cls(row.peer, row.zone, row.state == "leaving", row.replaced_by, dead_s, short)

    @property
    def alive(self) -> bool:
        return self.dead_s == 0


class PlacedShard(msgspec.Struct, frozen=True):
    """``wanted`` is its row's; the rest is what its leader last said, nothing if none is known to lead.

    ``changing``: a change of its configuration is proposed or in its joint phase.  ``caught_up``: who could lead.
    """

    shard: ShardId
    wanted: tuple[PeerId, ...]
    leader: PeerId = NO_PEER
    voters: frozenset[PeerId] = frozenset()
    changing: bool = False
    caught_up: frozenset[PeerId] = frozenset()

    @property
    def settled(self) -> bool:
        """It is as its row says."""
        return self.leader != NO_PEER and not self.changing and self.voters == frozenset(self.wanted)


class Transfer(msgspec.Struct, frozen=True):
    shard: ShardId
    to: PeerId


def effective_factor(replication_factor: int, member_count: int) -> int:
    """How many replicas there can be: an odd number, so that none is there for nothing."""
    most = max(1, min(replication_factor, member_count))
    return most if most % 2 else most - 1


def meta_learners(nodes: Iterable[PlacedNode], wanted: Sequence[PeerId]) -> frozenset[PeerId]:
    """Every node holds the meta shard, as a learner if it is not one of its voters."""
    return frozenset(node.peer for node in nodes) - frozenset(wanted)


def next_placement(
    nodes: Sequence[PlacedNode],
    shards: Sequence[PlacedShard],
    replication_factor: int,
    replace_dead_after_s: float = 0.0,
) -> list[PutShard]:
    """``replace_dead_after_s``: 0 leaves dead nodes to the operator, who marks them as leaving.

    First what is broken, all at once; then, when every shard is as its row says, one replica to even the load, or else
    the order in which replicas are to lead.
    """
    plan = _Plan(nodes, shards, replication_factor, replace_dead_after_s)
    for shard in plan.shards:
        if plan.may_mend(shard):
            plan.put(shard, plan.mended(shard))
    if not plan.commands and all(shard.settled for shard in shards):
        plan.even_replicas()
    if not plan.commands and all(shard.settled for shard in shards):
        plan.even_leaders()
    return plan.commands


def next_drops(nodes: Sequence[PlacedNode], shards: Sequence[PlacedShard]) -> list[DropNode]:
    """Those who were to leave and may: no shard has them as voters, which each shard's leader must have said."""
    if any(shard.leader == NO_PEER or shard.changing for shard in shards):
        return []
    holding = {peer for shard in shards for peer in (*shard.wanted, *shard.voters)}
    return [DropNode(node.peer) for node in nodes if node.leaving and node.peer not in holding]


class LeaderBalance:
    """Brings leadership to preferred leaders: one shard at a time, and none twice before all others had their turn."""

    def __init__(self) -> None:
        self._last_s = float("-inf")
        self._last: Transfer | None = None
        self._tried_s: dict[ShardId, float] = {}

    def next_transfer(
        self, nodes: Iterable[PlacedNode], shards: Iterable[PlacedShard], now_s: float
    ) -> Transfer | None:
        """What it returns counts as tried."""
        shards = list(shards)
        if now_s < self._last_s + LEADER_TRANSFER_INTERVAL_S and not self._came_about(shards):
            return None
        able = {node.peer for node in nodes if node.alive and not (node.leaving or node.short)}
        due = [
            shard
            for shard in shards
            if shard.settled and shard.leader != shard.wanted[0] and shard.wanted[0] in (able & shard.caught_up)
        ]
        if not due:
            return None
        shard = min(due, key=lambda shard: (self._tried_s.get(shard.shard, float("-inf")), shard.shard))
        self._last_s = self._tried_s[shard.shard] = now_s
        self._last = Transfer(shard.shard, shard.wanted[0])
        return self._last

    def _came_about(self, shards: Iterable[PlacedShard]) -> bool:
        return any(self._last == Transfer(shard.shard, shard.leader) for shard in shards)


class _Plan:
    """The counts that one answer changes as it is made."""

    def __init__(
        self,
        nodes: Sequence[PlacedNode],
        shards: Sequence[PlacedShard],
        replication_factor: int,
        replace_dead_after_s: float,
    ) -> None:
        self.nodes = {node.peer: node for node in sorted(nodes, key=lambda node: node.peer)}
        self.shards = sorted(shards, key=lambda shard: shard.shard)
        self.commands: list[PutShard] = []
        self._size = effective_factor(replication_factor, sum(not node.leaving for node in nodes))
        self._replace_dead_after_s = replace_dead_after_s
        self._replica_count = Counter(peer for shard in shards for peer in shard.wanted)

    def put(self, shard: PlacedShard, replicas: tuple[PeerId, ...]) -> None:
        if replicas != shard.wanted:
            self._replica_count.subtract(shard.wanted)
            self._replica_count.update(replicas)
            self.commands.append(PutShard(shard.shard, shard.wanted, replicas))

    # What is broken

    def may_mend(self, shard: PlacedShard) -> bool:
        """A change under way ends by itself unless it waits for a node that is not to hold the shard after all."""
        if shard.leader == NO_PEER or shard.changing:
            return False
        waited_for = [peer for peer in shard.wanted if peer not in shard.voters or not self._is_alive(peer)]
        return shard.settled or any(map(self._must_go, waited_for))

    def mended(self, shard: PlacedShard) -> tuple[PeerId, ...]:
        """What ``shard`` should be on; what it is to be on if that is well, or can't be bettered now."""
        replicas = shard.wanted
        if len(replicas) > self._size:
            replicas = self._shrunk(shard)
        elif len(replicas) < self._size:
            replicas = self._grown(shard)
        else:
            replicas = self._with_one_replaced(shard)
        better = self._alive_count(replicas) > self._alive_count(shard.wanted)
        return replicas if better or self._majority_alive(replicas) else shard.wanted

    def _shrunk(self, shard: PlacedShard) -> tuple[PeerId, ...]:
        kept = list(shard.wanted)
        while len(kept) > self._size:
            kept.remove(max(kept, key=lambda peer: self._dispensable(shard, kept, peer)))
        return tuple(kept)

    def _dispensable(
        self, shard: PlacedShard, kept: Sequence[PeerId], peer: PeerId
    ) -> tuple[bool, ...] | tuple[int, ...]:
        return (
            self._must_go(peer),
            not self._is_alive(peer),
            peer not in shard.voters,
            peer != shard.leader,
            self._crowd(peer, kept),
            self._replica_count[peer],
            kept.index(peer),
        )

    def _grown(self, shard: PlacedShard) -> tuple[PeerId, ...]:
        grown = list(shard.wanted)
        while len(grown) < self._size:
            found = self._best_candidate(grown)
            if found == NO_PEER:
                break
            grown.append(found)
        return tuple(grown if len(grown) % 2 else grown[:-1])

    def _with_one_replaced(self, shard: PlacedShard) -> tuple[PeerId, ...]:
        for peer in sorted(shard.wanted, key=lambda peer: (peer in shard.voters, self._is_alive(peer))):
            if self._must_go(peer):
                rest = [each for each in shard.wanted if each != peer]
                node = self.nodes.get(peer)
                found = self._best_candidate(rest, NO_PEER if node is None else node.replaced_by)
                if found != NO_PEER:
                    return (*rest, found)
        return shard.wanted

    def _must_go(self, peer: PeerId) -> bool:
        node = self.nodes.get(peer)
        if node is None or node.leaving:
            return True
        return 0 < self._replace_dead_after_s <= node.dead_s

    def _best_candidate(self, rest: Sequence[PeerId], heir: PeerId = NO_PEER) -> PeerId:
        """To stand beside ``rest``: ``heir`` if it can, else whoever shares the least with them and has the least."""
        candidates = [peer for peer in self._candidates() if peer not in rest]
        if heir in candidates:
            return heir
        key = {peer: (self._crowd(peer, rest), self._replica_count[peer], peer) for peer in candidates}
        return min(candidates, key=key.__getitem__, default=NO_PEER)

    def _candidates(self) -> list[PeerId]:
        return [peer for peer, node in self.nodes.items() if node.alive and not node.leaving]

    def _crowd(self, peer: PeerId, others: Iterable[PeerId]) -> int:
        """How many of ``others`` are in its zone."""
        zone = self._zone(peer)
        return sum(self._zone(other) == zone for other in others if other != peer)

    def _zone(self, peer: PeerId) -> str:
        node = self.nodes.get(peer)
        return "" if node is None else node.zone

    def _is_alive(self, peer: PeerId) -> bool:
        node = self.nodes.get(peer)
        return node is not None and node.alive

    def _alive_count(self, replicas: Sequence[PeerId]) -> int:
        return sum(map(self._is_alive, replicas))

    def _majority_alive(self, replicas: Sequence[PeerId]) -> bool:
        return 2 * self._alive_count(replicas) > len(replicas)

    # What could be better

    def even_replicas(self) -> None:
        """The move that spreads a shard most over zones, else the one that evens the load most, if there is any."""
        best: tuple[tuple[int, int], PlacedShard, PeerId, PeerId] | None = None
        for shard in self.shards:
            if not all(map(self._is_alive, shard.wanted)):
                continue
            for leaver in shard.wanted:
                rest = [peer for peer in shard.wanted if peer != leaver]
                comer = self._best_candidate(rest)
                if comer in (leaver, NO_PEER):
                    continue
                fewer = self._replica_count[leaver] - self._replica_count[comer] - 1
                gain = (self._crowd(leaver, rest) - self._crowd(comer, rest), fewer)
                if gain > (0, 0) and (best is None or gain > best[0]):
                    best = (gain, shard, leaver, comer)
        if best is not None:
            _, shard, leaver, comer = best
            self.put(shard, (*(peer for peer in shard.wanted if peer != leaver), comer))

    def even_leaders(self) -> None:
        """No node is preferred by two shards more than another if the order of replicas can help it."""
        led: dict[PeerId, list[PlacedShard]] = {peer: [] for peer in self._candidates()}
        for shard in self.shards:
            if shard.wanted[0] in led:
                led[shard.wanted[0]].append(shard)
        for start in sorted(led, key=lambda peer: (-len(led[peer]), peer)):
            path = _relief(start, led)
            for shard, peer in path:
                self.put(shard, (peer, *(each for each in shard.wanted if each != peer)))
            if path:
                return


def _relief(start: PeerId, led: dict[PeerId, list[PlacedShard]]) -> list[tuple[PlacedShard, PeerId]]:
    """The fewest shards that, each led by the peer beside it, take one from ``start`` for a node with two fewer."""
    came_by: dict[PeerId, tuple[PeerId, PlacedShard] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        peer = waiting.popleft()
        if len(led[peer]) <= len(led[start]) - 2:
            path = []
            while (step := came_by[peer]) is not None:
                path.append((step[1], peer))
                peer = step[0]
            return path[::-1]
        for shard in led[peer]:
            for follower in shard.wanted[1:]:
                if follower in led and follower not in came_by:
                    came_by[follower] = (peer, shard)
                    waiting.append(follower)
    return []
