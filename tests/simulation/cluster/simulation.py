"""A whole cluster, its net, disks, clocks and clients, and their bad luck, all drawn from one seed.

Plain events in one thread: every part of the product that is in it is synchronous.  Two phases.  *Chaos*: clients work
and faults strike.  *Healing*: there are no more faults; clients finish, a last one drains all queues, nothing that was
confirmed may be missing, and all of it must come to an end in bounded time (I25).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from broker.cluster.violation import Closing, Reason
from broker.core.outbox import OUTBOX_BASE
from broker.core.retained import RETAINED_BASE
from kernel.journal import Damage
from tests.simulation.client import World
from tests.simulation.cluster.client_wire import ClientWire, QuickTransport
from tests.simulation.cluster.events import Events
from tests.simulation.cluster.faults import Faults
from tests.simulation.cluster.invariants import Invariants
from tests.simulation.cluster.ledger import SKEWS, ClusterClient, ClusterLedger
from tests.simulation.cluster.machine import CAPACITY, Clock, Machine
from tests.simulation.cluster.mqtt_clients import AnyClient, ClusterLatecomer, ClusterPublisher, ClusterSubscriber
from tests.simulation.cluster.net import Net
from tests.simulation.cluster.plan import ClusterPlan, draw_cluster_plan
from tests.simulation.cluster.process import PEER_OF_CLIENTS, Process
from tests.simulation.cluster.stomp_client import StompClient, stomp_consumer, stomp_publisher
from tests.simulation.cluster.stopping import Stopping
from tests.simulation.ledger import Broken
from tests.simulation.link import Link
from tests.simulation.mqtt_ledger import Message as MqttMessage
from tests.simulation.mqtt_ledger import MqttLedger
from tests.simulation.scripts import consumer, drainer, getter, publisher
from tests.simulation.trace import Trace

SECOND_US = 1_000_000
CHAOS_S = 20.0
HEALING_S = 60.0
"""For each step of it."""
QUIET_S = 3.0
"""Without a delivery, after which the queues must be empty."""
PROGRESS_US = 20_000_000
"""The longest that what is left may be as much as before."""
LOOK_US = 100_000
REPLICA_COUNT = 3
DISK_FAULTS = {"crash while it writes", "sync fault", "disk full"}
"""With these a stopped node may not be able to close its journal."""
REASONS_OF_OURS = {Reason.BAD_FRAME, Reason.UNKNOWN_KIND, Reason.KIND_NOT_ALLOWED, Reason.WRONG_SECRET, Reason.VERSION}
REASONS_OF_CORRUPTION = {Reason.BAD_CHECKSUM, Reason.FRAME_TOO_LARGE, Reason.STALLED, *REASONS_OF_OURS}


class Report(msgspec.Struct):
    """What one seed came to."""

    seed: int
    digest: str
    simulated_s: float
    event_count: int
    message_count: int
    confirmed_count: int
    seen_count: int
    start_count: int
    leader_count: int
    compared_count: int
    mqtt_count: int
    """Messages that MQTT's subscribers took, and that their publishers brought to the AMQP queue of QoS 1."""
    fault_counts: dict[str, int]


