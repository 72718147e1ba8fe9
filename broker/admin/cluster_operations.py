"""What administrators ask of the cluster: each is checked, decided by the meta shard, and remembered for a while.

An operation is *done* once it is decided: that a node is to leave, who is to hold a shard.  Getting there is the
cluster's own business, goes on whoever watches, and is told by ``GET /api/cluster``.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import structlog

from broker.config.addresses import CLUSTER_PORT, parse_address
from broker.core.back import Back
from broker.core.outcomes import Outcome, Refused
from broker.core.topology_commands import MarkLeaving, PutShard
from broker.core.topology_rows import NodeRow, ShardRow
from broker.model.cluster_figures import ClusterFigures, OperationFigures, ReplicaFigures, ShardFigures, peer_text
from broker.model.names import PeerId, ShardId, UserName

log = structlog.get_logger()

OPERATION_COUNT_MAX = 256
"""Operations whose outcome is remembered."""
BEHIND_MAX = 256
"""Entries that a node may lack that is to lead: it gets them first, and whoever publishes waits for it meanwhile."""
ALONE = "this node runs alone: cluster.listen makes it a cluster's first node (docs/operations/cluster.md)"


State: TypeAlias = Literal["pending", "done", "refused"]


class ClusterDoor(Protocol):
    """The node's way to the rest of its cluster."""

    def figures(self) -> ClusterFigures: ...

    def replicas(self) -> list[ReplicaFigures]: ...

    @property
    def snapshot_sizes(self) -> tuple[int, int]:
        """Bytes sent, and taken in, since the start."""

    def look_for(self, address: str) -> bool:
        """A node to be taken in may be there, host:port; False: too many are looked for already."""

    def found_at(self, address: str) -> int:
        """The peer that answers there; 0: none yet."""

    def trouble(self, address: str) -> str | None:
        """Why nobody could be spoken with there when it was tried last."""

    def let_lead(self, shard: ShardId, to: int) -> bool:
        """Asks the shard's leader to hand over to another voter; False: none is known."""


class Impossible(Exception):
    """It can't be done, and nothing was changed: why, in words.  ``found``: what it names is there."""

    def __init__(self, why: str, *, found: bool = True) -> None:
        super().__init__(why)
        self.found = found


