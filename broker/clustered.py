"""A node of a cluster, at work: its directory, its links, its core, and the way there.

Beside ``main.py`` it is the only one that knows the cluster, the server and the configuration.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import trio

from broker.cluster.assembly import CoreSettings, Stored, assemble, found, look_for_place, open_meta
from broker.cluster.cluster import Cluster, ClusterSettings, Place
from broker.cluster.hello import FEATURES, FRESH, VERSION_MAX, VERSION_MIN, Identity, Secret, Terms
from broker.cluster.overview import Overview
from broker.cluster.peers import Peers, Receiver
from broker.cluster.snapshots import Job
from broker.cluster.tls import TlsContexts, TlsFiles, TlsUnusable, load_tls
from broker.cluster.transport import AddressUnavailable, Transport, listen, resolve
from broker.config.addresses import CLUSTER_PORT, parse_address
from broker.config.cluster_secret import read_secret
from broker.config.problem import ConfigError
from broker.config.schema import Cluster as ClusterSection
from broker.core.broker import Broker
from broker.core.replicated_shard import ReplicatedShard
from broker.core.session import Session
from broker.model.names import PeerId
from broker.server.engine import Engine
from broker.server.serve import now_ms
from kernel import Counters
from kernel import Shard as KernelShard
from kernel.journal import Damage, Journal
from store.files import DataDirectory

log = structlog.get_logger()


class ClusterUnavailable(Exception):
    """The node can't take part in a cluster as it is configured; says why."""


class DiskFailed(Exception):
    """The node has left its shards, and must be started anew; says what the disk did."""


DISK_FAILED = "the disk failed: connect to another node"
"""What clients are told."""
REMOVED = "this node was removed from its cluster"
STARTING_TURN_S = 0.005
"""Between two rounds while the node finds its cluster; afterwards the server makes them."""
IDLE_TICKS = 10
"""Of Raft's clock, between two looks while all groups rest, at most."""
LEAVE_S = 2.0
"""For others to lead what is led here, before this node stops; then they elect without being asked."""
WAITING_LINE_S = 10.0
"""After which somebody who waits for a cluster is told again what for."""


