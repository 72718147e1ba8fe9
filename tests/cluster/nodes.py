"""Whole cores in a cluster, over simulated disks and the net in memory: driven by hand, in small steps of time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from broker.cluster.assembly import CoreSettings, assemble, found, look_for_place, open_meta
from broker.cluster.cluster import Cluster, ClusterSettings, Place
from broker.cluster.hello import FRESH, Identity, Secret, Terms
from broker.cluster.peers import Peers
from broker.cluster.snapshots import Job
from broker.core.broker import Broker
from broker.core.session import Session
from broker.core.users import DEFAULT_PASSWORD, DEFAULT_USER, founding_commands
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import Channel, UserName, VhostName
from kernel import Shard as KernelShard
from kernel.disk import SimDisk
from kernel.journal import Damage, Journal
from tests.cluster.wire import SECRET, Wire
from tests.cluster.wire import Node as WireNode

STEP_S = 0.005
WALL_MS = 1_800_000_000_000
STORE = bytes(16)
CHANNEL = Channel(1)
CLUSTER_ID = b"c" * 16
PEER_STEP = 100
"""From a node's peer id to that of the one it comes back as."""


class ClusterNode:
    """One start of a node."""

    def __init__(
        self,
        wire: Wire,
        name: str,
        peer: int,
        incarnation: int,
        disk: SimDisk,
        peers: tuple[str, ...],
        shards: int,
        voters: list[int],
        may_found: bool = True,
        port: int = 7000,
    ) -> None:
        """``voters``: who is there from the start, as if it had been so before; none: it is to be found out.

        Raises kernel.journal.Damage.
        """
        self.wire = wire
        self.name = name
        self.disk = disk
        self.random = Random(peer * 1_000_003 + incarnation)
        self.settings = CoreSettings(shards=shards, cache_size_max=64 << 20)
        self.journal = Journal.open_on(disk, peer, STORE, 4 << 20)
        self.stored = open_meta(self.journal, incarnation, self.settings, 1)
        place = self.stored.place(peer)
        cluster_id = FRESH if place is None else place[0]
        identity = Identity(peer, incarnation, cluster_id, "test", name, f"{name}:{port}", may_found)
        terms = Terms(identity, Secret(SECRET), False, 1, 1, ())
        draw = self.random.randbytes
        self.cluster = Cluster(
            identity,
            ClusterSettings(peers),
            lambda receiver: Peers(terms, receiver, self.random, lambda: draw(32), self._payload, wire.now),
            wire.now,
        )
        self.jobs: list[Job] = []
        self.disk_is_slow = False
        """Snapshots wait."""
        self.reads: list[Callable[[], object]] = []
        self.reads_wait = False
        """So do reads of messages."""
        self.broker: Broker | None = None
        self.kernels: list[KernelShard] = []
        self.founded = False
        wire_node = WireNode.__new__(WireNode)
        wire_node.name, wire_node.address = name, identity.address
        wire_node.peers, wire_node.ended, wire_node.alive = self.cluster.peers, [], True
        wire.nodes[name] = wire_node
        wire._tick(wire_node)
        self.voters = voters
        if voters:
            self.cluster.receive_place(CLUSTER_ID, wire.now)
            self._assemble(peer, shards, voters)
        elif place is not None:
            self._assemble(place[1], place[2], [])

    def _payload(self) -> list[str]:
        return self.cluster.heartbeat_payload()

    def _assemble(self, number: int, shard_count: int, voters: list[int]) -> None:
        self.broker, self.kernels = assemble(
            self.cluster, self.journal, self.stored, number, shard_count, voters, self.settings, self.random.randbytes
        )

    @property
    def core(self) -> Broker:
        assert self.broker is not None
        return self.broker

    def turn(self) -> None:
        """A round: time, words, a step, a write and its sync, and what follows from that."""
        now = self.wire.now
        cluster = self.cluster
        cluster.tick(now)
        if self.broker is None:
            self._take_place(now)
        if self.broker is None:
            return
        now_ms = WALL_MS + int(now * 1000)
        for _ in range(2):
            self.broker.step(now, now_ms)
            self.journal.carry_out()
            self.broker.receive_synced(self.journal.synced)
        self.broker.step(now, now_ms)
        self.reads += self.broker.take_wanted_reads()
        if not self.reads_wait:
            reads, self.reads = self.reads, []
            for read in reads:
                read()
        self._carry_out()
        if cluster.place is Place.FOUNDER:
            if not self.founded and self.broker.back.meta_shard.leading:
                self.founded = True
                found(cluster, self.broker, self.settings, self.settings.shards)
            look_for_place(cluster, self.broker, now)

    def _take_place(self, now: float) -> None:
        cluster = self.cluster
        if cluster.place is Place.FOUNDER:
            self._assemble(1, self.settings.shards, [self.journal.peer])
        elif cluster.place is Place.JOINED:
            assert cluster.joined is not None
            self._assemble(cluster.joined.number, cluster.joined.shard_count, [])
            cluster.receive_place(cluster.joined.cluster_id, now)

    def cycle(self) -> None:
        """Seals, writes a checkpoint and retires journal files, as far as there is reason to."""
        done = None
        if self.journal.begin_cycle(self.kernels, True):
            while done is None:
                self.journal.step()
                done = self.journal.receive_cycle(self.kernels)

    def _carry_out(self) -> None:
        self.jobs += self.cluster.take_jobs()
        if not self.disk_is_slow:
            jobs, self.jobs = self.jobs, []
            for job in jobs:
                job.done(job.run())

    def session(self) -> Session:
        session = self.core.open_session()
        session.submit([c.Authenticate(UserName("guest"), b"guest", True), c.OpenVhost(VhostName("/"))])
        session.submit([c.OpenChannel(CHANNEL)])
        replies = session.take_replies()
        assert replies == [r.Authenticated(), r.VhostOpened()], replies
        return session


