"""One simulation: a node, its disk, its clients and their bad luck, all drawn from one seed.

Two phases.  *Chaos*: at each step time goes by, one of everything that could happen does, and now and then a fault.
*Healing*: there are no more faults, clients finish and go, a last one drains all queues; then nothing that was
confirmed may be missing, and everything must have come to an end in bounded time (I25).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from broker.core.outbox import OUTBOX_BASE
from broker.core.retained import RETAINED_BASE
from kernel.disk import SimDisk
from kernel.journal import Damage, Journal
from tests.simulation.bank import Bank
from tests.simulation.client import Client, World
from tests.simulation.ledger import Broken
from tests.simulation.link import Link, SimTransport
from tests.simulation.mqtt_client import Latecomer, Publisher, Subscriber
from tests.simulation.mqtt_ledger import MqttLedger
from tests.simulation.node import PEER, PEER_OF_CLIENTS, STORE, Node
from tests.simulation.plan import LEAST, draw_plan, with_mqtt
from tests.simulation.scripts import consumer, drainer, getter, publisher, tinkerer
from tests.simulation.trace import Trace
from tests.simulation.transactor import Transactor

AnyClient: TypeAlias = Client | Publisher | Subscriber
CAPACITY = 1 << 40
WALL_START_MS = 1_800_000_000_000
ROUND_US = 5_000
HEALING_ROUNDS_MAX = 4_000
WITH_MQTT = (0, 4)
"""Two seeds in five have clients of MQTT, those with these remainders; the others keep their draws."""
TINKERED = 3
"""One seed in so many has somebody who makes and deletes queues; not drawn, so that the others keep their draws."""
TRANSACTED = 1
"""Of seeds by their remainder of five: there are two who move coins in transactions; not drawn, likewise."""
QUIET_ROUNDS = 40
"""Rounds with nothing delivered, after which the queues must be empty."""


class Report(msgspec.Struct):
    """What one seed came to."""

    seed: int
    digest: str
    simulated_s: float
    message_count: int
    confirmed_count: int
    seen_count: int
    mqtt_count: int
    """Messages that MQTT's subscribers took, and that their publishers brought to the AMQP queue of QoS 1."""
    transfer_count: int
    """Transactions that are known to have happened."""
    restart_count: int
    fault_counts: dict[str, int]