class ClusterSimulation:
    """Everything a seed leads to.  ``run`` raises Broken, or whatever falls."""

    def __init__(self, seed: int, echo: bool = False, seconds: float = CHAOS_S, **plan: Any) -> None:
        """``plan``: what isn't left to the seed."""
        self.seed = seed
        self.random = random.Random(seed)
        self.plan: ClusterPlan = msgspec.structs.replace(draw_cluster_plan(seed, self.random, seconds), **plan)
        self.trace = Trace(echo)
        self.events = Events()
        self.invariants = Invariants(self.leader_of)
        self.net = Net(self.events, self.random, self.plan.pieces)
        self.machines: list[Machine] = []
        self.fault_counts: Counter[str] = Counter()
        self.start_count = 0
        self.confirm_healing = False
        for number in range(1, self.plan.machine_count + self.plan.newcomer_count + 1):
            machine = Machine(number, self.events, random.Random(self.random.getrandbits(64)), self._draw_clock())
            machine.present = number <= self.plan.machine_count
            self.machines.append(machine)
            self.net.machines[machine.name] = machine
        for one in self.machines:
            for other in self.machines:
                self.net.way(one.name, other.name).delay_us = self.plan.delay_us
        self.world = World(self.plan.clients, self.random, self.trace, self._now_ms)
        self.ledger = ClusterLedger(self.plan.clients, lambda: self.events.now_us, self._skew_ms)
        self.world.ledger = self.ledger
        if self.plan.clients.mqtt:
            self.world.mqtt = MqttLedger(self.ledger)
            self.world.mqtt.clean_may_miss = True
            self.world.mqtt.expired_somewhere = self._expired_somewhere
        plan_ = self.plan.clients
        scripts = [publisher] * plan_.publisher_count + [consumer] * plan_.consumer_count
        scripts += [getter] * plan_.getter_count
        self.clients: list[AnyClient] = [
            ClusterClient(f"{script.__name__}{number}", self.world, script) for number, script in enumerate(scripts)
        ]
        for number, of_client in enumerate(plan_.mqtt):
            kind = ClusterSubscriber if of_client.filters else ClusterPublisher
            self.clients.append(kind(f"mqtt{number}", self.world, of_client))
        for count, go_on in zip(self.plan.stomp, (stomp_publisher, stomp_consumer), strict=True):
            names = [f"{go_on.__name__}{number}" for number in range(count)]
            self.clients += [StompClient(name, self.world, go_on) for name in names]
        self.faults = Faults(self)
        self.trace.note(f"seed {seed}: {self.plan}")

    def _draw_clock(self) -> Clock:
        draw, plan = self.random, self.plan
        return Clock(
            self.events,
            draw.randint(0, 1000 * SECOND_US),
            1.0 + draw.uniform(-plan.drift, plan.drift),
            draw.randint(-plan.skew_ms, plan.skew_ms),
        )

    def _now_ms(self) -> int:
        """The middle of all clocks, as far as clients are concerned."""
        return 1_800_000_000_000 + self.events.now_us // 1000

    def _expired_somewhere(self, message: MqttMessage) -> bool:
        copy = message.copy
        if copy is None or copy.expiration_ms is None:
            return False
        return self._now_ms() + SKEWS * self._skew_ms() >= copy.sent_ms + copy.expiration_ms

    def _skew_ms(self) -> int:
        """How wrong a wall clock is or was at most, drift included."""
        return self.plan.skew_ms + self.faults.skew_ms + int(self.events.now_us * self.plan.drift) // 1000 + 1

    # ---- what parts ask for

    def round_delay_us(self) -> int:
        least, most = self.plan.round_us
        return least + int((most - least) * self.random.random())

    def tick_delay_us(self) -> int:
        return int(2000 * self.random.random())

    def disk_delay_us(self, machine: Machine) -> int:
        least, most = self.plan.disk_us
        return machine.disk_slow_us + least + int((most - least) * self.random.random())

    def forces_cycle(self) -> bool:
        return self.plan.checkpoints > 0 and self.random.random() < self.plan.checkpoints

    def addresses_for(self, machine: Machine) -> tuple[str, ...]:
        """Whom a node is told of: all who were there at first, and itself."""
        return tuple(each.address for each in self.machines[: self.plan.machine_count])

    def note(self, line: str) -> None:
        self.trace.now_us = self.events.now_us
        self.trace.note(line)

    # ---- what parts tell

    def receive_round(self, process: Process) -> None:
        for told in self.invariants.check(process):
            self.note(told)
            self.ledger.shake()
        if not process.wires:
            return
        for wire in list(process.wires):
            transport = wire.transport
            assert transport is not None
            if transport.can_write():
                transport.write(1 << 20, process.now)
            self._move(wire)
            if transport.closed:
                process.wires.remove(wire)

    def receive_assembled(self, process: Process) -> None:
        """It has its replicas."""
        self.invariants.receive_terms(process)

    def end_wires(self, process: Process) -> None:
        """Its clients notice before long."""
        wires, process.wires = process.wires, []
        for wire in wires:
            wire.link.node_gone = True
            wire.link.cut_off()
            if self.random.random() < 0.5:
                wire.link.to_client.clear()
            if not wire.to_client_due:
                wire.to_client_due = True
                self.events.after(1000, self._show, wire)

    def receive_completion(self, process: Process) -> None:
        """A write came to an end."""
        journal = process.journal
        if process.poisoned:
            if process.poisoned_at is None:
                process.poisoned_at = journal.synced
                self.note(f"{process.name}'s journal is poisoned")
                self.faults.restart_later(process.machine)
            elif process.poisoned_at != journal.synced:
                raise Broken("I4", f"{process.name}'s journal went on after a failed sync")

    def receive_cycle(self, process: Process, finished: tuple[int, int, int, int]) -> None:
        self.fault_counts["cycle"] += 1
        self.note("{}: cycle: {} retired, {} sealed, {} dropped, checkpoint {}".format(process.name, *finished))

    def receive_failure(self, process: Process, why: str) -> None:
        """The product ends for it."""
        self.note(f"{process.name}: {why}")
        self.faults.end(process.machine, "failure", lambda disk: disk.kill())

    def receive_stopped(self, process: Process, stopping: Stopping) -> None:
        """It was told to, and has come to its end; what the disk does may be in its way."""
        machine, lasts = process.machine, process.journal.synced == process.journal.submitted
        try:
            machine.closed_cleanly = stopping.close()
        except OSError as error:
            self.note(f"no clean close of {process.name}: {error}")
        if lasts and not machine.closed_cleanly and not process.poisoned and not self.plan.faults.keys() & DISK_FAULTS:
            raise Broken("I8", f"{process.name} did not close cleanly")
        self.faults.end(machine, "clean end" if machine.closed_cleanly else "end", lambda disk: disk.kill())

    def receive_damage(self, process: Process, damage: Damage) -> None:
        if process.machine is not self.faults.affected:
            raise Broken("I8", f"{process.name} found damage: {damage}") from damage
        self.note(f"{process.name} found damage: {damage}")
        self.faults.replace(process.machine)

    def receive_heard(self, process: Process, name: str, incarnation: int, up: bool) -> None:
        """A node thinks that another is there, or is not."""
        self.note(f"{process.name} {'hears' if up else 'does not hear'} {name}")
        other = self.net.machines[name].process
        if other is None or other.machine.incarnation != incarnation:
            return
        if up:
            self.ledger.join(process.name, name)
        else:
            self.ledger.cut(process.name, name)

    def receive_dropped(self, peer: int) -> None:
        """A node was removed that still has clients: what they hold comes back, and they are told to go."""
        self.ledger.trouble(*(machine.name for machine in self.machines if machine.peer == peer))

    def note_closing(self, process: Process, closing: Closing) -> None:
        if closing.reason in REASONS_OF_OURS and not self.net.corrupted_count:
            raise Broken("I26", f"{process.name} closed a link: {closing}")
        if closing.reason in REASONS_OF_CORRUPTION:
            self.fault_counts["refused bytes"] += 1

    # ---- clients

    def act(self, client: AnyClient) -> None:
        """It does something, and will again."""
        if client not in self.clients:
            return
        interval = self._interval_us()
        self.events.after(int(interval * (0.5 + self.random.random())), self.act, client)
        if client.link is None:
            if client.wants_link:
                self.connect(client)
            return
        if client.waits and self.events.now_us - client.waits_since_us > self.patience_us():
            self.note(f"{client.name} has waited long enough")
            client.vanish(0)
            self._part(client)
        elif not (client.waits and client.waits_to_act):
            self.trace.now_us = self.events.now_us
            client.act()
            self._after_client(client)

    def patience_us(self) -> int:
        return 30 * SECOND_US if self.world.healing else 6 * SECOND_US

    def _interval_us(self) -> int:
        if self.world.healing:
            return 20_000
        return int(len(self.clients) * SECOND_US / self.plan.operations)

    def connect(self, client: AnyClient) -> None:
        open_ = [process for process in self.processes if process.takes_in]
        if not open_:
            return
        process = self.random.choice(open_)
        engine = process.engine
        assert engine is not None
        if not engine.admission.admit(PEER_OF_CLIENTS.address):
            raise Broken("I26", "a connection was not let in")
        link = Link()
        opened = process.opened(client.protocol)
        wire = ClientWire(client, process, link)

        def open_transport(token: int) -> QuickTransport:
            transport = QuickTransport(link, token, opened.decoder, engine, engine.buffers)
            wire.transport = transport
            return transport

        engine.open(PEER_OF_CLIENTS, opened, open_transport)
        process.wires.append(wire)
        client.node = process.name
        client.waits_since_us = self.trace.now_us = self.events.now_us
        client.begin(link)
        self.note(f"{client.name} connects to {process.name}")
        client.act()
        self._after_client(client)

    def _after_client(self, client: AnyClient) -> None:
        if client.link is None:
            self._part(client)
            return
        for wire in self._wires():
            if wire.client is client and wire.link is client.link:
                self._move(wire)
                return

    def _part(self, client: AnyClient) -> None:
        """Its connections' nodes notice."""
        for wire in self._wires():
            if wire.client is client:
                self._move(wire)

    def _wires(self) -> list[ClientWire]:
        return [wire for process in self.processes for wire in process.wires]

    def _move(self, wire: ClientWire) -> None:
        """What is to be moved arrives after a while."""
        transport = wire.transport
        assert transport is not None
        if not wire.to_node_due and transport.can_read():
            wire.to_node_due = True
            self.events.after(self._client_delay_us(), self._bring, wire)
        if not wire.to_client_due and (wire.link.to_client or wire.link.node_gone):
            wire.to_client_due = True
            self.events.after(self._client_delay_us(), self._show, wire)

    def _client_delay_us(self) -> int:
        return 50 + int(500 * self.random.random())

    def _bring(self, wire: ClientWire) -> None:
        wire.to_node_due = False
        wire.process.do(self._bring_now, wire)

    def _bring_now(self, wire: ClientWire) -> None:
        transport = wire.transport
        assert transport is not None
        if transport.can_read():
            transport.read(self._draw_size())
            self._move(wire)

    def _draw_size(self) -> int:
        return 65_536 if self.random.random() < 0.9 else self.random.choice([1, 7, 100, 2000])

    def _show(self, wire: ClientWire) -> None:
        wire.to_client_due = False
        client = wire.client
        if client.link is not wire.link:
            return
        if self.events.now_us < client.deaf_until_us:
            wire.to_client_due = True
            # It may be healed before.
            self.events.at(min(client.deaf_until_us, self.events.now_us + SECOND_US // 2), self._show, wire)
            return
        waited = client.waits
        self.trace.now_us = self.events.now_us
        client.read(self._draw_size())
        if not waited or not client.waits or wire.link.to_client:
            client.waits_since_us = self.events.now_us
        if client.link is wire.link:
            self._move(wire)
            if wire.transport is not None and wire.transport.can_write():
                wire.process.ring()
        elif wire in wire.process.wires:
            self._move(wire)

    # ---- all of it

    def run(self) -> Report:
        for machine in self.machines:
            if machine.present:
                self.events.after(self.random.randint(0, SECOND_US // 2), self.faults.start, machine)
        for client in self.clients:
            self.events.after(self.random.randint(0, SECOND_US), self.act, client)
        self._run_until(self.serves, HEALING_S, "the cluster forms")
        self.faults.begin()
        self.events.run_until(self.events.now_us + int(self.plan.seconds * SECOND_US))
        self.heal()
        ledger = self.ledger
        return Report(
            self.seed,
            self.trace.digest,
            self.events.now_us / SECOND_US,
            self.events.count,
            len(ledger.messages),
            ledger.confirmed_count,
            ledger.seen_count,
            self.start_count,
            self.invariants.leader_count,
            self.invariants.compared_count,
            0 if self.world.mqtt is None else self.world.mqtt.taken_count,
            dict(self.fault_counts),
        )

    def _run_until(self, done: Callable[[], bool], seconds: float, what: str = "the cluster begins") -> None:
        until = self.events.now_us + int(seconds * SECOND_US)
        while self.events.now_us < until:
            if done():
                return
            self.events.run_until(self.events.now_us + LOOK_US)
        raise Broken("I25", f"{what}: not within {seconds} s: {self.describe()}")

    def heal(self) -> None:
        self.note("healing")
        self.world.healing = True
        self.faults.heal()
        for client in self.clients:
            client.deaf_until_us = 0
        self._run_until(self.serves, HEALING_S, "all serve")
        staying = [client for client in self.clients if isinstance(client, ClusterSubscriber)]
        leaving = [client for client in self.clients if client not in staying]
        self._run_until(lambda: all(client.idle for client in leaving), HEALING_S, "clients finish")
        last = ClusterClient("drainer", self.world, drainer)
        self.clients = [last, *staying]
        self.act(last)
        self.drain()
        self.world.drained = True
        self._run_until(lambda: all(client.idle for client in self.clients), HEALING_S, "the drainer goes")
        self.ledger.finish()
        if self.world.mqtt is not None:
            self.heal_mqtt(self.world.mqtt)
        self._run_until(self.agrees, HEALING_S, "all have applied the same")
        self._run_until(self.is_tidy, HEALING_S, "what was moved away is forgotten")
        self.check_end()

    def heal_mqtt(self, ledger: MqttLedger) -> None:
        """The last one comes to see what is retained."""
        latecomer = ClusterLatecomer("latecomer", self.world)
        self.clients = [latecomer]
        self.act(latecomer)
        self._run_until(lambda: latecomer.idle, HEALING_S, "the last one is sent what is retained")
        ledger.finish()

    @property
    def seen_count(self) -> int:
        mqtt = self.world.mqtt
        return self.ledger.seen_count + (0 if mqtt is None else mqtt.taken_count)

    def drain(self) -> None:
        """Until nothing is left.  What a client that takes one message at a time can do in a minute isn't the broker's.

        But there is less of it, every so often, than there ever was.
        """
        stuck_at = self.events.now_us + PROGRESS_US
        least, quiet_since, seen = math.inf, self.events.now_us, self.seen_count
        while self.events.now_us < stuck_at:
            self.events.run_until(self.events.now_us + LOOK_US)
            left = self.left_over()
            if left or self.seen_count != seen:
                # What was the last to be handed out, to one who acknowledges nothing, is still on its way.
                quiet_since, seen = self.events.now_us, self.seen_count
            count = sum(map(sum, left.values()))
            if count < least and all(map(self.is_settled, range(1, self.plan.shard_count + 1))):
                least, stuck_at = count, self.events.now_us + PROGRESS_US
            if self.events.now_us - quiet_since > QUIET_S * SECOND_US and not left:
                return
        raise Broken("I25", f"the queues are not empty in the end: {left}: {self.describe()}")

    # ---- looks from outside

    @property
    def processes(self) -> list[Process]:
        return [machine.process for machine in self.machines if machine.process is not None]

    def leader_of(self, shard: int) -> Process | None:
        leading = [p for p in self.processes if p.broker is not None and p.broker.back.shards[shard].leading]
        return max(leading, key=lambda process: process.kernels[shard].term, default=None)

    def serves(self) -> bool:
        """All nodes do, and every shard is led by one whom all can reach."""
        present = [machine for machine in self.machines if machine.present]
        for process in (machine.process for machine in present):
            if process is None or process.engine is None or process.stopping is not None:
                return False
            if not all(shard.reachable for shard in process.cluster.shards):
                return False
        return all(map(self.is_settled, range(self.plan.shard_count + 1)))

    def is_settled(self, shard: int) -> bool:
        """It has a leader that hands out, and as many voters as it is to have; the others have nothing to say."""
        leader = self.leader_of(shard)
        if leader is None or leader.broker is None or not leader.broker.back.shards[shard].hands_out:
            return False
        voters, outgoing, _, _ = leader.kernels[shard].conf()
        staying = [machine.peer for machine in self.machines if machine.present and not machine.leaving]
        most = min(REPLICA_COUNT, (len(staying) + 1) // 2 * 2 - 1)
        return not outgoing and len(voters) == most and set(voters) <= set(staying)

    def agrees(self) -> bool:
        """All replicas have applied everything."""
        for shard in range(self.plan.shard_count + 1):
            members = self.members(shard)
            if not members or len({process.kernels[shard].applied_index for process in members}) != 1:
                return False
        return True

    def is_tidy(self) -> bool:
        """Nobody who stays holds what its group does not know of."""
        staying = [machine.process for machine in self.machines if machine.present and not machine.leaving]
        for shard in range(1, self.plan.shard_count + 1):
            members = self.members(shard)
            strays = [process for process in staying if process is not None and process not in members]
            if not members or any(process.kernels[shard].applied_index for process in strays):
                return False
        return True

    def members(self, shard: int) -> list[Process]:
        """Who holds the shard, as its leader has it; nobody, if there is none."""
        leader = self.leader_of(shard)
        if leader is None:
            return []
        voters, _, learners, _ = leader.kernels[shard].conf()
        members = (*voters, *learners)
        return [process for process in self.processes if process.machine.peer in members and process.kernels]

    def check_end(self) -> None:
        for process in self.processes:
            for shard in range(self.plan.shard_count + 1):
                self.invariants.compare(process, shard)
        self.note(f"{self.events.count} events")

    def left_over(self) -> dict[str, tuple[int, int, int]]:
        """What the plan's queues and the outboxes hold at their leaders: (ready, held, under way)."""
        left: dict[str, tuple[int, int, int]] = {}
        for shard in range(1, self.plan.shard_count + 1):
            process = self.leader_of(shard)
            if process is None:
                left[f"shard {shard} without a leader"] = (0, 0, 0)
                continue
            assert process.broker is not None
            kernel, back = process.kernels[shard], process.broker.back
            for queue in kernel.queue_ids():
                counts = kernel.counts(queue)
                known = queue in back.queues
                outbox = OUTBOX_BASE <= queue < RETAINED_BASE
                if not known and queue < OUTBOX_BASE:
                    left[f"orphan {queue} of shard {shard}"] = counts
                if (known or outbox) and any(counts):
                    name = back.queues[queue][1].name if known else "outbox"
                    left[f"{name} of shard {shard}"] = counts
        return left

    def describe(self) -> str:
        """For people: who is what."""
        lines = []
        for machine in self.machines:
            process = machine.process
            if process is None:
                lines.append(f"{machine.name} is down")
                continue
            kernels = [
                f"{'L' if kernel.leading else ''}{kernel.term}:{kernel.applied_index}" for kernel in process.kernels
            ]
            heard = [info.node_name for info in process.cluster.up.values()]
            lines.append(f"{machine.name} {' '.join(kernels)} hears {' '.join(heard)} {process.journal.state[0]}")
        waiting = [client.name for client in self.clients if not client.idle]
        return "; ".join([*lines, f"not idle: {' '.join(waiting)}"])


__all__ = ["CAPACITY", "ClusterSimulation", "Report"]
