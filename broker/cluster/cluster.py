"""A node in its cluster: what its links bring goes to the groups and to the core, and what they say goes out.

Pure: it is told of frames and of time, and sends through ``Peers``.  A fresh node first finds its cluster
(``formation.py``); then it is given its core (``begin``).
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from broker.cluster.departures import Departures
from broker.cluster.formation import Formation, Step
from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import APPEND, CONSENSUS, FORWARD, Channel, Kind
from broker.cluster.hello import FRESH, VERSION_MAX, Identity, PeerInfo
from broker.cluster.lease import Lease
from broker.cluster.member_words import AskMember, Join, Joined, Lead, NoMember, Refusing, ShardStatus
from broker.cluster.membership import LOOK_INTERVAL_S, Membership
from broker.cluster.peer import SUSPICION_S
from broker.cluster.peers import Peers, Receiver
from broker.cluster.replication import ELECTION_TICKS, ELECTION_TIMEOUT_S, Replication
from broker.cluster.snapshots import Job
from broker.cluster.words import Word, WordCodec
from broker.core.broker import Broker
from broker.core.forwarding import Forwarding
from broker.core.outcomes import Outcome, Refused
from broker.core.replicated_shard import ReplicatedShard
from broker.core.topology_commands import PutNode
from broker.model.names import NO_PEER, PeerId
from kernel.journal import Damage
from kernel.journal import Import as StoreImport

log = structlog.get_logger()


STOPPING, SHORT = "stopping", "no space"
"""In a heartbeat's payload."""
RENEW_S = 5.0
"""Between two looks at this node's own row."""
SOUGHT_S = 600.0
"""For how long a node is looked for at an address that somebody named."""
SOUGHT_COUNT_MAX = 16


class ClusterSettings(msgspec.Struct, frozen=True):
    """``addresses``: host:port of the other nodes, as far as they are known from the start."""

    addresses: tuple[str, ...] = ()
    zone: str = ""
    replace_dead_after_s: float = 0.0
    suspicion_s: float = SUSPICION_S
    """Of silence, after which a node counts as away; the same on all."""
    election_timeout_s: float = ELECTION_TIMEOUT_S
    version: int = VERSION_MAX
    """The newest that this node understands."""


class Place(enum.Enum):
    """What a node has found out about where it belongs."""

    SEEKING = enum.auto()
    FOUNDER = enum.auto()
    JOINED = enum.auto()
    MEMBER = enum.auto()


