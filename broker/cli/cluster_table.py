"""A cluster's figures as text: tables for ``dragoman cluster status``, half sentences for progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.model.cluster_figures import ClusterFigures, NodeFigures, ShardFigures, WaitFigures
from store.dump import size_text

META = 0
NOTHING = "-"
GAP = "  "


class Names:
    """Of a cluster's nodes, by peer: two that have had one name are told apart."""

    def __init__(self, nodes: Sequence[NodeFigures]) -> None:
        self._nodes = {node.peer: node for node in nodes}

    def __getitem__(self, peer: str) -> str:
        node = self._nodes.get(peer)
        if node is None:
            return peer
        return f"{node.name} (old)" if node.replaced_by else node.name

    def joined(self, peers: Sequence[str]) -> str:
        return ", ".join(self[peer] for peer in peers)

    def down(self, peers: Sequence[str]) -> list[str]:
        """Of these peers, those that are not up."""
        return [peer for peer in peers if peer in self._nodes and not self._nodes[peer].up]


def status_text(cluster: ClusterFigures) -> str:
    """A line about all, a table of nodes, a table of shards."""
    names = Names(cluster.nodes)
    up, served = sum(node.up for node in cluster.nodes), sum(bool(shard.leader) for shard in cluster.shards)
    asked = next((node.name for node in cluster.nodes if node.peer == cluster.node), "a node that has left it")
    head = (
        f"Cluster {cluster.name}, as {asked} sees it: {up} of {len(cluster.nodes)} nodes up, "
        f"{served} of {len(cluster.shards)} shards served, replication factor {cluster.replication_factor}"
    )
    nodes = table(
        ("NODE", "PEER", "ADDRESS", "ZONE", "STATE", "HEARD", "LEADS", "HOLDS"),
        [_node_cells(cluster, node, names) for node in cluster.nodes],
    )
    shards = table(
        ("SHARD", "LEADER", "TERM", "ENTRIES", "HELD BY", "BEHIND", "STATE"),
        [_shard_cells(shard, names) for shard in cluster.shards],
    )
    return "\n".join([head, "", *nodes, "", *shards])


def _node_cells(cluster: ClusterFigures, node: NodeFigures, names: Names) -> tuple[str, ...]:
    leads = sum(shard.leader == node.peer for shard in cluster.shards)
    holds = sum(node.peer in shard.voters for shard in cluster.shards)
    heard = "here" if node.peer == cluster.node else _heard(node)
    return (names[node.peer], node.peer, node.address, node.zone or NOTHING, node.state, heard, str(leads), str(holds))


def _heard(node: NodeFigures) -> str:
    if node.up:
        return "up" if node.round_trip_ms is None else f"up, {node.round_trip_ms} ms"
    return "down" if node.down_s is None else f"down for {duration_text(node.down_s)}"


def _shard_cells(shard: ShardFigures, names: Names) -> tuple[str, ...]:
    learning = [peer for peer in shard.learners if shard.shard != META or peer in shard.wanted]
    held = names.joined(_in_order(shard)) + (f"; learning: {names.joined(learning)}" if learning else "")
    behind = ", ".join(f"{names[peer]} {count}" for peer, count in sorted(shard.behind.items()) if count)
    name = "0 meta" if shard.shard == META else str(shard.shard)
    leader = names[shard.leader] if shard.leader else NOTHING
    return (name, leader, str(shard.term), str(shard.last_index), held, behind or NOTHING, shard_state(shard, names))


def _in_order(shard: ShardFigures) -> list[str]:
    """Its voters, the preferred leader first; those that it is to be rid of last."""
    voters = shard.voters or shard.wanted
    return [*(peer for peer in shard.wanted if peer in voters), *(peer for peer in voters if peer not in shard.wanted)]


def shard_state(shard: ShardFigures, names: Names) -> str:
    """What a shard lacks, and what it waits for."""
    if not shard.leader:
        return "no leader: it needs a majority of its nodes"
    said = [_wait_text(shard, wait, names) for wait in shard.waits_for]
    waited = {wait.peer for wait in shard.waits_for}
    said += [snapshot_text(shard, each.to, names) for each in shard.snapshots if each.to not in waited]
    said += [f"{names[peer]} is down" for peer in names.down(shard.voters) if peer not in waited]
    if not shard.settled and not said:
        said = ["changes its members"]
    return "; ".join(said) or "well"


def _wait_text(shard: ShardFigures, wait: WaitFigures, names: Names) -> str:
    texts: Mapping[str, str] = {
        "change": "changes its members",
        "majority": "too few of the nodes that are to hold it are up",
        "node": f"waits for {names[wait.peer]}, which does not answer",
        "entries": f"{names[wait.peer]} has yet to get {wait.entries} entries",
        "snapshot": snapshot_text(shard, wait.peer, names),
    }
    return texts.get(wait.reason, wait.reason)


def snapshot_text(shard: ShardFigures, peer: str, names: Names) -> str:
    """How far a member's snapshot is."""
    snapshot = next((each for each in shard.snapshots if each.to == peer), None)
    far = "" if snapshot is None else f", {size_text(snapshot.sent)} of {size_text(snapshot.size)}"
    return f"{names[peer]} fetches a snapshot{far}"


def duration_text(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines; a column of numbers alone stands to the right, the last one is as long as it is."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    right = [all(row[column].isdecimal() for row in rows) for column in range(len(head))]
    return [
        GAP.join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
