"""Who is to hold and lead what, and the steps there.

The leader of the meta shard plans (``placement.py``) by what the leaders of the shards say of them; each shard's leader
brings its group where its row says (``reconfiguration.py``), one step at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import structlog

from broker.cluster.member_words import Lead, ShardStatus
from broker.cluster.placement import (
    LeaderBalance,
    PlacedNode,
    PlacedShard,
    meta_learners,
    next_drops,
    next_placement,
)
from broker.cluster.reconfiguration import (
    ChangeConfiguration,
    Configuration,
    Group,
    Progress,
    next_step,
    waits_for,
)
from broker.core.back import Back
from broker.core.forwarding import META, Forwarding
from broker.core.outcomes import Outcome
from broker.core.replicated_shard import ReplicatedShard
from broker.core.topology_commands import DropNode, PutShard
from broker.model.names import PeerId, ShardId

log = structlog.get_logger()

LOOK_INTERVAL_S = 0.2
"""Between two looks at what is to be done."""
STATUS_INTERVAL_S = 1.0
STATUS_AGAIN_S = 4.0
"""Between two that say the same."""
EVEN_AFTER_S = 10.0
"""After a node came or went, replicas are moved to even the load."""
STATUS_AGE_MAX_S = 10.0
"""What was said of a shard longer ago says nothing any more; nor does what a node said that is not heard of."""


class Seen(NamedTuple):
    """By what a shard's leader finds that nothing is to be done: as long as that is the same, nothing is."""

    meta_index: int
    applied_index: int
    term: int
    live: tuple[tuple[int, int], ...]