class ClusteredNode:
    """One node's core over its data directory, and its links to the others."""

    def __init__(self, directory: DataDirectory, journal: Journal, cluster: Cluster, transport: Transport) -> None:
        self.directory = directory
        self.journal = journal
        self.cluster = cluster
        self.transport = transport
        self.overview = Overview(cluster, transport.trouble)
        self.kernels: list[KernelShard] = []
        """The logged shards, the meta shard first."""
        self._nursery: trio.Nursery | None = None
        self._broker: Broker | None = None
        self._ring: Callable[[], None] = lambda: None
        self._say_goodbye: Callable[[str, float], None] = lambda detail, now: None
        self._leaving = False
        self._failed = trio.Event()

    @property
    def broker(self) -> Broker:
        assert self._broker is not None, "it has come in"
        return self._broker

    def why_not_ready(self) -> str | None:
        """Why clients can't be served at present, if they can't."""
        if self.cluster.failure is not None:
            return f"the disk failed, this node has left its shards: {self.cluster.failure}"
        if self._broker is None:
            return self.cluster.why_waiting()
        if self.cluster.removed or self._broker.back.topology.node(PeerId(self.journal.peer)) is None:
            return REMOVED
        for shard in self._broker.back.shards:
            if isinstance(shard, ReplicatedShard) and not shard.reachable and shard.logged:
                return f"shard {shard.id} has no leader that can be reached"
        return self._broker.alarm

    def why_not_in(self) -> str:
        """For people: what it waits for before it serves."""
        if self._broker is None:
            return self.cluster.why_waiting()
        return "waiting for what its cluster is made of, queues and users: a majority of the nodes tells"

    def close(self) -> None:
        """All that was submitted is written, the journal is marked as closed cleanly, the directory let go."""
        self.transport.close()
        self.journal.close()

    # ---- coming in

    async def come_in(self, nursery: trio.Nursery, stored: Stored, settings: CoreSettings, counters: Counters) -> None:
        """Finds the cluster, or founds it; returns once there is a core that knows the topology.

        ``nursery``: for what goes on behind the rounds.
        """
        self._nursery = nursery
        nursery.start_soon(self.transport.run)
        place = stored.place(self.journal.peer)
        if place is not None:
            self._assemble(stored, place[1], place[2], [], settings, counters)
        founding = False
        told_at = -WAITING_LINE_S
        while not self._has_come_in():
            now = trio.current_time()
            self._turn(now)
            if self._broker is None:
                if now >= told_at + WAITING_LINE_S and self.cluster.place is Place.SEEKING:
                    told_at = now
                    log.info("looking for a cluster", waiting=self.cluster.why_waiting())
                founding = self._take_place(stored, settings, counters, now)
            elif founding and self.broker.back.meta_shard.leading:
                founding = False
                found(self.cluster, self.broker, settings, settings.shards)
            if self._broker is not None and self.cluster.place is Place.FOUNDER:
                look_for_place(self.cluster, self.broker, now)
            await trio.sleep(STARTING_TURN_S)

    def _has_come_in(self) -> bool:
        return self._broker is not None and self._broker.founded and self.cluster.place is Place.MEMBER

    def _take_place(self, stored: Stored, settings: CoreSettings, counters: Counters, now: float) -> bool:
        """Whether it founds."""
        cluster = self.cluster
        if cluster.place is Place.FOUNDER:
            log.info("founding the cluster", name=cluster.identity.cluster_name)
            self._assemble(stored, 1, settings.shards, [self.journal.peer], settings, counters)
            return True
        if cluster.place is Place.JOINED:
            assert cluster.joined is not None
            log.info("taken in", cluster=cluster.identity.cluster_name, number=cluster.joined.number)
            self._assemble(stored, cluster.joined.number, cluster.joined.shard_count, [], settings, counters)
            cluster.receive_place(cluster.joined.cluster_id, now)
        return False

    def _assemble(
        self,
        stored: Stored,
        number: int,
        shard_count: int,
        voters: list[int],
        settings: CoreSettings,
        counters: Counters,
    ) -> None:
        self._broker, self.kernels = assemble(
            self.cluster,
            self.journal,
            stored,
            number,
            shard_count,
            voters,
            settings,
            os.urandom,
            lambda: dict(counters.values()),
        )

    def _turn(self, now: float) -> None:
        """A round of one that serves nobody yet."""
        self.cluster.tick(now)
        self.raise_failure()
        if self._broker is not None:
            self._broker.receive_synced(self.journal.synced)
            self._broker.step(now, now_ms())
        self._begin_jobs()

    def _begin_jobs(self) -> None:
        if self._nursery is not None:
            for job in self.cluster.take_jobs():
                self._nursery.start_soon(self._carry_out, job)

    async def _carry_out(self, job: Job) -> None:
        job.done(await trio.to_thread.run_sync(job.run))
        self._begin_jobs()
        self._ring()

    # ---- at work

    def receive_engine(self, engine: Engine[Session]) -> None:
        """The server is there: it makes rounds when it is asked to, and reads the links in them."""
        self._ring = engine.ring
        self._say_goodbye = engine.say_goodbye
        self.transport.read_by(engine)

    def ring(self) -> None:
        """The links brought something."""
        self._begin_jobs()
        self._ring()

    async def tick(self) -> None:
        """Time for the cluster.  Never returns."""
        busy = True
        while True:
            cluster = self.cluster
            if busy:
                await trio.sleep(cluster.tick_s)
            else:
                await self.rest(IDLE_TICKS * cluster.tick_s)
            busy = cluster.tick(trio.current_time())
            if self._leaving and self._hand_over():
                cluster.stirring = True  # the balance of leaders may have brought some back
            if cluster.failure is not None:
                self._failed.set()
            if cluster.removed:  # whoever is here, or comes, would wait for ever
                self._say_goodbye(f"{REMOVED}: connect to another one", trio.current_time())
            self._begin_jobs()
            assert cluster.forwarding is not None
            if cluster.stirring or cluster.forwarding.has_words or self.broker.pending:
                cluster.stirring = False
                self._ring()

    async def rest(self, seconds: float) -> None:
        """At most so long: until heartbeats are sent, as each wake of an idle process costs more than its work."""
        with trio.move_on_after(seconds):
            await self.transport.beat()

    async def leave(self) -> None:
        """Before it stops: others lead what is led here, so that their clients notice nothing."""
        self._leaving = True
        begun = trio.current_time()
        with trio.move_on_after(LEAVE_S):
            while left := self._hand_over():
                self._ring()
                await trio.sleep(self.cluster.tick_s)
        log.info("leadership handed over", left=left, seconds=round(trio.current_time() - begun, 3))

    def _hand_over(self) -> int:
        """How many shards are led here that another node could lead."""
        return self.cluster.hand_over(trio.current_time())

    async def fail(self) -> str:
        """Waits until this node can't go on; what clients are then told."""
        await self._failed.wait()
        return DISK_FAILED

    def raise_failure(self) -> None:
        """Raises kernel.journal.Damage or DiskFailed if the disk did that."""
        failure = self.cluster.failure
        if isinstance(failure, Damage):
            raise failure
        if failure is not None:
            raise DiskFailed(
                f"{failure}. What it last wrote may be gone: start it again, it reads what there is"
            ) from failure


