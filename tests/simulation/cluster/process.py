"""A node's process from start to end: the real core, cluster, engine and kernel, in rounds as the product makes them.

Everything it does is one of a few calls at times: a tick, a round, a write of the journal, its sync, a read, a step of
the house-keeping.  A paused process does none of them until it goes on; what reaches it meanwhile waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from broker.cluster.assembly import CoreSettings, assemble, found, look_for_place, open_meta
from broker.cluster.cluster import Cluster, ClusterSettings, Place
from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Channel
from broker.cluster.hello import FRESH, Identity, PeerInfo, Secret, Terms
from broker.cluster.peer_link import PeerLink
from broker.cluster.peers import Peers, Receiver
from broker.cluster.snapshots import Job
from broker.clustered import IDLE_TICKS, REMOVED
from broker.core.broker import Broker
from broker.core.session import Session
from broker.server.admission import Admission, ConnectionLimits
from broker.server.buffers import Buffers
from broker.server.connection import Opened, Peer
from broker.server.engine import Engine
from kernel import AmqpDecoder, MqttDecoder, PublishEncoder, StompDecoder
from kernel import Shard as KernelShard
from kernel.journal import Damage, Journal
from protocols.amqp.connection import AmqpAdapter
from protocols.amqp.settings import AmqpSettings
from protocols.mqtt.connection import MqttAdapter
from protocols.mqtt.settings import MqttSettings
from protocols.stomp.connection import StompAdapter
from protocols.stomp.settings import StompSettings
from tests.simulation.cluster.machine import Machine
from tests.simulation.cluster.stopping import Stopping

if TYPE_CHECKING:
    from tests.simulation.cluster.client_wire import ClientWire
    from tests.simulation.cluster.net import End
    from tests.simulation.cluster.simulation import ClusterSimulation

STORE = bytes(16)
SECRET = b"the net's secret"
PEER_OF_CLIENTS = Peer("127.0.0.1", 1, True)
SETTINGS = AmqpSettings(frame_size_max=4096, heartbeat_s=0)
MQTT_SETTINGS = MqttSettings(max_queued_messages=1_000_000, keep_alive_max_s=None)
"""Nothing is dropped from a client's queue, and who is silent is not hung up on."""
STOMP_SETTINGS = StompSettings()
TICK_US = 50_000
NEVER_US = 1 << 62


class HearingCluster(Cluster):
    """Knows whether the links told it anything, as the transport's edge does."""

    told = False
    heard: Callable[[PeerInfo, bool], None] = staticmethod(lambda info, up: None)
    dropped: Callable[[int], None] = staticmethod(lambda peer: None)
    """Told of a node that is heard and no member any more."""

    def _follow_members(self) -> None:
        assert self.forwarding is not None
        before = set(self.forwarding.live)
        super()._follow_members()
        for peer in before.difference(self.forwarding.live):
            self.dropped(peer)

    def receive_frames(self, info: PeerInfo, channel: Any, frames: Any) -> bool:
        self.told |= super().receive_frames(info, channel, frames)
        return self.told

    def peer_up(self, info: PeerInfo) -> None:
        self.told = True
        self.heard(info, True)
        super().peer_up(info)

    def peer_down(self, info: PeerInfo) -> None:
        self.told = True
        self.heard(info, False)
        super().peer_down(info)