class Operation:
    """``look``: finds out how it stands when it is asked for; None: whoever answers tells."""

    def __init__(self, id: int, action: str, peer: str) -> None:
        self.id = id
        self.action = action
        self.peer = peer
        self.state: State = "pending"
        self.detail = "waiting for the meta shard to decide"
        self.note = ""
        """What is told with a good end."""
        self.look: Callable[[], None] | None = None

    def end(self, state: State, detail: str = "") -> None:
        self.state, self.detail, self.look = state, detail, None

    def receive(self, outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            self.end("refused", outcome.detail)
        else:
            self.end("done", self.note)

    def figures(self) -> OperationFigures:
        if self.look is not None:
            self.look()
        return OperationFigures(self.id, self.action, self.state, self.detail, self.peer)


class ClusterOperations:
    """Of one node.  Each method raises Impossible at once, or begins an operation."""

    def __init__(self, back: Back, door: ClusterDoor) -> None:
        self._back = back
        self._door = door
        self._numbers = itertools.count(1)
        self._operations: dict[int, Operation] = {}

    def operation(self, id: int) -> OperationFigures | None:
        """None: there was none, or it is too long ago."""
        operation = self._operations.get(id)
        return None if operation is None else operation.figures()

    # ---- nodes

    def add(self, address: str, user: UserName) -> OperationFigures:
        """Looks for a node at an address, ``host:port``; it is done when that node is a member."""
        try:
            where = str(parse_address(address, CLUSTER_PORT))
        except ValueError as error:
            raise Impossible(str(error)) from error
        if not self._door.look_for(where):
            raise Impossible("too many nodes are being looked for: wait until they have joined, or ten minutes")
        operation = self._begin(f"add {where}", user)
        operation.look = lambda: self._look_at(where, operation)
        return operation.figures()

    def _look_at(self, address: str, operation: Operation) -> None:
        figures = self._door.figures()
        # Whoever answers there counts, whatever it calls its address; until somebody does, a member's row.
        peer = peer_text(self._door.found_at(address))
        known = (node for node in figures.nodes if node.peer == peer or (not peer and node.address == address))
        there = next(known, None)
        if figures.node in (peer, there and there.peer):
            operation.end("refused", f"{address} is this node's own address")
            return
        if there is not None and there.up:
            operation.peer = there.peer
            operation.end("done", f"{there.name} is a member, peer {there.peer}")
        elif there is not None:
            operation.detail = f"{there.name} is a member and is not up"
        else:
            why = self._door.trouble(address)
            operation.detail = "not a member yet" + (f": {why}" if why else "")

    def remove(self, node: str, cancel: bool, user: UserName) -> OperationFigures:
        """Marks it as leaving, or not any more."""
        row = self._node(node)
        if cancel and row.state == "member":
            raise Impossible(f"{row.name} isn't leaving")
        if not cancel and peer_text(row.peer) == self._door.figures().node:
            raise Impossible(f"{row.name} is the node that you ask, and would not learn that it is gone: ask another")
        operation = self._begin(f"{'keep' if cancel else 'remove'} {row.name}", user, row.peer)
        self._back.submit(MarkLeaving(row.peer, leaving=not cancel), operation.receive)
        return operation.figures()

    # ---- shards

    def move(self, shard: int, source: str, target: str, user: UserName) -> OperationFigures:
        """A replica from one node to another."""
        row = self._shard(shard)
        leaver, comer = self._node(source), self._node(target)
        if leaver.peer not in row.replicas:
            on = ", ".join(self._name(peer) for peer in row.replicas)
            raise Impossible(f"shard {shard} is not on {leaver.name}, it is on {on}")
        if comer.peer in row.replicas:
            raise Impossible(f"shard {shard} is on {comer.name} already")
        self._check_able(comer)
        if self._figures_of(shard).changing:
            raise Impossible(f"shard {shard} is being changed: wait until that is done")
        operation = self._begin(f"move shard {shard} from {leaver.name} to {comer.name}", user, comer.peer)
        replicas = tuple(comer.peer if peer == leaver.peer else peer for peer in row.replicas)
        self._back.submit(PutShard(row.shard, row.replicas, replicas), operation.receive)
        return operation.figures()

    def transfer(self, shard: int, target: str, user: UserName) -> OperationFigures:
        """Leadership to another of its nodes, which is to be its preferred leader."""
        row, heir = self._shard(shard), self._node(target)
        figures = self._figures_of(shard)
        if heir.peer not in row.replicas or peer_text(heir.peer) not in figures.voters:
            raise Impossible(f"{heir.name} holds no voting replica of shard {shard}: move one there first")
        self._check_able(heir)
        behind = figures.behind.get(peer_text(heir.peer), 0)
        if behind > BEHIND_MAX:
            raise Impossible(f"{heir.name} is {behind} entries behind in shard {shard}: wait until it has them")
        operation = self._begin(f"transfer shard {shard} to {heir.name}", user, heir.peer)

        def decided(outcome: Outcome) -> None:
            operation.receive(outcome)
            if operation.state == "done" and not self._door.let_lead(row.shard, heir.peer):
                # Preferred leaders are handed leadership without being asked, sooner or later.
                operation.end("done", f"shard {shard} has no leader now; it is to be {heir.name}")

        replicas = _led_by(row, heir.peer)
        if replicas == row.replicas:
            operation.end("done")
            self._door.let_lead(row.shard, heir.peer)
            return operation.figures()
        exchanged = self._exchanged(row, heir.peer)
        self._back.submit(PutShard(row.shard, row.replicas, replicas), decided)
        if exchanged is not None:
            back = row.replicas[0]
            self._back.submit(PutShard(exchanged.shard, exchanged.replicas, _led_by(exchanged, back)))
            operation.note = f"shard {exchanged.shard} goes to {self._name(back)} in return: leadership is evened"
        return operation.figures()

    def _exchanged(self, row: ShardRow, heir: PeerId) -> ShardRow | None:
        """A shard that the old preferred leader is to lead in return, if ``heir`` would lead two more than another:
        else the balance of leaders (broker/cluster/placement.py) might undo what was asked."""
        rows, old = self._back.topology.shard_rows(), row.replicas[0]
        able = [node.peer for node in self._back.topology.nodes() if node.state == "member"]
        counts = dict.fromkeys(able, 0) | Counter(each.replicas[0] for each in rows)
        counts[heir] += 1
        counts[old] -= 1
        if old not in able or counts[heir] < 2 + min(counts[peer] for peer in able):
            return None
        back = (each for each in rows if each.shard != row.shard and each.replicas[0] == heir and old in each.replicas)
        return next(back, None)

    # ---- what is named

    def _begin(self, action: str, user: UserName, peer: int = 0) -> Operation:
        log.info("asked of the cluster", action=action, user=user)
        operation = Operation(next(self._numbers), action, peer_text(peer))
        self._operations[operation.id] = operation
        while len(self._operations) > OPERATION_COUNT_MAX:
            del self._operations[next(iter(self._operations))]
        return operation

    def _node(self, text: str) -> NodeRow:
        """By its name, which a leaving node may have lost to another, or by its peer id."""
        rows = self._back.topology.nodes()
        named = [row for row in rows if row.name == text]
        members = [row for row in named if row.state == "member"]
        found = members or named or [row for row in rows if peer_text(row.peer) == text.lower()]
        if not found:
            names = ", ".join(sorted({row.name for row in rows}))
            raise Impossible(f"there is no node {text!r}: there are {names}", found=False)
        if len(found) > 1:
            peers = " or ".join(peer_text(row.peer) for row in found)
            raise Impossible(f"{len(found)} nodes are called {text!r}: say {peers}")
        return found[0]

    def _name(self, peer: PeerId) -> str:
        row = self._back.topology.node(peer)
        return peer_text(peer) if row is None else row.name

    def _shard(self, shard: int) -> ShardRow:
        rows = self._back.topology.shard_rows()
        found = next((row for row in rows if row.shard == shard), None)
        if found is None:
            raise Impossible(f"there is no shard {shard}: there are 0 (the meta shard) to {len(rows) - 1}", found=False)
        return found

    def _figures_of(self, shard: int) -> ShardFigures:
        figures = next(each for each in self._door.figures().shards if each.shard == shard)
        if not figures.leader:
            raise Impossible(f"shard {shard} has no leader: a majority of its nodes must be up first")
        return figures

    def _check_able(self, row: NodeRow) -> None:
        """It is to take something."""
        if row.state == "leaving":
            raise Impossible(f"{row.name} is leaving: dragoman cluster remove {row.name} --cancel keeps it")
        up = next(node.up for node in self._door.figures().nodes if node.peer == peer_text(row.peer))
        if not up:
            raise Impossible(f"{row.name} is down: start it first")


def _led_by(row: ShardRow, peer: PeerId) -> tuple[PeerId, ...]:
    """A shard's replicas with another preferred leader."""
    return (peer, *(each for each in row.replicas if each != peer))
