"""What a node knows of its cluster, gathered when somebody asks; and the few things that are asked of its links."""

from __future__ import annotations

from collections.abc import Callable

from broker.cluster.cluster import Cluster
from broker.cluster.member_words import ShardStatus
from broker.core.replicated_shard import ReplicatedShard
from broker.core.topology_rows import NodeRow, ShardRow
from broker.model.cluster_figures import (
    ClusterFigures,
    NodeFigures,
    ReplicaFigures,
    ShardFigures,
    SnapshotFigures,
    WaitFigures,
    peer_text,
)
from broker.model.names import ShardId


class Overview:
    """Of one node that has come in."""

    def __init__(self, cluster: Cluster, trouble: Callable[[str], str | None]) -> None:
        """``trouble``: what went wrong last with an address that is dialed, in words."""
        self._cluster = cluster
        self._trouble = trouble

    # ---- what there is

    def figures(self) -> ClusterFigures:
        cluster = self._cluster
        assert cluster.broker is not None
        topology = cluster.broker.back.topology
        row = topology.cluster()
        assert row is not None, "who came in has a cluster"
        return ClusterFigures(
            row.cluster_id.hex(),
            row.name,
            peer_text(cluster.identity.peer),
            row.replication_factor,
            row.shard_count,
            self._nodes(topology.nodes()),
            tuple(map(self._shard, topology.shard_rows())),
        )

    def _nodes(self, rows: list[NodeRow]) -> tuple[NodeFigures, ...]:
        membership = self._cluster.membership
        assert membership is not None
        round_trips = {each.info.peer: each.round_trip_ms for each in self._cluster.peers.figures()}
        return tuple(
            NodeFigures(
                row.name,
                peer_text(row.peer),
                row.number,
                row.address,
                row.zone,
                row.state,
                peer_text(row.replaced_by),
                self._is_up(row.peer),
                round_trips.get(row.peer) if self._is_up(row.peer) else None,
                membership.down_s(row.peer, self._cluster.now),
            )
            for row in sorted(rows, key=lambda row: row.number)
        )

    def _is_up(self, peer: int) -> bool:
        return peer == self._cluster.identity.peer or peer in self._cluster.up

    def _shard(self, row: ShardRow) -> ShardFigures:
        wanted = tuple(map(peer_text, row.replicas))
        leader, status = self._status(row.shard)
        if status is None:
            return ShardFigures(row.shard, wanted)
        return ShardFigures(
            row.shard,
            wanted,
            peer_text(leader if self._is_up(leader) else 0),
            status.term,
            tuple(map(peer_text, status.voters)),
            tuple(map(peer_text, status.learners)),
            status.changing,
            status.last_index,
            status.commit_index,
            {peer_text(peer): count for peer, count in status.behind if peer != leader},
            tuple(WaitFigures(reason, peer_text(peer), count) for reason, peer, count in status.waits),
            tuple(SnapshotFigures(peer_text(peer), sent, size) for peer, sent, size in status.snapshots),
        )

    def _status(self, shard_id: ShardId) -> tuple[int, ShardStatus | None]:
        """(Leader, what was said last by who led): of what is led here, as it is now."""
        membership = self._cluster.membership
        assert membership is not None
        shard = self._replica(shard_id)
        if shard is not None and shard.leading and shard.kernel.leading:
            return self._cluster.identity.peer, membership.status(shard)
        leader, status = membership.statuses(self._cluster.now).get(shard_id, (0, None))
        forwarding = self._cluster.forwarding
        assert forwarding is not None, "who came in speaks with the others"
        # Who leads says so at once, and how its shard is within a second or so.
        known, term = (0, 0) if shard is None else forwarding.front.leader_and_term(shard) or (0, 0)
        if status is not None and term > status.term:
            leader = known
        return (0 if leader == self._cluster.identity.peer else leader), status

    def _replica(self, shard_id: ShardId) -> ReplicatedShard | None:
        return next((shard for shard in self._cluster.shards if shard.id == shard_id), None)

    def replicas(self) -> list[ReplicaFigures]:
        """Of the groups here."""
        found = []
        for shard in self._cluster.shards:
            status = shard.kernel.status()
            if status is None or shard.kernel.dead is not None:
                continue
            _, term, _, last_index, commit, applied, members = status
            behind = {
                peer: max(last_index - matched, 0)
                for peer, matched, _, _ in members
                if shard.leading and peer != self._cluster.identity.peer
            }
            found.append(ReplicaFigures(shard.id, shard.leading, term, last_index, commit, applied, behind))
        return found

    @property
    def snapshot_sizes(self) -> tuple[int, int]:
        """Bytes sent, and taken in, since the start."""
        assert self._cluster.replication is not None
        snapshots = self._cluster.replication.snapshots
        return snapshots.sent_size, snapshots.received_size

    # ---- what is asked of the links

    def look_for(self, address: str) -> bool:
        """A node to be taken in may be there, host:port; False: too many are looked for already."""
        return self._cluster.look_for(address)

    def found_at(self, address: str) -> int:
        """The peer that answers there; 0: none yet."""
        return self._cluster.peers.found_at(address)

    def trouble(self, address: str) -> str | None:
        """Why nobody could be spoken with there when it was tried last."""
        return self._trouble(address)

    def let_lead(self, shard: ShardId, to: int) -> bool:
        """Asks the shard's leader to hand over to another voter; False: none is known."""
        membership = self._cluster.membership
        return membership is not None and membership.let_lead(shard, to, self._cluster.now)
