"""Who belongs to the cluster and which nodes are to hold which shard: what becomes of the commands about it.

A row says what is wanted.  What is so already, each shard's Raft configuration says, which its leader brings there.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from broker.core.declarations import check_name_size, precondition_failed
from broker.core.outcomes import Applied, Outcome, Refused
from broker.core.topology_commands import SINCE, DropNode, FoundCluster, MarkLeaving, PutNode, PutShard
from broker.core.topology_rows import ClusterRow, NodeRow, ShardRow
from broker.core.topology_tables import TopologyTables
from broker.model.names import NO_PEER, PeerId, ShardId
from broker.model.refusals import Refusal

CLUSTER_ID_SIZE = 16
NODE_NUMBER_MAX = 65535
"""Nodes that a cluster ever has."""
REPLICATION_FACTORS = (1, 3, 5)
"""An even number of voters needs one more to agree and survives no more losses."""
SHARD_COUNT_MAX = 64
ADDRESS_SIZE_MAX = 262
"""A DNS name (RFC 1035 2.3.4: 255 bytes), a colon and a port, with room for brackets."""
PEER_ID_MAX = (1 << 64) - 1
ALONE = precondition_failed("this node belongs to no cluster")


def found_cluster(tables: TopologyTables, command: FoundCluster, now_ms: int) -> Outcome:
    there = tables.cluster
    if there is not None:
        if there.cluster_id == command.cluster_id:
            return Applied(changed=False)
        return precondition_failed(f"there is a cluster '{there.name}' already")
    if len(command.cluster_id) != CLUSTER_ID_SIZE or not any(command.cluster_id):
        return precondition_failed(f"a cluster's id has {CLUSTER_ID_SIZE} bytes, and not only zeros")
    if command.replication_factor not in REPLICATION_FACTORS:
        return precondition_failed(f"a replication factor is 1, 3 or 5, not {command.replication_factor}")
    if not 1 <= command.shard_count <= SHARD_COUNT_MAX:
        return precondition_failed(f"a cluster has 1 to {SHARD_COUNT_MAX} shards, not {command.shard_count}")
    if refused := check_name_size("cluster", command.name):
        return refused
    if refused := _check_node(command.peer, command.node_name, command.address, command.zone):
        return refused
    factor, shards = command.replication_factor, command.shard_count
    tables.put_cluster(ClusterRow(command.cluster_id, command.name, factor, shards, next_number=2))
    tables.put_node(NodeRow(command.peer, 1, command.node_name, command.address, command.zone))
    for number in range(shards + 1):
        tables.put_shard(ShardRow(ShardId(number), (command.peer,)))
    return Applied(changed=True)


def put_node(tables: TopologyTables, command: PutNode, now_ms: int) -> Outcome:
    cluster = tables.cluster
    if cluster is None:
        return ALONE
    refused = _check_node(command.peer, command.name, command.address, command.zone) or _check_age(tables, command)
    if refused is not None:
        return refused
    there = tables.nodes.get(command.peer)
    holder = None
    if there is None or there.name != command.name:
        if there is not None and there.state == "leaving":
            return precondition_failed(f"node '{there.name}' is leaving: it takes no other name")
        holder = _member_named(tables, command.name)
    if holder is not None and holder.peer != command.replaces:
        return precondition_failed(f"a node '{command.name}' is there already: it is peer {holder.peer:016x}")
    if there is None and cluster.next_number > NODE_NUMBER_MAX:
        return Refused(Refusal.RESOURCE_ERROR, f"a cluster has no more than {NODE_NUMBER_MAX} nodes in its life")
    if holder is not None:
        tables.put_node(msgspec.structs.replace(holder, state="leaving", replaced_by=command.peer))
    if there is None:
        tables.put_cluster(msgspec.structs.replace(cluster, next_number=cluster.next_number + 1))
        number = cluster.next_number
        row = NodeRow(command.peer, number, command.name, command.address, command.zone, version=command.version)
    else:
        row = msgspec.structs.replace(
            there, name=command.name, address=command.address, zone=command.zone, version=command.version
        )
    if row == there:
        return Applied(changed=False)
    tables.put_node(row)
    return Applied(changed=True)


def cluster_version(tables: TopologyTables) -> int:
    """What every node understands; it never falls, since nobody is taken in who understands less."""
    return min((row.version for row in tables.nodes.values()), default=1)


def _check_age(tables: TopologyTables, command: PutNode) -> Refused | None:
    spoken = cluster_version(tables)
    if command.version >= spoken:
        return None
    return precondition_failed(
        f"node '{command.name}' understands version {command.version} and the cluster speaks {spoken}: start it with a"
        " newer Dragoman"
    )


def check_version(tables: TopologyTables, command: object) -> Refused | None:
    """May it be proposed?  An older node could not apply it."""
    since = SINCE.get(type(command), 1)
    behind = sorted(row.name for row in tables.nodes.values() if row.version < since)
    if not behind:
        return None
    return precondition_failed(f"that needs version {since} on every node, and {', '.join(behind)} has an older one")


def mark_leaving(tables: TopologyTables, command: MarkLeaving, now_ms: int) -> Outcome:
    row = tables.nodes.get(command.peer)
    if row is None:
        return _no_node(command.peer)
    if (row.state == "leaving") == command.leaving:
        return Applied(changed=False)
    if command.leaving:
        if _is_last_member(tables, row):
            return precondition_failed(f"node '{row.name}' is the last one of the cluster")
        tables.put_node(msgspec.structs.replace(row, state="leaving"))
        return Applied(changed=True)
    if _member_named(tables, row.name) is not None:
        return precondition_failed(f"another node has the name '{row.name}' now")
    tables.put_node(msgspec.structs.replace(row, state="member", replaced_by=NO_PEER))
    return Applied(changed=True)


def drop_node(tables: TopologyTables, command: DropNode, now_ms: int) -> Outcome:
    row = tables.nodes.get(command.peer)
    if row is None:
        return Applied(changed=False)
    holding = sorted(shard.shard for shard in tables.shards.values() if row.peer in shard.replicas)
    if holding:
        return precondition_failed(f"node '{row.name}' is to hold shards {', '.join(map(str, holding))}")
    if _is_last_member(tables, row):
        return precondition_failed(f"node '{row.name}' is the last one of the cluster")
    tables.drop_node(row)
    return Applied(changed=True)


def put_shard(tables: TopologyTables, command: PutShard, now_ms: int) -> Outcome:
    cluster = tables.cluster
    if cluster is None:
        return ALONE
    there = tables.shards.get(command.shard)
    old = () if there is None else there.replicas
    if command.replicas == old:
        return Applied(changed=False)
    if command.old != old:
        return precondition_failed(f"shard {command.shard} is to be on {_list(old)}, not on {_list(command.old)}")
    if there is None and (command.shard != cluster.shard_count + 1 or command.shard > SHARD_COUNT_MAX):
        return precondition_failed(f"no shard {command.shard}: there are {cluster.shard_count}")
    replicas = command.replicas
    if len(replicas) not in REPLICATION_FACTORS or len(set(replicas)) != len(replicas):
        return precondition_failed(f"a shard has 1, 3 or 5 different replicas, not {_list(replicas)}")
    for peer in replicas:
        node = tables.nodes.get(peer)
        if node is None:
            return _no_node(peer)
        if node.state == "leaving" and peer not in old:
            return precondition_failed(f"node '{node.name}' is leaving: it takes no replica")
    if there is None:
        tables.put_cluster(msgspec.structs.replace(cluster, shard_count=command.shard))
    tables.put_shard(ShardRow(command.shard, replicas))
    return Applied(changed=True)


def _member_named(tables: TopologyTables, name: str) -> NodeRow | None:
    """One that is leaving has given up its name."""
    named = (row for row in tables.nodes.values() if row.name == name and row.state == "member")
    return next(named, None)


def _is_last_member(tables: TopologyTables, row: NodeRow) -> bool:
    """Those that are leaving need somewhere to leave their replicas."""
    members = [each.peer for each in tables.nodes.values() if each.state == "member"]
    return members == [row.peer]


def _check_node(peer: PeerId, name: str, address: str, zone: str) -> Refused | None:
    if not 1 <= peer <= PEER_ID_MAX:
        return precondition_failed(f"{peer} is no peer id")
    if refused := check_name_size("node", name):
        return refused
    if not 1 <= len(address.encode()) <= ADDRESS_SIZE_MAX:
        return precondition_failed(f"a node's address has 1 to {ADDRESS_SIZE_MAX} bytes")
    return check_name_size("zone", zone) if zone else None


def _no_node(peer: PeerId) -> Refused:
    return Refused(Refusal.NOT_FOUND, f"no node with peer id {peer:016x}")


def _list(peers: Sequence[PeerId]) -> str:
    return "(" + ", ".join(f"{peer:016x}" for peer in peers) + ")"