class Membership:
    """One node's part in it."""

    def __init__(
        self,
        back: Back,
        shards: Sequence[ReplicatedShard],
        forwarding: Forwarding,
        own_peer: int,
        send: Callable[[int, ShardStatus | Lead], None],
        replace_dead_after_s: float,
        sending: Callable[[ShardId], list[tuple[int, int, int]]],
        stopping: Collection[int],
    ) -> None:
        """``sending``: a shard's snapshots on their way from here: (peer, bytes so far, bytes).  ``stopping``: nodes
        that are about to stop, which are not to lead; changes as they do."""
        self._back = back
        self._shards = shards
        self._by_id = {shard.id: shard for shard in shards}
        self._forwarding = forwarding
        self._own_peer = own_peer
        self._send = send
        self._replace_dead_after_s = replace_dead_after_s
        self._sending = sending
        self._stopping = stopping
        self._balance = LeaderBalance()
        self._look_at = -math.inf
        self._status_at = -math.inf
        self._statuses: dict[ShardId, tuple[float, int, ShardStatus]] = {}
        self._down_since: dict[int, float] = {}
        self._short: set[int] = set()
        """Nodes whose disks have no room left."""
        self._proposed = False
        self._there: set[PeerId] = set()
        self._quiet_at = -math.inf
        """Nodes come in company: before this nothing is moved for evenness alone."""
        self._handing_over = False
        self._settled: dict[ShardId, Seen] = {}
        """Shards that are as wanted, and what that was seen by."""
        self._told: dict[ShardId, tuple[float, Seen]] = {}
        """When the others were told of them last."""
        self._well: tuple[list[PlacedNode], list[PlacedShard], int, bool] | None = None
        """What was last found to need no change."""

    def tick(self, now: float) -> None:
        if now < self._look_at or self._back.topology.cluster() is None:
            return
        self._look_at = now + LOOK_INTERVAL_S
        live = tuple(self._forwarding.live.items())
        for shard in self._shards:
            if shard.leading:
                self._look(shard, live)
        if now >= self._status_at:
            self._status_at = now + STATUS_INTERVAL_S
            for shard in self._shards:
                if shard.leading:
                    self._relieve(shard)
            self._tell(now)
        meta = self._by_id[META]
        if meta.leading and meta.hands_out and not self._handing_over:
            self._plan(now)

    # ---- at a shard's leader

    def _group(self, shard: ReplicatedShard) -> Group:
        voters, outgoing, learners, next_learners = shard.kernel.conf()
        status = shard.kernel.status()
        assert status is not None
        _, _, _, last_index, _, _, members = status
        alive = frozenset(map(PeerId, (*self._forwarding.live, self._own_peer)))
        # A group that rests hears nothing from its members: their nodes' heartbeats stand for them.
        progress = {PeerId(peer): Progress(matched, peer in alive, snapshot) for peer, matched, _, snapshot in members}
        configuration = Configuration(
            frozenset(map(PeerId, voters)),
            frozenset(map(PeerId, outgoing)),
            frozenset(map(PeerId, (*learners, *next_learners))),
        )
        return Group(PeerId(self._own_peer), configuration, progress, last_index, alive)

    def _wanted(self, shard: ReplicatedShard) -> tuple[PeerId, ...]:
        row = self._back.topology.shard_row(shard.id)
        return () if row is None else row.replicas

    def _look(self, shard: ReplicatedShard, live: tuple[tuple[int, int], ...]) -> None:
        """Five times a second at each that is led here: most have nothing to do, and nothing new to be seen by."""
        kernel = shard.kernel
        seen = None
        if kernel.quiet and shard.id != META:  # whose learners are chosen by more
            seen = Seen(self._back.meta_index, kernel.applied_index, shard.term, live)
            if self._settled.get(shard.id) == seen:
                return
        self._settled.pop(shard.id, None)
        if self._reconfigure(shard) and seen is not None:
            self._settled[shard.id] = seen

    def _reconfigure(self, shard: ReplicatedShard) -> bool:
        """Whether it is as wanted."""
        wanted = self._wanted(shard)
        if not wanted or self._handing_over:
            return False
        learners: frozenset[PeerId] = frozenset()
        if shard.id == META:
            learners = meta_learners(self._nodes(0.0), wanted)
        step = next_step(self._group(shard), wanted, learners)
        if step is None:
            return True
        if isinstance(step, ChangeConfiguration):
            if shard.kernel.propose_conf(list(step.changes)):
                log.info("shard changes", shard=shard.id, changes=[f"{op} {peer:016x}" for op, peer in step.changes])
        elif shard.kernel.transfer_leader(step.to):
            log.info("shard hands over", shard=shard.id, to=f"{step.to:016x}")
        return False

    def status(self, shard: ReplicatedShard) -> ShardStatus:
        """Of one that is led here."""
        group = self._group(shard)
        configuration = group.configuration
        caught_up = sorted(peer for peer in configuration.voters if group.caught_up(peer))
        changing = bool(configuration.outgoing) or configuration.pending
        status = shard.kernel.status()
        assert status is not None
        wanted = self._wanted(shard)
        return ShardStatus(
            shard.id,
            shard.term,
            sorted(configuration.voters),
            sorted(configuration.learners),
            changing,
            caught_up,
            group.last_index,
            status[4],
            [
                (peer, max(group.last_index - progress.matched, 0))
                for peer, progress in sorted(group.progress.items())
                if peer != self._own_peer
            ],
            [(wait.reason, wait.peer, wait.entries) for wait in (waits_for(group, wanted) if wanted else [])],
            self._sending(shard.id),
        )

    def _tell(self, now: float) -> None:
        for shard in self._shards:
            if not shard.leading or not self._is_to_be_told(shard.id, now):
                continue
            status = self.status(shard)
            self.receive_status(self._own_peer, status, now)
            for peer in self._forwarding.live:
                self._send(peer, status)

    def _is_to_be_told(self, shard: ShardId, now: float) -> bool:
        """Once in so often, unless there is something new to tell."""
        seen = self._settled.get(shard)
        told_at, told = self._told.get(shard, (-math.inf, None))
        if seen is not None and seen == told and now < told_at + STATUS_AGAIN_S:
            return False
        self._told.pop(shard, None)
        if seen is not None:
            self._told[shard] = (now, seen)
        return True

    def receive_lead(self, shard_id: ShardId, to: int) -> bool:
        """Whether it could be asked."""
        shard = self._by_id.get(shard_id)
        if shard is None or not shard.leading or to in self._stopping:
            return False
        return shard.kernel.transfer_leader(to)

    def term_without(self, shard_id: ShardId, peer: int) -> int | None:
        """The term in which this node leads a shard that another is no member of; None: not so, or not for sure."""
        shard = self._by_id.get(shard_id)
        if shard is None or not shard.kernel.serving:
            return None  # only who serves has applied all that was ever committed
        configuration = self._group(shard).configuration
        if configuration.outgoing or peer in configuration.voters | configuration.learners:
            return None
        return shard.kernel.term

    def let_lead(self, shard_id: ShardId, to: int, now: float) -> bool:
        """Asks a shard's leader, wherever it is, to let another voter lead; False: none is known."""
        if self.receive_lead(shard_id, to):
            return True
        leader, _ = self.statuses(now).get(shard_id, (0, None))
        if leader not in self._forwarding.live:
            return False
        self._send(leader, Lead(shard_id, to))
        return True

    def hand_over(self) -> int:
        """Asks others to lead what is led here, for this node is about to stop: how much is still led that somebody
        could take.  It is asked again until there is none; from the first time on nothing is planned here."""
        self._handing_over = True
        left = 0
        for shard in self._shards:
            if shard.kernel.leading:
                left += self._hand_to(shard, self._heirs(shard))
        return left

    def _heirs(self, shard: ReplicatedShard) -> list[PeerId]:
        """Who could lead at once."""
        group = self._group(shard)
        others = group.configuration.voters - {self._own_peer} - frozenset(map(PeerId, self._stopping))
        return [peer for peer in others if group.caught_up(peer)]

    def _hand_to(self, shard: ReplicatedShard, heirs: Sequence[PeerId]) -> bool:
        """Whether there is any."""
        if heirs:
            shard.kernel.transfer_leader(min(heirs, key=self._preference(shard)))
        return bool(heirs)

    def receive_short(self, peer: int, short: bool) -> None:
        """Whether a node's disk, maybe this one's, has no room left."""
        if short:
            self._short.add(peer)
        else:
            self._short.discard(peer)

    def _relieve(self, shard: ReplicatedShard) -> None:
        """A leader that can't write holds everybody up: one that can is to lead."""
        if self._own_peer in self._short and self._hand_to(
            shard, [peer for peer in self._heirs(shard) if peer not in self._short]
        ):
            log.warning("shard is handed over: no room on this disk", shard=shard.id)

    def _preference(self, shard: ReplicatedShard) -> Callable[[PeerId], tuple[bool, int, PeerId]]:
        """By which of a shard's voters one is to lead: whoever stays, in the order of its row."""
        leaving = {row.peer for row in self._back.topology.nodes() if row.state == "leaving"}
        wanted = self._wanted(shard)
        order = {peer: place for place, peer in enumerate(wanted)}
        return lambda peer: (peer in leaving, order.get(peer, len(order)), peer)

    # ---- at the meta shard's leader, which all could be

    def receive_status(self, peer: int, status: ShardStatus, now: float) -> None:
        known = self._statuses.get(status.shard)
        if known is None or status.term >= known[2].term:
            self._statuses[status.shard] = (now, peer, status)

    def statuses(self, now: float) -> dict[ShardId, tuple[int, ShardStatus]]:
        """What is known of each shard: (its leader, what that said)."""
        return {
            shard: (peer, status)
            for shard, (at, peer, status) in sorted(self._statuses.items())
            if now - at <= STATUS_AGE_MAX_S
        }

    def down_s(self, peer: int, now: float) -> float | None:
        """For how long it has not been heard of; None: it is there, or never was while we are."""
        since = self._down_since.get(peer)
        return None if since is None or peer in self._forwarding.live else max(now - since, 0.0)

    def receive_peer_up(self, peer: int) -> None:
        self._down_since.pop(peer, None)

    def receive_peer_down(self, peer: int, now: float) -> None:
        self._down_since.setdefault(peer, now)
        self._statuses = {shard: said for shard, said in self._statuses.items() if said[1] != peer}

    def _nodes(self, now: float) -> list[PlacedNode]:
        nodes = []
        for row in self._back.topology.nodes():
            alive = row.peer == self._own_peer or row.peer in self._forwarding.live
            dead_s = 0.0 if alive else max(now - self._down_since.setdefault(row.peer, now), 1e-3)
            nodes.append(PlacedNode.of(row, dead_s, row.peer in self._short))
        return nodes

    def _is_for_evenness(self, command: PutShard | DropNode, nodes: Sequence[PlacedNode]) -> bool:
        """It moves a replica off a node that could keep it."""
        if not isinstance(command, PutShard) or len(command.old) != len(command.replicas):
            return False
        able = {node.peer for node in nodes if node.alive and not node.leaving}
        return set(command.old) <= able

    def _plan(self, now: float) -> None:
        cluster = self._back.topology.cluster()
        assert cluster is not None
        nodes = self._nodes(now)
        there = {node.peer for node in nodes}
        if there != self._there:
            self._there = there
            self._quiet_at = now + EVEN_AFTER_S
        known = self.statuses(now)
        shards = []
        for row in self._back.topology.shard_rows():
            leader, status = known.get(row.shard, (0, None))
            if status is None:
                shards.append(PlacedShard(row.shard, row.replicas))
                continue
            voters = frozenset(map(PeerId, status.voters))
            caught_up = frozenset(map(PeerId, status.caught_up))
            placed = PlacedShard(row.shard, row.replicas, PeerId(leader), voters, status.changing, caught_up)
            shards.append(placed)
        if self._proposed:
            return
        asked = (nodes, shards, cluster.replication_factor, now >= self._quiet_at)
        if asked != self._well:
            commands = self._next_changes(*asked)
            self._well = None if commands else asked
            for command in commands:
                self._propose(command)
            if commands:
                return
        staying = [node for node in nodes if node.peer not in self._stopping]
        transfer = self._balance.next_transfer(staying, shards, now)
        if transfer is not None:
            leader = known[transfer.shard][0]
            if leader == self._own_peer:
                self.receive_lead(transfer.shard, transfer.to)
            else:
                self._send(leader, Lead(transfer.shard, transfer.to))

    def _next_changes(
        self, nodes: Sequence[PlacedNode], shards: Sequence[PlacedShard], replication_factor: int, even: bool
    ) -> list[PutShard | DropNode]:
        commands: list[PutShard | DropNode] = []
        commands += next_placement(nodes, shards, replication_factor, self._replace_dead_after_s)
        if not even:
            commands = [command for command in commands if not self._is_for_evenness(command, nodes)]
        return commands or [*next_drops(nodes, shards)]

    def _propose(self, command: PutShard | DropNode) -> None:
        self._proposed = True

        def answer(outcome: Outcome) -> None:
            self._proposed = False

        log.info("placement", change=_told(command))
        self._back.submit(command, answer)


def _told(command: PutShard | DropNode) -> str:
    """For people."""
    if isinstance(command, DropNode):
        return f"node {command.peer:016x} is dropped"
    replicas = ", ".join(f"{peer:016x}" for peer in command.replicas)
    return f"shard {command.shard} is to be on {replicas}"