async def open_clustered(path: Path, section: ClusterSection, journal_file_size: int) -> tuple[ClusteredNode, Stored]:
    """Opens or makes the directory, and listens to other nodes.

    Raises store.files.DirectoryInUse, kernel.journal.Damage, OSError or ClusterUnavailable.
    """
    where = parse_address(section.listen, CLUSTER_PORT)
    files = section.tls
    try:
        secret = read_secret(section)
        tls = load_tls(TlsFiles(files.ca_file, files.cert_file, files.key_file)) if files.ca_file else None
        listeners = await listen(where.host, where.port)
    except (ConfigError, TlsUnusable, AddressUnavailable) as error:
        raise ClusterUnavailable(str(error)) from error
    journal: Journal | None = None
    try:
        directory = DataDirectory(path)
        journal = directory.open_journal(journal_file_size)
        journal.start_driver()
        incarnation = directory.next_incarnation(time.time_ns())
        seed = random.SystemRandom().getrandbits(63)
        stored = open_meta(journal, incarnation, CoreSettings(), seed)
        identity = _identify(directory, journal, incarnation, stored, section)
        terms = Terms(identity, Secret(secret), not secret, VERSION_MIN, VERSION_MAX, FEATURES)
        addresses = await addresses_of(section)
        return _make_node(directory, journal, terms, section, addresses, listeners, tls, random.Random(seed)), stored
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        if journal is not None:
            journal.close()
        raise


def _identify(
    directory: DataDirectory, journal: Journal, incarnation: int, stored: Stored, section: ClusterSection
) -> Identity:
    place = stored.place(journal.peer)
    if (spoken := stored.topology.cluster_version()) > VERSION_MAX:
        raise ClusterUnavailable(
            f"the cluster speaks version {spoken} and this Dragoman understands {VERSION_MAX}: start a newer one"
        )
    return Identity(
        journal.peer,
        incarnation,
        FRESH if place is None else place[0],
        section.cluster_name,
        section.name_of_node,
        str(parse_address(section.advertise or section.listen, CLUSTER_PORT)),
        may_found=not directory.lost,
    )


def _make_node(
    directory: DataDirectory,
    journal: Journal,
    terms: Terms,
    section: ClusterSection,
    addresses: Sequence[str],
    listeners: Sequence[trio.SocketListener],
    tls: TlsContexts | None,
    drawn: random.Random,
) -> ClusteredNode:
    settings = ClusterSettings(
        tuple(addresses), section.zone, section.replace_dead_after, section.suspect_after, section.election_timeout
    )
    made: list[Transport] = []

    def make_peers(receiver: Receiver) -> Peers:
        made.append(
            Transport(
                terms,
                listeners,
                receiver,
                payload,
                ring,
                drawn,
                tls,
                heartbeat_interval_s=section.heartbeat_interval,
                suspicion_s=section.suspect_after,
            )
        )
        return made[0].peers

    def ring() -> None:
        node.ring()

    def payload() -> list[str]:
        return cluster.heartbeat_payload()

    cluster = Cluster(terms.identity, settings, make_peers, trio.current_time())
    cluster.flushed = made[0].flush
    node = ClusteredNode(directory, journal, cluster, made[0])
    return node


async def addresses_of(section: ClusterSection) -> list[str]:
    """Of the other nodes; a name that stands for several addresses is several nodes."""
    addresses: list[str] = []
    for text in section.peers:
        address = parse_address(text, CLUSTER_PORT)
        found = await resolve(str(address)) if address.is_name else []
        addresses += found or [str(address)]  # one that is not known yet is looked up again when it is dialed
    return list(dict.fromkeys(addresses))
