"""Nodes that come, die and go, shards with Raft configurations, and the real topology, placement and reconfiguration.

Every step of a configuration is checked as it is taken: quorums overlap, a majority is alive, the leader stays a voter.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter

from broker.cluster.placement import LeaderBalance, PlacedNode, PlacedShard, meta_learners, next_drops, next_placement
from broker.cluster.reconfiguration import (
    CATCH_UP_DISTANCE,
    ChangeConfiguration,
    Configuration,
    Group,
    Progress,
    TransferLeadership,
    next_step,
    waits_for,
)
from broker.core.outcomes import Applied, Outcome
from broker.core.topology import Topology
from broker.core.topology_commands import (
    FoundCluster,
    MarkLeaving,
    PutNode,
    TopologyCommand,
    decode_command,
    encode_command,
)
from broker.model.names import NO_PEER, PeerId, ShardId

Peers = frozenset[PeerId]
META = ShardId(0)


def majority_alive(voters: Peers, alive: set[PeerId]) -> bool:
    return 2 * len(voters & alive) > len(voters)


def quorums(voters: Peers, outgoing: Peers) -> list[Peers]:
    """The smallest sets that can commit."""

    def majorities(peers: Peers) -> list[Peers]:
        return [frozenset(each) for each in itertools.combinations(sorted(peers), len(peers) // 2 + 1)]

    if not outgoing:
        return majorities(voters)
    return [new | old for new in majorities(voters) for old in majorities(outgoing)]


class RaftShard:
    """A group's configuration, and how far its members are."""

    def __init__(self, number: ShardId, first: PeerId) -> None:
        self.number = number
        self.leader = first
        self.voters: Peers = frozenset({first})
        self.outgoing: Peers = frozenset()
        self.learners: Peers = frozenset()
        self.demoted: Peers = frozenset()
        self.last_index = 10_000
        self.matched: Counter[PeerId] = Counter({first: self.last_index})

    @property
    def members(self) -> Peers:
        return self.voters | self.outgoing | self.learners | self.demoted

    def can_commit(self, alive: set[PeerId]) -> bool:
        return majority_alive(self.voters, alive) and (not self.outgoing or majority_alive(self.outgoing, alive))

    def elect(self, alive: set[PeerId], rng: random.Random) -> None:
        if not self.can_commit(alive):
            self.leader = NO_PEER
        elif self.leader not in alive:
            able = [p for p in sorted(self.voters & alive) if self.matched[p] >= self.last_index - 1]
            able = able or sorted(self.voters & alive, key=lambda p: -self.matched[p])[:1]
            self.leader = rng.choice(able)

    def replicate(self, alive: set[PeerId], rng: random.Random) -> None:
        """A write comes in; a member that is there gets some of what it lacks, unless it is slow."""
        if self.leader == NO_PEER:
            return
        self.last_index += 1
        self.matched[self.leader] = self.last_index
        for peer in sorted(self.members & alive):
            if rng.random() < 0.8:
                self.matched[peer] = min(self.last_index, self.matched[peer] + 6_000)
        if self.outgoing:
            self.become(self.voters, frozenset(), self.learners | self.demoted, frozenset(), alive)

    def group(self, alive: set[PeerId]) -> Group:
        progress = {peer: Progress(self.matched[peer], peer in alive) for peer in self.members}
        configuration = Configuration(self.voters, self.outgoing, self.learners)
        return Group(self.leader, configuration, progress, self.last_index, frozenset(alive))

    def change(self, change: ChangeConfiguration, alive: set[PeerId]) -> None:
        """As raft does: a single change at once, several by way of a joint phase."""
        voters, learners, demoted = set(self.voters), set(self.learners), set[PeerId]()
        for operation, peer in change.changes:
            voters.discard(peer)
            learners.discard(peer)
            if operation == "voter":
                assert self.matched[peer] + CATCH_UP_DISTANCE >= self.last_index
                assert peer in self.learners, "it was a learner first"
                voters.add(peer)
            elif operation == "learner":
                (demoted if peer in self.voters else learners).add(peer)
            else:
                assert peer in self.members
        joint = len(change.changes) > 1
        if not joint:
            learners, demoted = learners | demoted, set()
        outgoing = self.voters if joint else frozenset()
        self.become(frozenset(voters), outgoing, frozenset(learners), frozenset(demoted), alive)

    def become(self, voters: Peers, outgoing: Peers, learners: Peers, demoted: Peers, alive: set[PeerId]) -> None:
        before = quorums(self.voters, self.outgoing)
        for one, other in itertools.product(before, quorums(voters, outgoing)):
            assert one & other, "two configurations could decide without each other"
        assert majority_alive(voters, alive), "a majority is dead by our doing"
        assert self.leader in voters, "the leader must hand over first"
        assert not self.outgoing or not outgoing, "a change while another is under way"
        self.voters, self.outgoing, self.learners, self.demoted = voters, outgoing, learners, demoted

    def hand_over(self, to: PeerId, alive: set[PeerId]) -> None:
        assert to in self.voters & alive
        assert self.matched[to] + CATCH_UP_DISTANCE >= self.last_index
        self.leader = to


