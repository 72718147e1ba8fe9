"""A node's core in a cluster, from its store: replicas of all shards, the topology they hold, and what drives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from broker.cluster.cluster import Cluster, Place
from broker.core.back import ClientSettings
from broker.core.broker import Broker
from broker.core.meta import Meta
from broker.core.replicated_shard import ReplicatedShard
from broker.core.shard import Shard
from broker.core.sys_topics import Figures
from broker.core.topology import Topology
from broker.core.topology_commands import FoundCluster
from broker.core.users import DEFAULT_PASSWORD, DEFAULT_USER, founding_commands
from broker.core.volatile_shards import VolatileShard
from broker.model.names import PeerId, UserName
from kernel import Shard as KernelShard
from kernel.journal import Damage, Journal

META = 0
FOUNDER_NUMBER = 1
"""In the cluster, of the node that founds it."""
CLUSTER_ID_SIZE = 16
SALT_SIZE = 16


class CoreSettings(msgspec.Struct, frozen=True):
    """Of every node's core.  Sizes in bytes; what founds a cluster counts on its first node alone."""

    shards: int = 4
    cache_size_max: int = 256 << 20
    volatile_size_max: int = 256 << 20
    replication_factor: int = 3
    first_user: UserName = DEFAULT_USER
    first_password: bytes = DEFAULT_PASSWORD
    version: str = ""
    clients: ClientSettings = ClientSettings()


class Stored(NamedTuple):
    """What a store knows of its cluster."""

    meta: KernelShard
    topology: Topology

    def place(self, peer: int) -> tuple[bytes, int, int] | None:
        """The cluster's id, this node's number, how many data shards; None: it is in no cluster."""
        cluster, node = self.topology.cluster(), self.topology.node(PeerId(peer))
        return None if cluster is None or node is None else (cluster.cluster_id, node.number, cluster.shard_count)


def open_meta(journal: Journal, incarnation: int, settings: CoreSettings, seed: int) -> Stored:
    """The meta shard, and the topology that checkpoint and log come to.  A store has it once."""
    meta = KernelShard.replica(journal, META, incarnation, seed, settings.cache_size_max // (settings.shards + 1), [])
    topology = Topology.from_rows(meta.rows())
    shard = Shard(meta)
    Meta(shard, topology, lambda outcome: None).receive_commands(shard.receive_effects())
    return Stored(meta, topology)


def assemble(
    cluster: Cluster,
    journal: Journal,
    stored: Stored,
    number: int,
    shard_count: int,
    voters: Sequence[int],
    settings: CoreSettings,
    random_bytes: Callable[[int], bytes],
    figures: Figures = dict,
) -> tuple[Broker, list[KernelShard]]:
    """``number``: this node's in the cluster.

    ``voters``: of groups that the store does not know: this node alone if it founds the cluster; none if their leaders
    are to come with snapshots.
    """
    peer, incarnation = journal.peer, cluster.identity.incarnation
    seed = int.from_bytes(random_bytes(8), "little")
    cache_size = settings.cache_size_max // (shard_count + 1)
    meta = stored.meta
    if voters and meta.applied_index == 0:
        meta = KernelShard.replica(journal, META, incarnation, seed, cache_size, voters)
    data = [
        KernelShard.replica(journal, shard, incarnation, seed, cache_size, voters)
        for shard in range(1, shard_count + 1)
    ]
    kernels = [meta, *data]
    shards = [ReplicatedShard(kernel, (peer, incarnation)) for kernel in kernels]
    volatile = VolatileShard(KernelShard.volatile(shard_count + 1, peer, incarnation), (peer, incarnation), number)
    broker = Broker(
        shards[META],
        list(shards[1:]),
        volatile,
        stored.topology,
        random_bytes,
        settings.volatile_size_max,
        settings.version,
        figures,
        settings.clients,
        number,
    )
    broker.replay()
    cluster.is_short = lambda: journal.pressure == "no space"
    cluster.begin(broker, shards, journal.begin_import, lambda: failure_of(journal))
    if list(voters) == [peer]:
        for kernel in kernels:
            kernel.campaign()
    return broker, kernels


def failure_of(journal: Journal) -> Exception | None:
    """What the store can't go on for, Damage or OSError."""
    try:
        journal.check()
    except (Damage, OSError) as error:
        return error
    return None


def found(cluster: Cluster, broker: Broker, settings: CoreSettings, shard_count: int) -> None:
    """Asks for what a new cluster begins with: itself, its first node, a vhost and a user."""
    back, identity = broker.back, cluster.identity
    back.submit(
        FoundCluster(
            back.random_bytes(CLUSTER_ID_SIZE),
            identity.cluster_name,
            settings.replication_factor,
            shard_count,
            PeerId(identity.peer),
            identity.node_name,
            identity.address,
            cluster.settings.zone,
        )
    )
    if not back.topology.vhosts():
        salt = back.random_bytes(SALT_SIZE)
        for command in founding_commands(salt, settings.first_user, settings.first_password):
            back.submit(command)


def look_for_place(cluster: Cluster, broker: Broker, now: float) -> bool:
    """After each step of a node that founded, or was taken in: whether its topology says so by now."""
    if cluster.place is Place.MEMBER:
        return True
    row = broker.back.topology.cluster()
    if row is None or broker.back.topology.node(PeerId(cluster.identity.peer)) is None:
        return False
    cluster.receive_place(row.cluster_id, now)
    return True