class Process:
    """One start of one node."""

    def __init__(self, machine: Machine, world: ClusterSimulation) -> None:
        """Raises OSError or Damage."""
        plan = world.plan
        self.machine = machine
        self.name = machine.name
        self.world = world
        self.alive = True
        self.paused = False
        self.broker: Broker | None = None
        self.engine: Engine[Session] | None = None
        self.kernels: list[KernelShard] = []
        self.wires: list[ClientWire] = []
        """To its clients."""
        self.stopping: Stopping | None = None
        self.began = False
        """A write was begun and is to be synced."""
        self.poisoned_at: int | None = None
        self.applied: dict[int, int] = {}
        """By shard: the index of the last entry that was seen applied here."""
        self.departed = 0
        """Replicas that it was seen to forget."""
        self.led: dict[int, int] = {}
        """By shard: the term that it was last seen to lead in."""
        self._encoder = PublishEncoder()
        self._events = world.events
        self._random = machine.random
        self._links_at = -math.inf
        """When the links are ticked next."""
        self._deferred: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._arrived: dict[End, None] = {}
        """What is to be read."""
        self._turn_at_us = NEVER_US
        """When the next round comes."""
        self._due_at_us = NEVER_US
        """When one is due although nothing comes."""
        self._alarm_at_us = NEVER_US
        """When that is looked at: not later, and maybe too early."""
        self._writing = False
        self._founding = False
        self._stepping = False
        self._settings = CoreSettings(shards=plan.shard_count, cache_size_max=plan.cache_size)
        machine.incarnation += 1
        self.journal = Journal.open_on(machine.disk, machine.peer, STORE, plan.file_size)
        self._stored = open_meta(self.journal, machine.incarnation, self._settings, self._random.getrandbits(32))
        place = self._stored.place(machine.peer)
        cluster_id = FRESH if place is None else place[0]
        identity = Identity(machine.peer, machine.incarnation, cluster_id, "test", machine.name, machine.address)
        terms = Terms(identity, Secret(SECRET), False, 1, 1, ())
        draw = self._random.randbytes
        now = self.now

        def make_peers(receiver: Receiver) -> Peers:
            return Peers(terms, receiver, self._random, lambda: draw(32), lambda: self.cluster.heartbeat_payload(), now)

        self.cluster = HearingCluster(identity, ClusterSettings(world.addresses_for(machine)), make_peers, now)
        self.cluster.heard = self._receive_heard
        self.cluster.dropped = world.receive_dropped
        self._send = self.cluster.peers.send
        self.cluster.peers.send = self._watch_sent  # type: ignore[method-assign]
        if place is not None:
            self._assemble(place[1], place[2], [])
        self._events.after(self._random.randint(0, TICK_US), self._tick)
        self._events.after(self._random.randint(0, TICK_US), self._plan_links)
        self._events.after(self._random.randint(100_000, 300_000), self._keep_house)

    def _assemble(self, number: int, shard_count: int, voters: list[int]) -> None:
        self.broker, self.kernels = assemble(
            self.cluster,
            self.journal,
            self._stored,
            number,
            shard_count,
            voters,
            self._settings,
            self._random.randbytes,
        )
        self.world.receive_assembled(self)
        self.ring()

    # ---- being told

    @property
    def now(self) -> float:
        return self.machine.clock.now

    def do(self, call: Callable[..., object], *arguments: Any) -> None:
        """Once it runs, if it lives."""
        if self.paused:
            self._deferred.append((call, arguments))
        elif self.alive:
            call(*arguments)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        deferred, self._deferred = self._deferred, []
        for call, arguments in deferred:
            self.do(call, *arguments)

    def receive_told(self) -> None:
        """After anything that the links were told: a round, if it was told on."""
        if self.cluster.told:
            self.cluster.told = False
            self.ring()
        else:
            self.plan_write()

    def _receive_heard(self, info: PeerInfo, up: bool) -> None:
        self.world.receive_heard(self, info.node_name, info.incarnation, up)

    def _watch_sent(self, peer: int, channel: Channel, frames: Sequence[Frame]) -> bool:
        if channel is Channel.CONSENSUS:
            self.world.invariants.receive_sent(self, frames)
        return self._send(peer, channel, frames)

    def note_closing(self, link: PeerLink) -> None:
        closing = link.closing
        assert closing is not None
        self.world.note_closing(self, closing)

    # ---- rounds

    def ring(self) -> None:
        """A round is due, and is to do all that a round does."""
        if self.engine is not None:
            self.engine.due = True
        self._stir()

    def receive_arrived(self, end: End) -> None:
        """A connection can be read."""
        self._arrived[end] = None
        self._stir()

    def _stir(self) -> None:
        """A round is due, which may find that there is little to do."""
        if self._turn_at_us == NEVER_US:
            self._plan_turn(self._events.now_us + self.world.round_delay_us())

    def _plan_turn(self, when_us: int) -> None:
        if when_us < self._turn_at_us:
            self._turn_at_us = when_us
            self._events.at(when_us, self._turn, when_us)

    def _turn(self, when_us: int) -> None:
        if when_us == self._turn_at_us and self.alive:
            if self.paused:
                self._deferred.append((self._turn, (when_us,)))
            else:
                self._round()

    def _plan_alarm(self, due_at_us: int) -> None:
        """A round when nothing else calls for one before."""
        self._due_at_us = due_at_us
        if due_at_us < self._alarm_at_us:
            self._alarm_at_us = due_at_us
            self._events.at(due_at_us, self._alarm, due_at_us)

    def _alarm(self, when_us: int) -> None:
        if when_us != self._alarm_at_us or not self.alive:
            return
        self._alarm_at_us = NEVER_US
        if self._due_at_us <= self._events.now_us:
            assert self.engine is not None
            self.engine.due = True
            self._plan_turn(self._events.now_us)
        elif self._due_at_us < NEVER_US:
            self._plan_alarm(self._due_at_us)

    def _tick(self) -> None:
        """The groups' and the cluster's time, as ``ClusteredNode.tick`` passes it: seldom while all groups rest."""
        if not self.alive:
            return
        if self.paused:
            self._deferred.append((self._tick, ()))
            return
        cluster = self.cluster
        busy = cluster.tick(self.now)
        if self.stopping is not None:
            self.stopping.tick(self.now)
        if cluster.failure is not None:
            self._fail(cluster.failure)
            return
        if cluster.removed and self.engine is not None:
            self.engine.say_goodbye(REMOVED, self.now)
        self._events.after(TICK_US * (1 if busy else IDLE_TICKS) + self.world.tick_delay_us(), self._tick)
        broker, forwarding = self.broker, cluster.forwarding
        if self.engine is None or broker is None or forwarding is None:
            self._round()
            return
        self._begin_jobs()
        self.world.net.pump(self)
        self.plan_write()
        if cluster.stirring or forwarding.has_words or broker.pending or self.stopping is not None:
            cluster.stirring = False
            self.ring()

    def _plan_links(self) -> None:
        """Their next tick comes when they ask for it."""
        at = self.cluster.peers.next_tick
        if at != self._links_at:
            self._links_at = at
            due_in_us = self.machine.clock.us_until(at) + self.world.tick_delay_us()
            self._events.after(due_in_us, self._tick_links, at)

    def _tick_links(self, at: float) -> None:
        """The links' time, as their transport passes it."""
        if not self.alive or at != self._links_at:
            return
        if self.paused:
            self._deferred.append((self._tick_links, (at,)))
            return
        peers, now = self.cluster.peers, self.now
        peers.tick(now)
        for address, channel in peers.take_dials(now):
            self.world.net.dial(self, address, channel)
        self._plan_links()
        self.receive_told()
        self.world.net.pump(self)

    def _fail(self, failure: Exception) -> None:
        """The node has left its shards; its process ends."""
        if isinstance(failure, Damage):
            self.world.receive_damage(self, failure)
        else:
            self.world.receive_failure(self, str(failure))

    def _round(self) -> None:
        """Reads the links, then does what the product's round finds is to be done."""
        self._turn_at_us = NEVER_US
        now, engine = self.now, self.engine
        if self._arrived:
            self._read_links(engine)
        if engine is None:
            self._come_in(now)
        elif not engine.round(now):
            self.world.net.pump(self)
            self.plan_write()  # what a leader said is written though nobody here waits for it
            return
        elif engine.wanted_reads:
            reads, engine.wanted_reads = engine.wanted_reads, []
            self._begin_reads(reads)
        self._begin_jobs()
        self.world.net.pump(self)
        self.plan_write()
        if engine is not None:
            self._plan_next(engine, now)
        self.world.receive_round(self)
        if self.stopping is not None and self.stopping.is_over(now):
            self.world.receive_stopped(self, self.stopping)

    def _read_links(self, engine: Engine[Session] | None) -> None:
        arrived, self._arrived = self._arrived, {}
        self.world.net.read(self, arrived)
        self._plan_links()
        if self.cluster.told:
            self.cluster.told = False
            if engine is not None:
                engine.due = True

    def _deadline(self, engine: Engine[Session], now: float) -> float:
        """When a round is due although nothing came."""
        deadline = engine.core_deadline(now)
        return engine.deadlines.next if deadline is None else min(engine.deadlines.next, deadline)

    def _plan_next(self, engine: Engine[Session], now: float) -> None:
        if engine.due:
            self.ring()
            return
        next_at = self._deadline(engine, now)
        due_in_us = NEVER_US if next_at == math.inf else self.machine.clock.us_until(next_at)
        self._plan_alarm(self._events.now_us + due_in_us)

    def _come_in(self, now: float) -> None:
        """Finds its cluster, or founds it, until there is a core that knows the topology (as ``clustered.py`` does)."""
        cluster = self.cluster
        if self.broker is None and cluster.place is Place.FOUNDER:
            self.world.note(f"{self.name} founds the cluster")
            self._founding = True
            self._assemble(1, self._settings.shards, [self.journal.peer])
        elif self.broker is None and cluster.place is Place.JOINED:
            assert cluster.joined is not None
            self.world.note(f"{self.name} is taken in")
            self._assemble(cluster.joined.number, cluster.joined.shard_count, [])
            cluster.receive_place(cluster.joined.cluster_id, now)
        broker = self.broker
        if broker is None:
            return
        broker.receive_synced(self.journal.synced)
        broker.step(now, self.machine.clock.now_ms())
        self._begin_reads(broker.take_wanted_reads())
        if self._founding and broker.back.meta_shard.leading:
            self._founding = False
            found(cluster, broker, self._settings, self._settings.shards)
            self.ring()
        if cluster.place is Place.FOUNDER:
            look_for_place(cluster, broker, now)
        if broker.founded and cluster.place is Place.MEMBER:
            self._serve(broker)

    def _serve(self, broker: Broker) -> None:
        self.engine = Engine(
            broker,
            self.journal,
            now_ms=self.machine.clock.now_ms,
            admission=Admission(ConnectionLimits()),
            buffers=Buffers(),
        )
        self.engine.wake = self.ring
        self.ring()
        self.world.note(f"{self.name} serves clients")

    def stop(self) -> None:
        """SIGTERM."""
        self.stopping = Stopping(self, self.now)

    @property
    def takes_in(self) -> bool:
        """Clients can come."""
        return self.engine is not None and not (self.paused or self.poisoned or self.stopping is not None)

    # ---- clients

    def opened(self, protocol: str) -> Opened:
        if protocol == "mqtt":
            mqtt = MqttDecoder()
            return Opened(
                MqttAdapter(mqtt, self._encoder, MQTT_SETTINGS, self.machine.clock.now_ms, loopback=True, now=self.now),
                mqtt,
            )
        if protocol == "stomp":
            stomp = StompDecoder()
            return Opened(StompAdapter(stomp, STOMP_SETTINGS, "session", loopback=True, now=self.now), stomp)
        decoder = AmqpDecoder()
        return Opened(AmqpAdapter(decoder, SETTINGS, loopback=True, now=self.now), decoder)

    # ---- the journal

    @property
    def poisoned(self) -> bool:
        return self.journal.state[0] == "poisoned"

    def plan_write(self) -> None:
        if not self._writing and self.journal.submitted > self.journal.synced:
            self._writing = True
            self._events.after(self.world.disk_delay_us(self.machine), self.do, self._write)

    def _write(self) -> None:
        self._writing = False
        if self.poisoned:
            return
        if self.journal.begin_write() and not self.poisoned:
            self._writing = self.began = True
            self._events.after(self.world.disk_delay_us(self.machine), self.do, self._sync)
        else:
            self._receive_completion()
            if self.journal.state[0] == "no space":
                self._writing = True
                self._events.after(50_000, self.do, self._write)

    def _sync(self) -> None:
        self._writing = self.began = False
        self.journal.end_write()
        self._receive_completion()
        self.plan_write()

    def _receive_completion(self) -> None:
        self.world.receive_completion(self)
        if self.alive:
            self._stir()

    def _begin_reads(self, reads: Sequence[Callable[[], object]]) -> None:
        for read in reads:
            self._events.after(self.world.disk_delay_us(self.machine), self.do, self._read, read)

    def _begin_jobs(self) -> None:
        for job in self.cluster.take_jobs():
            self._events.after(self.world.disk_delay_us(self.machine), self.do, self._carry_out, job)

    def _carry_out(self, job: Job) -> None:
        try:
            job.done(job.run())
        except Damage as damage:
            self.world.receive_damage(self, damage)
            return
        self.ring()

    def _read(self, read: Callable[[], object]) -> None:
        try:
            read()
        except OSError as error:
            self.world.receive_failure(self, f"a read failed: {error}")
            return
        except Damage as damage:
            self.world.receive_damage(self, damage)
            return
        self.ring()

    def _keep_house(self) -> None:
        if not self.alive:
            return
        self.do(self._look_after)
        self._events.after(200_000, self._keep_house)

    def _look_after(self) -> None:
        try:
            finished = self.journal.receive_cycle(self.kernels)
            if self.journal.cycle_wanted or self.world.forces_cycle():
                self.journal.begin_cycle(self.kernels, True)
        except OSError as error:
            self.world.note(f"{self.name}: house-keeping: {error}")
            self.world.receive_completion(self)
            return
        except Damage as damage:
            self.world.receive_damage(self, damage)
            return
        if finished is not None:
            self.world.receive_cycle(self, finished)
        if not self._stepping:
            self._stepping = True
            self._events.after(self.world.disk_delay_us(self.machine), self.do, self._step)

    def _step(self) -> None:
        """One step of a cycle."""
        try:
            more = self.journal.step()
        except OSError as error:
            self._stepping = False
            self.world.note(f"{self.name}: house-keeping: {error}")
            self.world.receive_completion(self)
            return
        except Damage as damage:
            self.world.receive_damage(self, damage)
            return
        self._stepping = more
        if more:
            self._events.after(self.world.disk_delay_us(self.machine), self.do, self._step)

    # ---- the end

    def end(self) -> None:
        """It is gone, with all it had in memory."""
        self.alive = False
        self._deferred.clear()
        self.journal.abandon()