class TestedCluster:
    """Nodes that are told each other's addresses."""

    __test__ = False

    def __init__(
        self,
        count: int = 3,
        shards: int = 2,
        seed: int = 1,
        static: bool = False,
        start: tuple[str, ...] | None = None,
        addresses: tuple[str, ...] | None = None,
    ) -> None:
        """``static``: all are members of all groups from the start.  ``start``: who is there at first, and is told
        ``addresses``."""
        self.voters = list(range(1, count + 1)) if static else []
        self.wire = Wire(seed, delay_s=0.0005)
        self.shards = shards
        everybody = tuple(f"n{number}" for number in range(1, count + 1))
        self.addresses = tuple(f"{name}:7000" for name in everybody) if addresses is None else addresses
        self.disks = {f"n{number}": SimDisk(1 << 40) for number in range(1, count + 1)}
        self.nodes: dict[str, ClusterNode] = {}
        self.incarnations: dict[str, int] = {}
        self.peers = {f"n{number}": number for number in range(1, count + 1)}
        """Whose the disks are."""
        self.set_aside: dict[str, list[SimDisk]] = {name: [] for name in self.disks}
        """What was found damaged."""
        self.founded: set[bytes] = set()
        """Ids of all clusters that there ever were."""
        for name in everybody if start is None else start:
            self.start(name)

    def start(self, name: str, peer: int = 0, port: int = 7000) -> ClusterNode:
        """As the process does: whose data is damaged puts it aside and comes as another peer, which founds nothing."""
        self.peers[name] = peer or self.peers[name]
        try:
            node = self._start(name, port)
        except Damage:
            self.put_aside(name)
            node = self._start(name, port)
        self.nodes[name] = node
        return node

    def put_aside(self, name: str) -> None:
        self.set_aside[name].append(self.disks[name])
        self.disks[name] = SimDisk(1 << 40)
        self.peers[name] += PEER_STEP

    def _start(self, name: str, port: int) -> ClusterNode:
        incarnation = self.incarnations[name] = self.incarnations.get(name, 0) + 1
        disk, may_found = self.disks[name], not self.set_aside[name]
        voters = self.voters if may_found else []
        return ClusterNode(
            self.wire, name, self.peers[name], incarnation, disk, self.addresses, self.shards, voters, may_found, port
        )

    def kill(self, name: str) -> None:
        self.wire.kill(name)
        self.nodes.pop(name).journal.abandon()
        self.disks[name].kill()

    def restart_all(self) -> None:
        """So that nothing is in memory; returns once it is settled."""
        names = list(self.nodes)
        for name in names:
            self.kill(name)
        for name in names:
            self.start(name)
        self.run(1)
        self.settle()

    def run(self, seconds: float) -> None:
        until = self.wire.now + seconds
        while self.wire.now < until:
            self.wire.run(STEP_S)
            for node in list(self.nodes.values()):
                node.turn()
                self.founded.add(node.cluster.identity.cluster_id)
                self.wire._pump()

    def leader_of(self, shard: int) -> ClusterNode | None:
        leading = [node for node in self.nodes.values() if node.broker and node.broker.back.shards[shard].leading]
        return leading[-1] if leading else None

    def settled(self) -> bool:
        """Every shard has a leader that hands out, and as many voters as it is to have."""
        for shard in range(self.shards + 1):
            leader = self.leader_of(shard)
            if leader is None or not leader.core.back.shards[shard].hands_out:
                return False
            voters, outgoing, _, _ = leader.kernels[shard].conf()
            if len(voters) < min(3, len(self.nodes)) or outgoing:
                return False
        return True

    def shard_of(self, queue: str) -> int:
        node = next(iter(self.nodes.values()))
        return next(row.shard for row in node.core.back.topology.queues() if row.spec.name == queue)

    def settle(self, seconds_max: float = 30.0) -> float:
        """Runs until it is settled, and there is a vhost; how long that took."""
        begin = self.wire.now
        while self.voters and (meta := self.leader_of(0)) is None:
            self.run(0.1)
        if self.voters and meta is not None and not meta.core.founded:
            for command in founding_commands(bytes(16), DEFAULT_USER, DEFAULT_PASSWORD):
                meta.core.back.submit(command)
            self.run(0.5)
        while not self.settled():
            self.run(0.1)
            assert self.wire.now - begin < seconds_max, "it does not settle"
        return self.wire.now - begin

    def ask(self, session: Session, *commands: c.Command, seconds: float = 0.2) -> list[r.Reply]:
        session.submit(commands)
        self.run(seconds)
        return session.take_replies()