class PlacedCluster:
    def __init__(self, factor: int, shard_count: int, zones: list[str], seed: int, replace_dead_after_s: float) -> None:
        self.rng = random.Random(seed)
        self.factor, self.zones, self.replace_dead_after_s = factor, zones, replace_dead_after_s
        self.topology = Topology()
        self.balance = LeaderBalance()
        self.now_s = 0.0
        self.alive: set[PeerId] = set()
        self.gone: set[PeerId] = set()
        self.dead_since_s: dict[PeerId, float] = {}
        self.next_peer = 1
        first = self.new_peer()
        self.apply(FoundCluster(b"c" * 16, "c", factor, shard_count, first, "n1", "h:1", zones[0]))
        self.shards = [RaftShard(ShardId(number), first) for number in range(shard_count + 1)]

    def apply(self, command: TopologyCommand) -> Outcome:
        return self.topology.apply(decode_command(encode_command(command)), 0)

    def new_peer(self) -> PeerId:
        peer = PeerId(self.next_peer)
        self.next_peer += 1
        self.alive.add(peer)
        return peer

    # What happens to it

    def join(self) -> None:
        peer = self.new_peer()
        done = self.apply(PutNode(peer, f"n{peer}", "h:1", self.zones[peer % len(self.zones)]))
        assert isinstance(done, Applied)

    def die(self, peer: PeerId) -> None:
        if peer in self.alive:
            self.alive.remove(peer)
            self.dead_since_s[peer] = self.now_s

    def come_back(self, peer: PeerId) -> None:
        if peer not in self.gone:
            self.alive.add(peer)

    def may_be_lost(self, peer: PeerId) -> bool:
        """Each shard would still have a majority among those who aren't lost."""
        kept = {row.peer for row in self.topology.nodes()} - self.gone - {peer}
        return all(shard.can_commit(kept) for shard in self.shards)

    def lose(self, peer: PeerId) -> None:
        """It never comes back."""
        if self.may_be_lost(peer):
            self.die(peer)
            self.gone.add(peer)

    def wipe(self, peer: PeerId) -> None:
        """It comes back with an empty disk."""
        row = self.topology.node(peer)
        assert row is not None
        if row.state == "member" and self.may_be_lost(peer):
            self.lose(peer)
            done = self.apply(PutNode(self.new_peer(), row.name, "h:1", row.zone, replaces=peer))
            assert isinstance(done, Applied)

    def leave(self, peer: PeerId) -> None:
        self.apply(MarkLeaving(peer))

    # What it does about it

    def nodes(self) -> list[PlacedNode]:
        return [
            PlacedNode.of(row, 0.0 if row.peer in self.alive else self.now_s - self.dead_since_s[row.peer] + 0.001)
            for row in self.topology.nodes()
        ]

    def placed(self) -> list[PlacedShard]:
        rows = {row.shard: row.replicas for row in self.topology.shard_rows()}
        placed = []
        for shard in self.shards:
            wanted = rows[shard.number]
            if shard.leader == NO_PEER:
                placed.append(PlacedShard(shard.number, wanted))
                continue
            group = shard.group(self.alive)
            caught_up = frozenset(filter(group.caught_up, shard.voters))
            changing = bool(shard.outgoing)
            placed.append(PlacedShard(shard.number, wanted, shard.leader, shard.voters, changing, caught_up))
        return placed

    def step(self) -> bool:
        """A second passes.  Was anything done?"""
        self.now_s += 1
        for shard in self.shards:
            shard.elect(self.alive, self.rng)
            shard.replicate(self.alive, self.rng)
        done = self.place()
        done |= self.reconfigure()
        done |= self.drop_nodes()
        transfer = self.balance.next_transfer(self.nodes(), self.placed(), self.now_s)
        if transfer is not None:
            self.shards[transfer.shard].hand_over(transfer.to, self.alive)
        return done or transfer is not None

    def place(self) -> bool:
        commands = next_placement(self.nodes(), self.placed(), self.factor, self.replace_dead_after_s)
        assert len({command.shard for command in commands}) == len(commands)
        for command in commands:
            outcome = self.apply(command)
            assert isinstance(outcome, Applied), outcome
            assert outcome.changed
        return bool(commands)

    def reconfigure(self) -> bool:
        rows = {row.shard: row.replicas for row in self.topology.shard_rows()}
        done = False
        for shard in self.shards:
            if shard.leader == NO_PEER:
                continue
            wanted = rows[shard.number]
            learners = meta_learners(self.nodes(), wanted) if shard.number == META else frozenset[PeerId]()
            step = next_step(shard.group(self.alive), wanted, learners)
            waits = waits_for(shard.group(self.alive), wanted)
            assert waits or step is not None or shard.voters == set(wanted), "it always says why"
            assert not waits or shard.voters != set(wanted) or shard.outgoing
            if isinstance(step, TransferLeadership):
                shard.hand_over(step.to, self.alive)
            elif isinstance(step, ChangeConfiguration):
                shard.change(step, self.alive)
            done |= step is not None or bool(shard.outgoing)
        return done

    def drop_nodes(self) -> bool:
        commands = next_drops(self.nodes(), self.placed())
        for command in commands:
            outcome = self.apply(command)
            assert isinstance(outcome, Applied), outcome
        return bool(commands)
