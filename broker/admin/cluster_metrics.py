"""The cluster's part of ``/metrics``: which nodes are heard of, how this node's replicas stand, how far others lag."""

from __future__ import annotations

from broker.admin.cluster_operations import ClusterDoor
from broker.admin.exposition import Exposition, Labels
from broker.model.cluster_figures import peer_text


def cluster_metrics(out: Exposition, door: ClusterDoor) -> None:
    _nodes(out, door)
    _replicas(out, door)
    sent, received = door.snapshot_sizes
    out.counter(
        "dragoman_snapshot_bytes_total",
        "Bytes of shards' snapshots, to members that lacked the log and from leaders.",
        [({"direction": "sent"}, sent), ({"direction": "received"}, received)],
    )


def _nodes(out: Exposition, door: ClusterDoor) -> None:
    nodes = door.figures().nodes
    up = sum(node.up for node in nodes)
    out.gauge(
        "dragoman_cluster_nodes",
        "Nodes of the cluster, as this one hears of them.",
        [({"state": "up"}, up), ({"state": "down"}, len(nodes) - up)],
    )
    out.gauge(
        "dragoman_cluster_node_up",
        "1 where the node is heard of.",
        [({"node": node.name, "peer": node.peer}, int(node.up)) for node in nodes],
    )
    out.gauge(
        "dragoman_cluster_round_trip_seconds",
        "From a heartbeat to its echo.",
        [
            ({"node": node.name, "peer": node.peer}, node.round_trip_ms / 1000)
            for node in nodes
            if node.round_trip_ms is not None
        ],
    )


def _replicas(out: Exposition, door: ClusterDoor) -> None:
    replicas = door.replicas()
    out.gauge("dragoman_shards_led", "Shards that this node leads.", [({}, sum(each.leading for each in replicas))])
    for name, help, field in (
        ("term", "Raft's term of the shard's replica here.", "term"),
        ("commit_index", "The last entry that the replica here knows to be on a majority.", "commit_index"),
        ("applied_index", "The last entry that is part of the state here.", "applied_index"),
    ):
        samples: list[tuple[Labels, float]] = [({"shard": str(each.shard)}, getattr(each, field)) for each in replicas]
        out.gauge(f"dragoman_shard_{name}", help, samples)
    names = {node.peer: node.name for node in door.figures().nodes}
    lags = [
        ({"shard": str(each.shard), "node": names.get(peer_text(peer), ""), "peer": peer_text(peer)}, count)
        for each in replicas
        for peer, count in each.behind.items()
    ]
    out.gauge("dragoman_shard_replica_lag", "Entries that a member has yet to confirm; told by the leader.", lags)