class Cluster:
    """One node's."""

    def __init__(
        self,
        identity: Identity,
        settings: ClusterSettings,
        make_peers: Callable[[Receiver], Peers],
        now: float,
    ) -> None:
        """``make_peers``: the node's links, whose ticks are the edge's."""
        self.identity = identity
        self.settings = settings
        self.peers = make_peers(self)
        self.peers.set_addresses(settings.addresses, now)
        self.is_short: Callable[[], bool] = lambda: False
        """Whether the disk here has no room left."""
        self.flushed: Callable[[], None] = lambda: None
        """What was sent is to leave."""
        self.removed = False
        """It was a member, and is none any more: it serves nobody."""
        self.stirring = False
        """A step of the core would do something that it doesn't know of itself."""
        self.tick_s = settings.election_timeout_s / ELECTION_TICKS
        self.place = Place.SEEKING if identity.cluster_id == FRESH else Place.MEMBER
        self.joined: Joined | None = None
        """What a fresh node was told when it was taken in."""
        self.seen: dict[int, PeerInfo] = {}
        self.forwarding: Forwarding | None = None
        self.membership: Membership | None = None
        self.replication: Replication | None = None
        self.departures: Departures | None = None
        self.lease = Lease(self.peers.heard_us_at, identity.peer, settings.suspicion_s)
        self.shards: Sequence[ReplicatedShard] = ()
        """The groups here, the meta shard first."""
        self._broker: Broker | None = None
        self._up: dict[int, PeerInfo] = {}
        self._stopping: set[int] = set()
        """Nodes that say so: they are not to lead."""
        self._leaving = False
        self._formation = Formation(identity.peer, settings.addresses, identity.may_found)
        self._codec = WordCodec()
        self._ticked_at = self._now = now
        self.failure: Exception | None = None
        """What the disk did, after which this node has left its shards: for good, until it starts again."""
        self._find_failure: Callable[[], Exception | None] = lambda: None
        self._read_failure: Exception | None = None
        self._look_at = self._renew_at = now
        self._addresses: tuple[str, ...] = settings.addresses
        self._sought: dict[str, float] = {}
        self._members: list[PeerId] = []
        self._members_index = self._addresses_index = -1
        """Of the topology that members, and addresses, are of."""

    def begin(
        self,
        broker: Broker,
        shards: Sequence[ReplicatedShard],
        begin_import: Callable[[int], StoreImport],
        find_failure: Callable[[], Exception | None],
    ) -> None:
        """Its core: ``shards``, the meta shard first.

        ``begin_import`` of the store, for a shard's snapshot; ``find_failure``: what it failed by, if it did.
        """
        self._broker = broker
        self.shards = shards
        self._find_failure = find_failure
        broker.guard_read = self._guard_read
        self.replication = Replication(shards, self.peers, self.identity.peer, begin_import)
        self.forwarding = broker.join(shards, self._send)
        self.membership = Membership(
            broker.back,
            shards,
            self.forwarding,
            self.identity.peer,
            self._send,
            self.settings.replace_dead_after_s,
            self.replication.snapshots.sending,
            self._stopping,
        )
        self.departures = Departures(
            shards[1:], self._is_wanted, self._begin_job, self.replication.receive_forgotten, self._ask_member
        )
        self.replication.snapshots.failed = self._receive_read_failure
        self.replication.receive_live(self.forwarding.live)
        self.replication.ceased = self.forwarding.receive_ceased
        broker.back.replica_changed = self._receive_replica_effects
        broker.after_step = self._flush
        broker.after_sync = lambda: self._flush(self._now)
        broker.before_round = self._look_at_lease
        broker.isolate(True)
        shards[0].when_applied(shards[0].barrier(), self.lease)
        for info in self._up.values():
            self._admit(info)

    def receive_place(self, cluster_id: bytes, now: float) -> None:
        """The node has a cluster now."""
        if self.identity.cluster_id == FRESH:
            self.identity = msgspec.structs.replace(self.identity, cluster_id=cluster_id)
            self.place = Place.MEMBER
            self.peers.set_cluster_id(cluster_id, now)

    # ---- from the links

    def receive_frames(self, info: PeerInfo, channel: Channel, frames: Sequence[Frame]) -> bool:
        if channel is FORWARD:
            for frame in frames:
                self._receive_word(info, self._codec.decode(frame))
            return True
        replication = self.replication
        if replication is None or info.cluster_id != self.identity.cluster_id:
            return False
        if channel is CONSENSUS:
            return replication.receive(info.peer, frames)
        due = False
        for is_append, alike in itertools.groupby(frames, lambda frame: frame.kind == APPEND):
            if is_append:
                due |= replication.receive(info.peer, list(alike))
            else:
                due = True
                for frame in alike:
                    self._receive_of_snapshot(replication, info.peer, frame)
        return due

    def _receive_of_snapshot(self, replication: Replication, peer: int, frame: Frame) -> None:
        if frame.kind == Kind.SNAPSHOT_REQUEST:
            replication.snapshots.receive_request(peer, frame, self._now)
        else:
            replication.snapshots.receive_chunk(peer, frame)

    def _is_wanted(self, shard: ReplicatedShard) -> bool:
        """A replica is to be here, by the topology as it is known, or one is on its way."""
        assert self._broker is not None
        assert self.replication is not None
        row = self._broker.back.topology.shard_row(shard.id)
        return row is None or self.identity.peer in row.replicas or self.replication.snapshots.is_fetching(shard.id)

    def _ask_member(self, shard: ReplicatedShard, contacts: int) -> None:
        assert self.forwarding is not None
        for peer in self.forwarding.live:
            self._send(peer, AskMember(shard.id, contacts))

    def _receive_ask_member(self, info: PeerInfo, word: AskMember) -> None:
        if self.membership is not None and (term := self.membership.term_without(word.shard, info.peer)) is not None:
            self._send(info.peer, NoMember(word.shard, term, word.contacts))

    def _receive_no_member(self, info: PeerInfo, word: NoMember) -> None:
        if self.departures is not None:
            self.departures.receive_no_member(word)

    def _begin_job(self, job: Job) -> None:
        assert self.replication is not None
        self.replication.snapshots.jobs.append(job)

    def take_jobs(self) -> list[Job]:
        """Work on the disk that is to be carried out."""
        if self.replication is None:
            return []
        jobs, self.replication.snapshots.jobs = self.replication.snapshots.jobs, []
        return jobs

    def _receive_word(self, info: PeerInfo, word: Word) -> None:
        handle = MEMBER_WORDS.get(type(word))
        if handle is not None:
            handle(self, info, word)
        elif self.forwarding is not None:
            self.forwarding.receive(info.peer, word)  # type: ignore[arg-type]

    def receive_heartbeat(self, info: PeerInfo, payload: list[Any], now: float) -> None:
        """It says that the node is alive, whether for long, and whether its disk has room; later versions say more."""
        (self._stopping.add if STOPPING in payload else self._stopping.discard)(info.peer)
        if self.membership is not None:
            self.membership.receive_short(info.peer, SHORT in payload)

    def heartbeat_payload(self) -> list[Any]:
        """What the others are told with every heartbeat."""
        return [STOPPING] * self._leaving + [SHORT] * self.is_short()

    def hand_over(self, now: float) -> int:
        """This node is about to stop: others are told, and asked to lead what is led here; how much still is that
        somebody could take.  To be asked again until there is none, and now and then after that."""
        if not self._leaving:
            self._leaving = True
            self.peers.beat(now)  # before their balance brings back what they took
        return 0 if self.membership is None else self.membership.hand_over()

    def peer_up(self, info: PeerInfo) -> None:
        self._up[info.peer] = info
        self._admit(info)

    def _admit(self, info: PeerInfo) -> None:
        """Only members of the same cluster speak of its shards."""
        if info.cluster_id != self.identity.cluster_id or info.cluster_id == FRESH:
            return
        if self.forwarding is not None and self.membership is not None and self._is_member(info.peer):
            assert self.replication is not None
            self.forwarding.receive_peer_up(info.peer, info.incarnation)
            self.replication.wake()
            self.membership.receive_peer_up(info.peer)

    def _is_member(self, peer: int) -> bool:
        """By the topology here, which may be behind; before there is one, everybody is."""
        assert self._broker is not None
        topology = self._broker.back.topology
        return topology.cluster() is None or topology.node(PeerId(peer)) is not None

    def _follow_members(self) -> None:
        """Who was taken in meanwhile is spoken with, and who was dropped no more: nobody may wait for it."""
        assert self.forwarding is not None
        for info in list(self._up.values()):
            is_live = info.peer in self.forwarding.live
            if not is_live:
                self._admit(info)
            elif not self._is_member(info.peer):
                self.forwarding.receive_peer_down(info.peer)
                self._send(info.peer, Refusing("it was removed from the cluster", self._meta_index))

    def peer_down(self, info: PeerInfo) -> None:
        self._up.pop(info.peer, None)
        self._stopping.discard(info.peer)
        if self.forwarding is not None and self.membership is not None:
            if info.peer in self.forwarding.live:
                self.forwarding.receive_peer_down(info.peer)
            self.membership.receive_peer_down(info.peer, self._now)
            assert self.replication is not None
            self.replication.snapshots.receive_peer_down(info.peer)

    def peer_seen(self, info: PeerInfo) -> None:
        self.seen[info.peer] = info

    @property
    def up(self) -> Mapping[int, PeerInfo]:
        """Nodes that can be spoken with."""
        return self._up

    def _send(self, peer: int, word: Word) -> None:
        self.peers.send(peer, Channel.FORWARD, [self._codec.encode(word)])

    # ---- time and rounds

    def tick(self, now: float) -> bool:
        """Called every ``tick_s`` or so, or seldom while it answers False: all groups rest."""
        self._now = now
        if self._broker is None:
            self._seek(now)
            self.flushed()
            return True
        assert self.replication is not None
        assert self.membership is not None
        if self.failure is not None:
            return False
        failure = self._find_failure() or self._read_failure
        if failure is not None:
            self._leave(failure, now)
            return False
        busy = False
        while self._ticked_at + self.tick_s <= now:
            # Who stood still does not make up for it.
            self._ticked_at = max(self._ticked_at + self.tick_s, now - self.tick_s)
            if not self.replication.tick():
                self._ticked_at = now  # all rest, and would the second time
                break
            busy = True
        if now >= self._look_at or not busy:
            self._look_at = now + LOOK_INTERVAL_S
            self._look(self._broker, now)
        self.replication.snapshots.look(now)
        self._hold_lease(self._broker, now)
        self._flush(now)
        return busy

    def _look(self, broker: Broker, now: float) -> None:
        """What no group's clock hurries for: with every tick only while they rest, when ticks are seldom."""
        assert self.membership is not None
        assert self.departures is not None
        self.membership.receive_short(self.identity.peer, self.is_short())
        self.membership.tick(now)
        self.departures.look(now)
        self._follow_members()
        self._renew_row(broker, now)
        self._follow_addresses(now)

    def _hold_lease(self, broker: Broker, now: float) -> None:
        assert self.forwarding is not None
        index = broker.back.meta_index
        if index != self._members_index:
            self._members_index = index
            self._members = [row.peer for row in broker.back.topology.nodes()]
        isolated = not self.lease.update(self._members, now, index, self.forwarding.seen_index)
        isolated |= self.removed
        self.stirring |= isolated != broker.isolated
        if isolated != broker.isolated:
            broker.isolate(isolated)

    def _look_at_lease(self, now: float) -> None:
        """A process that stood still takes in what came meanwhile before its next tick."""
        assert self._broker is not None
        if self.lease.held and now >= self.lease.ends_at:
            self._hold_lease(self._broker, now)

    def _flush(self, now: float) -> None:
        """After a step: what the groups say goes out."""
        self._now = now
        if self.failure is not None:
            return
        if self.replication is not None:
            self.replication.flush()
        self.flushed()

    # ---- a disk that fails

    def _guard_read(self, read: Callable[[], object]) -> Callable[[], object]:
        """It runs on any thread; what it fails by is seen at the next tick."""

        def carry_out() -> None:
            try:
                read()
            except (Damage, OSError) as error:
                self._read_failure = error

        return carry_out

    def _receive_read_failure(self, error: OSError) -> None:
        self._read_failure = error

    def _leave(self, failure: Exception, now: float) -> None:
        """What this node wrote may be gone: it says nothing more and confirms nothing more, and the others, who lose
        its links, do without it at once."""
        self.failure = failure
        log.error("the disk failed: this node leaves its shards", why=str(failure))
        self.peers.stop(now)
        assert self.forwarding is not None
        for shard in self.shards:
            shard.leave(str(failure))
            if shard.leading:
                self.forwarding.end_leading(shard)
        self.flushed()

    def _renew_row(self, broker: Broker, now: float) -> None:
        """What the cluster knows of this node is what it was started with."""
        row = broker.back.topology.node(PeerId(self.identity.peer))
        if row is None or row.state != "member" or now < self._renew_at or not self.shards[0].reachable:
            return
        self._renew_at = now + RENEW_S
        address, zone, version = self.identity.address, self.settings.zone, self.settings.version
        if (row.address, row.zone, row.version) != (address, zone, version):
            broker.back.submit(PutNode(row.peer, row.name, address, zone, version=version))

    def _follow_addresses(self, now: float) -> None:
        """Members are dialed where their rows say."""
        assert self._broker is not None
        index = self._broker.back.meta_index
        if index == self._addresses_index and not self._sought:
            return
        self._addresses_index = index
        rows = self._broker.back.topology.nodes()
        of_rows = [row.address for row in rows if row.peer != self.identity.peer]
        self._sought = {address: until for address, until in self._sought.items() if now < until}
        addresses = tuple(dict.fromkeys((*self.settings.addresses, *of_rows, *self._sought)))
        if addresses != self._addresses:
            self._addresses = addresses
            self.peers.set_addresses(addresses, now)

    def look_for(self, address: str) -> bool:
        """A node that is to be taken in may be there; False: too many are being looked for."""
        if address not in self._sought and len(self._sought) >= SOUGHT_COUNT_MAX:
            return False
        self._sought[address] = self._now + SOUGHT_S
        return True

    @property
    def broker(self) -> Broker | None:
        """Its core, once it has one."""
        return self._broker

    @property
    def now(self) -> float:
        """Of the last tick or step."""
        return self._now

    def _receive_replica_effects(
        self,
        shard: ReplicatedShard,
        applied: Sequence[tuple[int, int, int]],
        standing: tuple[bool, int, int] | None,
        now: float,
    ) -> None:
        assert self.replication is not None
        assert self.forwarding is not None
        if self.failure is not None:
            return
        if standing is not None:
            serving, leader, term = standing
            self.replication.receive_standing(shard, leader, term)
            if shard.leading and not (serving and term == shard.term):
                self.forwarding.end_leading(shard)
            if serving and not shard.leading:
                self.forwarding.begin_leading(shard, term, now)
        if shard.leading and applied:
            self.forwarding.receive_applied(shard, applied)

    # ---- finding a cluster, and taking others in

    def _seek(self, now: float) -> None:
        if self.place is not Place.SEEKING:
            return
        step, member = self._formation.next_step(self.seen, self.peers.answered(), self._up, now)
        if step is Step.FOUND:
            self.place = Place.FOUNDER
        elif step is Step.ASK:
            self._send(member, Join(self.identity.node_name, self.identity.address, self.settings.zone))

    def why_waiting(self) -> str:
        """For people: why there is no cluster yet."""
        return self._formation.why_waiting(self.seen, self.peers.answered())

    def _receive_join(self, info: PeerInfo, word: Join) -> None:
        if self._broker is None or self.identity.cluster_id == FRESH:
            return
        back = self._broker.back
        named = [row for row in back.topology.nodes() if row.name == word.node_name and row.state == "member"]
        replaces = NO_PEER
        for row in named:
            if row.peer != info.peer and row.peer != self.identity.peer and row.peer not in self._up:
                replaces = row.peer  # it is gone, and whoever has its name now lost its disk
        put = PutNode(PeerId(info.peer), word.node_name, word.address, word.zone, replaces, info.version_max)

        def answer(outcome: Outcome) -> None:
            if isinstance(outcome, Refused):
                self._send(info.peer, Refusing(outcome.detail, back.meta_index))
                return
            cluster, node = back.topology.cluster(), back.topology.node(PeerId(info.peer))
            if cluster is not None and node is not None:
                joined = Joined(cluster.cluster_id, node.number, cluster.shard_count, back.meta_index)
                self._send(info.peer, joined)

        back.submit(put, answer)

    def _receive_joined(self, info: PeerInfo, word: Joined) -> None:
        if self.place is Place.SEEKING and word.cluster_id == info.cluster_id:
            self.joined = word
            self.place = Place.JOINED

    def _receive_refusing(self, info: PeerInfo, word: Refusing) -> None:
        if self.place is Place.MEMBER:
            if word.index < self._belongs_index():
                return  # its topology is of before this node came
            self.removed = True
        log.error("the cluster has no place for this node", said_by=info.node_name, why=word.why)

    def _belongs_index(self) -> int:
        """The newest topology that is known here to have this node."""
        joined_index = 0 if self.joined is None else self.joined.index
        assert self._broker is not None
        known = self._broker.back.topology.node(PeerId(self.identity.peer)) is not None
        return max(joined_index, self._meta_index if known else 0)

    @property
    def _meta_index(self) -> int:
        assert self._broker is not None
        return self._broker.back.meta_index

    def _receive_status(self, info: PeerInfo, word: ShardStatus) -> None:
        if self.membership is not None:
            self.membership.receive_status(info.peer, word, self._now)

    def _receive_lead(self, info: PeerInfo, word: Lead) -> None:
        if self.membership is not None:
            self.membership.receive_lead(word.shard, word.to)


MEMBER_WORDS: dict[type, Callable[[Cluster, PeerInfo, Any], None]] = {
    Join: Cluster._receive_join,
    Joined: Cluster._receive_joined,
    Refusing: Cluster._receive_refusing,
    ShardStatus: Cluster._receive_status,
    Lead: Cluster._receive_lead,
    AskMember: Cluster._receive_ask_member,
    NoMember: Cluster._receive_no_member,
}