class Simulation:
    """Everything a seed leads to.  ``run`` raises Broken, or whatever falls."""

    def __init__(
        self,
        seed: int,
        echo: bool = False,
        mqtt: bool | None = None,
        transactions: bool | None = None,
        **plan: Any,
    ) -> None:
        """``mqtt``, ``transactions`` and ``plan``: what isn't left to the seed."""
        self.seed = seed
        self.random = random.Random(seed)
        drawn = draw_plan(self.random)
        if seed % 5 in WITH_MQTT if mqtt is None else mqtt:
            drawn = with_mqtt(drawn, self.random)
        self.plan = msgspec.structs.replace(drawn, **plan)
        self.trace = Trace(echo)
        self.now_us = 0
        self.disk = SimDisk(CAPACITY)
        self.capacity = CAPACITY
        self.world = World(self.plan, self.random, self.trace, self.now_ms)
        self.node: Node | None = None
        self.links: list[tuple[AnyClient, SimTransport]] = []
        self.reads: list[Callable[[], object]] = []
        self.fault_counts: dict[str, int] = {}
        self.power_cut = False
        self._poisoned_at: int | None = None
        self._stopping = False
        self._stop_by_us = 0
        self._closed_cleanly = False
        self._closed_rows: list[list[tuple[bytes, bytes]]] | None = None
        """Of clients' sessions, when the node was closed; None: it fell."""
        scripts = [publisher] * self.plan.publisher_count + [consumer] * self.plan.consumer_count
        scripts += [getter] * self.plan.getter_count + [tinkerer] * (seed % TINKERED == 0)
        self.clients: list[AnyClient] = [
            Client(f"{script.__name__}{number}", self.world, script) for number, script in enumerate(scripts)
        ]
        for number, of_client in enumerate(self.plan.mqtt):
            kind = Subscriber if of_client.filters else Publisher
            self.clients.append(kind(f"mqtt{number}", self.world, of_client))
        self.bank = Bank()
        transacted = seed % 5 == TRANSACTED if transactions is None else transactions
        self.transactors = [Transactor(number, self.bank, self.trace, seed) for number in range(2 * transacted)]
        self.trace.note(f"seed {seed}: {self.plan}")

    # ---- time

    @property
    def now(self) -> float:
        return self.now_us / 1e6

    def now_ms(self) -> int:
        return WALL_START_MS + self.now_us // 1000

    def pass_time(self, us: int) -> None:
        self.now_us += us
        self.trace.now_us = self.now_us

    # ---- all of it

    def run(self) -> Report:
        self.chaos()
        self.heal()
        ledger = self.world.ledger
        return Report(
            self.seed,
            self.trace.digest,
            self.now,
            len(ledger.messages),
            ledger.confirmed_count,
            ledger.seen_count,
            0 if self.world.mqtt is None else self.world.mqtt.taken_count,
            self.bank.done_count,
            ledger.restarts,
            self.fault_counts,
        )

    def chaos(self) -> None:
        for _ in range(self.plan.step_count):
            chance = self.random.random
            self.pass_time(self.random.randint(0, 2000))
            if chance() < self.plan.pauses:
                self.pass_time(self.random.randint(0, 3_000_000))
            self.misfortune()
            self.disk_step(chance())
            self.client_step()
            self.engine_step(chance() < 0.8)

    # ---- one step of each

    def disk_step(self, choice: float) -> None:
        """Starts or goes on with the node, its journal and what it does behind the rounds."""
        node = self.node
        if node is None:
            if choice < 0.2:
                self.start()
        elif self._stopping and self.stop_is_due(node):
            self.end_stop(node)
        elif self.world.healing and node.poisoned:
            self.crash()  # a sync fault that had not struck yet
        else:
            if choice < self.plan.disk_speed:
                self.journal_step(node)
            if node.engine is not None and choice < 0.7:
                self.background_step(node, choice)

    def journal_step(self, node: Node) -> None:
        """One half of a write."""
        if node.began:
            node.sync()
            self.receive_completion(node)
        elif node.writable:
            node.write()
            if not node.began:
                self.receive_completion(node)

    def background_step(self, node: Node, choice: float) -> None:
        if choice < 0.6:
            self.keep_house(node)
        if self.reads and node.engine is not None:
            self.reads.pop(0)()
            node.engine.ring()

    def keep_house(self, node: Node) -> None:
        try:
            finished = node.keep_house(self.random.random() < self.plan.checkpoints)
        except OSError as error:
            self.trace.note(f"housekeeping: {error}")
            self.receive_completion(node)
            return
        except Damage as damage:
            raise Broken("I8", f"housekeeping found damage: {damage}") from damage
        if finished is not None:
            self.fault_counts["cycle"] = self.fault_counts.get("cycle", 0) + 1
            self.trace.note(finished)

    def receive_completion(self, node: Node) -> None:
        synced = node.journal.synced
        if node.poisoned:
            if self._poisoned_at is None:
                self._poisoned_at = synced
                self.trace.note(f"the journal is poisoned at {synced}")
            elif synced != self._poisoned_at:
                raise Broken("I4", "the journal went on after a failed sync")
        self.trace.note(f"synced {synced} of {node.journal.submitted}: {node.journal.state[0]}")
        if node.engine is not None:
            node.engine.ring()
        elif node.boot(self.now):
            self.trace.note("the node serves")
            if self._closed_rows not in (None, node.restored):
                raise Broken("I7", "clients' sessions or transactions are not what they were at the clean close")
            self._closed_rows = None

    def client_step(self) -> None:
        for client in self.clients:
            self.move(client, self.random.randint(0, 3), self.draw_size())
        self.transact()

    def transact(self) -> None:
        if self.node is not None and not self._stopping:
            for transactor in self.transactors:
                transactor.act(self.node, self.world.healing)

    def draw_size(self) -> int:
        return self.random.choice([1, 7, 100, 2000, 65536, 65536])

    def move(self, client: AnyClient, what: int, size: int) -> None:
        """Bytes go one way or the other, or the client does something."""
        link = client.link
        if link is None:
            if what == 0:
                self.connect(client)
            return
        transport = next((t for c, t in self.links if c is client and t.link is link), None)
        if what == 0:
            client.act()
        elif what == 1:
            if self.now_us >= client.deaf_until_us and (link.to_client or link.node_gone):
                client.read(size)
        elif transport is not None and what == 2:
            if transport.can_write():
                transport.write(size, self.now)
        elif transport is not None and transport.can_read():
            transport.read(size)

    def connect(self, client: AnyClient) -> None:
        node = self.node
        if node is None or node.engine is None or self._stopping:
            return
        engine = node.engine
        if not engine.admission.admit(PEER_OF_CLIENTS.address):
            raise Broken("I26", "a connection was not let in")
        link = Link()
        opened = node.opened(client.protocol, PEER_OF_CLIENTS, self.now)

        def open_transport(token: int) -> SimTransport:
            transport = SimTransport(link, token, opened.decoder, engine, engine.buffers)
            self.links.append((client, transport))
            return transport

        engine.open(PEER_OF_CLIENTS, opened, open_transport)
        client.begin(link)
        self.trace.note(f"{client.name} connects")

    def engine_step(self, willing: bool) -> None:
        """A round, if one is due."""
        node = self.node
        if node is None or node.engine is None:
            return
        engine = node.engine
        # Ends of connections nobody looks at any more are noticed sooner or later.
        for _, transport in self.links:
            if transport.link.client_gone and transport.can_read() and self.random.random() < 0.3:
                transport.read(self.draw_size())
        deadline = engine.core_deadline(self.now)
        late = engine.deadlines.next <= self.now or (deadline is not None and deadline <= self.now)
        if willing and (engine.due or late):
            engine.round(self.now)
            self.reads += engine.wanted_reads
            engine.wanted_reads = []
            self.links = [(c, t) for c, t in self.links if not t.closed]
            node.check_accounts()
            if self.random.random() < self.plan.checks:
                node.check_replay()

    # ---- the node's life

    @property
    def with_rows(self) -> bool:
        """The core writes rows as it applies commands."""
        return bool(self.plan.mqtt or self.transactors)

    def start(self) -> None:
        try:
            self.node = Node(self.disk, self.plan.file_size, self.plan.cache_size, self.random, self.now_ms)
        except OSError as error:
            self.trace.note(f"no start: {error}")
            if self.world.healing:
                raise Broken("I25", f"the node does not start: {error}") from error
            if self.power_cut:
                self.crash()
            return
        except Damage as damage:
            raise Broken("I8", f"crashes alone left damage: {damage}") from damage
        self.node.with_rows = self.with_rows
        self._poisoned_at = None
        self.world.ledger.restart()
        journal = self.node.journal
        self.trace.note(f"the node starts, cut: {journal.cut}, closed cleanly: {journal.closed_cleanly}")
        if self._closed_cleanly and not journal.closed_cleanly:
            raise Broken("I8", "a clean close was not found")
        self._closed_cleanly = False
        self.receive_completion(self.node)

    def fall(self, how: str) -> None:
        """The process is gone, and with it all connections."""
        if self.node is not None and self.node.broker is not None and not self.power_cut:
            self.node.check_replay()
        self.trace.note(how)
        self.fault_counts[how] = self.fault_counts.get(how, 0) + 1
        self.node = None
        self._closed_rows = None
        self.reads.clear()
        self._stopping = False
        for _, transport in self.links:
            transport.link.node_gone = True
            transport.link.cut_off()
            if self.random.random() < 0.5:
                transport.link.to_client.clear()
        self.links.clear()
        for transactor in self.transactors:
            transactor.lose()

    def crash(self) -> None:
        """The power goes, and comes back."""
        self.fall("crash")
        self.disk.crash(self.random.getrandbits(64))
        self.power_cut = False

    def kill(self) -> None:
        """The process dies, the machine stays."""
        self.fall("kill")
        self.disk.kill()
        self.power_cut = False

    def stop(self, node: Node) -> None:
        """SIGTERM: clients are told; ``end_stop`` follows once they are gone, or a while later."""
        assert node.engine is not None
        node.engine.say_goodbye("the broker is stopped", self.now)
        self._stopping = True
        self._stop_by_us = self.now_us + 500_000
        self.note_fault("stop")

    def stop_is_due(self, node: Node) -> bool:
        """All clients are gone, or have had their time."""
        if node.engine is None:
            return False
        return not node.engine.connections or self.now_us >= self._stop_by_us or self.world.healing

    def end_stop(self, node: Node) -> None:
        """Writes what was taken in and closes, if nothing is in the way."""
        engine = node.engine
        assert engine is not None
        engine.abandon(self.now)
        for _ in range(100):
            self.pass_time(ROUND_US)
            synced = node.journal.synced
            engine.round(self.now)
            node.write()
            node.sync()
            if self.with_rows and synced != node.journal.synced:
                continue  # what was written is to be taken in
            if not engine.due and not engine.core.holding and node.journal.synced == node.journal.submitted:
                break
        node.check_replay()
        through = [(shard.id, shard.applied_index) for shard in node.shards[1:]]
        rows = node.client_rows()
        try:
            closed = node.journal.close()
        except OSError as error:
            self.trace.note(f"no clean close: {error}")
            closed = False
        self.fall("closed" if closed else "not closed")
        self.disk.kill()
        self.power_cut = False
        if closed:
            self._closed_cleanly = True
            self._closed_rows = rows
            self.check_flips(through)

    def check_flips(self, through: list[tuple[int, int]]) -> None:
        """I8: after a clean close a bit flipped in what is live is refused, and any other changes nothing."""
        names = [name for name in self.disk.names() if name.startswith(("journal", "checkpoint", "manifest"))]
        whole = Journal.open_on(self.disk.copy(), PEER, STORE, self.plan.file_size)
        expected = [whole.replayed_hash(*shard) for shard in through]
        for _ in range(4):
            disk = self.disk.copy()
            name = self.random.choice(names)
            data = disk.read(name).rstrip(b"\0")
            if not data:
                continue
            position, bit = self.random.randrange(len(data)), self.random.randrange(8)
            disk.flip_bit(name, position, bit)
            try:
                journal = Journal.open_on(disk, PEER, STORE, self.plan.file_size)
                found = [journal.replayed_hash(*shard) for shard in through]
            except (Damage, OSError) as refused:
                self.trace.note(f"bit {bit} of {name}:{position} is refused: {refused}")
                continue
            if found != expected:
                raise Broken("I8", f"bit {bit} of {name}:{position} was flipped and the store opens with less")
            self.trace.note(f"bit {bit} of {name}:{position} changes nothing")

    def set_capacity(self, capacity: int) -> None:
        self.capacity = capacity
        self.disk.set_capacity(capacity)

    # ---- faults

    def misfortune(self) -> None:
        """One of the faults, if it has to be."""
        plan, chance = self.plan, self.random.random
        if chance() < plan.crashes:
            self.crash()
        if chance() < plan.kills:
            self.kill()
        if self.node is not None:
            self.misfortune_of_node(self.node)
        if self.capacity == CAPACITY:
            if chance() < plan.full_disks:
                self.set_capacity(CAPACITY - self.disk.free + self.random.randint(0, 20_000))
                self.note_fault("disk full")
        elif chance() < 0.02:
            self.set_capacity(CAPACITY)
            self.note_fault("disk has room")
        self.misfortune_of_clients()

    def misfortune_of_node(self, node: Node) -> None:
        plan, chance = self.plan, self.random.random
        if chance() < plan.stops and node.engine is not None and not self._stopping:
            self.stop(node)
        if chance() < plan.power_cuts and not self.power_cut:
            self.disk.cut_power_after(self.random.randint(0, 6))
            self.power_cut = True
            self.note_fault("power cut to come")
        if chance() < plan.sync_faults:
            names = self.disk.names()
            journals = [name for name in names if name.startswith("journal")]
            if journals:
                self.disk.fail_sync_once(journals[-1] if chance() < 0.7 else self.random.choice(names))
                self.note_fault("sync fault")
        if self._poisoned_at is not None and chance() < 0.05:
            if chance() < 0.5:
                self.crash()
            else:
                self.kill()

    def misfortune_of_clients(self) -> None:
        plan, chance = self.plan, self.random.random
        if chance() < plan.vanishes:
            client = self.random.choice(self.clients)
            if client.link is not None:
                client.vanish(self.random.choice([0, 0, 1, 20, 1000]))
                self.note_fault(f"{client.name} vanishes")
        if chance() < plan.deaf:
            client = self.random.choice(self.clients)
            client.deaf_until_us = self.now_us + self.random.choice([100_000, 2_000_000, 40_000_000])
            self.note_fault(f"{client.name} reads no more")

    def note_fault(self, what: str) -> None:
        self.trace.note(what)
        kind = "client" if any(client.name in what for client in self.clients) else what
        self.fault_counts[kind] = self.fault_counts.get(kind, 0) + 1

    # ---- healing

    def heal(self) -> None:
        """No more faults: everything must come to a good end."""
        self.trace.note("healing")
        self.world.healing = True
        self.set_capacity(CAPACITY)
        if self.power_cut or (self.node is not None and self.node.poisoned):
            self.crash()
        for client in self.clients:
            client.deaf_until_us = 0
        staying = [client for client in self.clients if isinstance(client, Subscriber)]
        leaving = [client for client in self.clients if client not in staying]
        self.converge("clients finish", lambda: all(client.idle for client in leaving))
        last = Client("drainer", self.world, drainer)
        self.clients = [last, *staying]
        self.drain()
        self.world.drained = True
        self.converge("the drainer goes", lambda: all(client.idle for client in self.clients))
        self.world.ledger.finish()
        if self.transactors:
            self.heal_transactions()
        if self.world.mqtt is not None:
            self.heal_mqtt(self.world.mqtt)
        self.check_end()

    def heal_transactions(self) -> None:
        """One holds all coins in the end, and each once; the node may have fallen before."""
        for transactor in self.transactors:
            transactor.leave()
        if self.random.random() < 0.5:
            self.crash()
        last = Transactor(len(self.transactors), self.bank, self.trace, self.seed, (None,))
        self.transactors = [last]
        self.converge("the last one consumes", lambda: last.consuming)
        for _ in range(QUIET_ROUNDS):
            self.calm_round()
        self.converge("all coins are found", lambda: self.bank.complete)
        for _ in range(QUIET_ROUNDS):
            self.calm_round()
        self.bank.check_end()

    def heal_mqtt(self, ledger: MqttLedger) -> None:
        """The last one comes to see what is retained; the node may have fallen before."""
        if self.random.random() < 0.5:
            self.crash()
        latecomer = Latecomer("latecomer", self.world)
        self.clients = [latecomer]
        self.converge("the last one is sent what is retained", lambda: latecomer.idle)
        ledger.finish()

    def converge(self, what: str, done: Callable[[], bool]) -> None:
        for _ in range(HEALING_ROUNDS_MAX):
            if done():
                return
            self.calm_round()
        raise Broken("I25", f"{what}: not within {HEALING_ROUNDS_MAX * ROUND_US / 1e6} s")

    def drain(self) -> None:
        quiet, seen = 0, self.seen_count
        # A subscriber that takes one at a time takes a few rounds for each.
        for _ in range(HEALING_ROUNDS_MAX * (4 if self.plan.mqtt else 1)):
            self.calm_round()
            quiet = 0 if self.seen_count != seen else quiet + 1
            seen = self.seen_count
            if quiet > QUIET_ROUNDS and not self.left_over():
                return
        raise Broken("I25", f"the queues are not empty in the end: {self.left_over()}")

    @property
    def seen_count(self) -> int:
        mqtt = self.world.mqtt
        return self.world.ledger.seen_count + (0 if mqtt is None else mqtt.taken_count)

    def left_over(self) -> dict[str, tuple[int, int, int]]:
        """What the plan's queues and the outboxes hold: (ready, held, under way)."""
        node = self.node
        if node is None or node.broker is None:
            return {"the node": (0, 0, 0)}
        back = node.broker.back
        drained = {*self.plan.queues, LEAST, *(client.name for client in self.clients)}
        left = {}
        for shard in (*node.shards, back.volatile.kernel):
            for queue in shard.queue_ids():
                counts = shard.counts(queue)
                if queue in back.queues:
                    wanted = back.queues[queue][1].name in drained
                else:
                    wanted = OUTBOX_BASE <= queue < RETAINED_BASE
                    if queue < OUTBOX_BASE:
                        left[f"orphan {queue}"] = counts
                if wanted and any(counts):
                    left[str(queue)] = counts
        return left

    def calm_round(self) -> None:
        """Everything gets its turn."""
        self.pass_time(ROUND_US)
        for _ in range(2):
            self.disk_step(0.0)
        for client in self.clients:
            was = client.link
            for what in (0, 3, 2, 1):
                if client.link is None and (client.idle and was is not None):
                    break
                if client.link is not None or client.wants_link:
                    self.move(client, what, 1 << 20)
            self.engine_step(True)
        self.transact()
        self.engine_step(True)

    def check_end(self) -> None:
        """A stop, a start, and everything is as it was."""
        node = self.node
        assert node is not None
        for _ in range(8):
            self.calm_round()
        node.check_replay()
