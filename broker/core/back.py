"""All backs of this node together: shards, their queues, the topology they follow, and time.

Fronts come here to find a shard, a queue or a route; the topology's outcomes come here to become
queues.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from broker.core.channel import Channel
from broker.core.client_directory import ClientDirectory
from broker.core.clients import Clients
from broker.core.consumer import Consumer
from broker.core.meta import Answer, Meta
from broker.core.outbox import OUTBOX_BASE, OUTBOX_BASES, Outbox, split_outbox_id
from broker.core.outcomes import Applied, Outcome
from broker.core.publishing import RouteTable
from broker.core.queue import Queue
from broker.core.replicated_shard import ReplicaChanged, ReplicatedShard, unchanged
from broker.core.retained import RetainedLimits
from broker.core.retained_messages import RetainedMessages
from broker.core.scram import DECOY_SECRET_SIZE
from broker.core.shard import Shard
from broker.core.sys_topics import Figures, SysTopics
from broker.core.topology import Topology
from broker.core.topology_commands import Bind, DeleteExchange, DeleteQueue, TopologyCommand, Touch, Unbind
from broker.core.topology_rows import QueueRow
from broker.core.traffic import Traffic
from broker.core.transaction_states import is_transaction_command
from broker.core.transactions import Transactions
from broker.core.volatile_shards import volatile_shard_id
from broker.model.commands import Outcome as Settled
from broker.model.names import NODE_SHIFT, QueueId, SessionId, ShardId, VhostName
from broker.model.queue_settings import ConfirmLevel
from kernel import MessageRun, any_due, any_urgent, busy_shards, receive_synced, under_way_size, wanting_shards

if TYPE_CHECKING:
    from broker.core.forwarding import Forwarding
    from broker.core.session import Session


class ClientSettings(msgspec.Struct, frozen=True):
    """What clients share."""

    sticky_shares: bool = False
    retained: RetainedLimits = RetainedLimits()
    default_confirm: ConfirmLevel = ConfirmLevel.QUORUM
    """Of queues that don't say."""


RowKey = tuple[VhostName, str]
DATA_SHARD_FIRST = 1
"""Shard 0 is the meta shard."""


class MetadataMissing(Exception):
    """Data is there that the topology says nothing of, and the topology is empty: nothing is deleted for that."""


class Back:
    """The shards that are led here."""

    def __init__(
        self,
        meta: Shard,
        logged: list[Shard],
        volatile: Shard,
        topology: Topology,
        random_bytes: Callable[[int], bytes],
        version: str = "",
        figures: Figures = dict,
        client_settings: ClientSettings | None = None,
        node_number: int = 0,
    ) -> None:
        """``version`` and ``figures`` are shown under ``$SYS``; ``node_number``: the node's in its cluster."""
        self.number_base = node_number << NODE_SHIFT
        topology.tables.number_volatile(self.number_base)
        self.random_bytes = random_bytes
        self.decoy_secret = random_bytes(DECOY_SECRET_SIZE)
        self.meta_shard = meta
        self.logged = logged
        self.volatile = volatile
        self.shards = [meta, *logged, volatile]
        self._kernels = [shard.kernel for shard in self.shards]
        self._logged = [shard for shard in self.shards if shard.logged]
        self._logged_kernels = [shard.kernel for shard in self._logged]
        self._replicas = [shard for shard in self.shards if isinstance(shard, ReplicatedShard)]
        self.topology = topology
        origin = meta.sender if isinstance(meta, ReplicatedShard) else None
        self.meta = Meta(meta, topology, self._receive_outcome, origin)
        self.forwarding: Forwarding | None = None
        """In a cluster: the way to shards that are led elsewhere."""
        self.make_session: Callable[[SessionId, dict[Session, None]], Session]
        """For a client that is connected to another node; there in a cluster."""
        self.replica_changed: ReplicaChanged = unchanged
        """Told what happened to a replica here."""
        self.queues: dict[int, tuple[Shard, Queue]] = {}
        self.now_ms = 0
        self.queue_lost: Callable[[Queue], None] = lambda queue: None
        """Told of a queue that is deleted, before its consumers are forgotten."""
        self._route_tables: dict[VhostName, RouteTable] = {}
        self._turn = itertools.count()
        self._led_turn = itertools.count()
        self._timers: list[tuple[int, int, Shard, int]] = []
        self._timer_turn = itertools.count()
        self.clients = Clients(self)
        self.transactions = Transactions(self)
        self._outboxes: dict[tuple[Shard, int], Outbox] = {}
        self.routing = True
        """The topology here is as new as any node's, as far as it matters."""
        self._when_routing: dict[Channel, Callable[[], None]] = {}
        self._client_settings = client_settings or ClientSettings()
        self.traffic = Traffic()
        """Of nobody's protocol."""
        self.traffic_by_protocol: dict[str, Traffic] = {}
        self.sys_topics = SysTopics(self, version, figures)
        self.retained = RetainedMessages(self, self._client_settings.retained)

    # ---- finding

    def routes(self, vhost: VhostName) -> RouteTable:
        table = self._route_tables.get(vhost)
        if table is None:
            router = self.topology.router(vhost)
            assert router is not None, vhost
            table = RouteTable(
                vhost,
                router,
                self.queues,
                ClientDirectory(self),
                lambda: self.retained.queue(vhost),
                self._client_settings.sticky_shares,
                self._client_settings.default_confirm,
            )
            self._route_tables[vhost] = table
        return table

    def next_shard(self) -> ShardId:
        """Where something new that is logged goes: each shard in turn."""
        return self.logged[next(self._turn) % len(self.logged)].id

    def next_led_shard(self) -> ShardId:
        """The same, among those that are led here, if any are: whoever is at this node is spared the way to another."""
        led = [shard for shard in self.logged if shard.leading] or self.logged
        return led[next(self._led_turn) % len(led)].id

    def logged_shard(self, id: ShardId) -> Shard:
        return self.logged[id - DATA_SHARD_FIRST]

    def forget_routes(self, vhost: VhostName) -> None:
        """Something there leads elsewhere now."""
        table = self._route_tables.get(vhost)
        if table is not None:
            table.forget()

    def publish(self, vhost: VhostName, messages: MessageRun) -> None:
        """The broker's own messages; nobody waits for them."""
        spread, turns = self.routes(vhost).spread(messages)
        for shard, routes in spread:
            shard.publish(messages, routes, turns)

    def traffic_of(self, protocol: str) -> Traffic:
        return self.traffic_by_protocol.setdefault(protocol, Traffic())

    def total_traffic(self) -> Traffic:
        """Of all protocols together."""
        return Traffic.sum_of([self.traffic, *self.traffic_by_protocol.values()])

    def stored_size(self) -> int:
        """Bytes of messages in memory."""
        return sum(shard.kernel.memory_size for shard in self.shards)

    @property
    def kept_size(self) -> int:
        """Bytes that this node's fronts said to shards of a cluster, and keep until they are applied."""
        size = 0
        for shard in self._replicas:
            size += shard.window_size
        return size

    @property
    def under_way_size(self) -> int:
        return under_way_size(self._logged_kernels)

    # ---- the topology's outcomes

    def submit(self, command: TopologyCommand, answer: Answer | None = None) -> None:
        if self.forwarding is not None and self.forwarding.naming.declare(command, answer):
            return
        self.meta.submit(command, answer, self.now_ms)

    def delete(self, queue: Queue, answer: Answer | None = None) -> None:
        """The row first, then what the shard holds."""
        queue.closing = True
        row = self.topology.queue(queue.id)
        assert row is not None
        self.submit(DeleteQueue(queue.vhost, queue.name, queue.id, row.owner), answer)

    @property
    def meta_index(self) -> int:
        return self.meta.index

    def when_topology(self, index: int, finish: Callable[[], None]) -> None:
        """Finishes once the topology here is that of this index of the meta shard, or later."""
        self.meta.when_topology(index, finish)

    def _receive_outcome(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Applied) or not outcome.changed:
            return
        self.forget_all_routes()
        for row in outcome.queues_dropped:
            self._drop(row.queue_id)
        if outcome.queue is not None:
            if self.topology.queue(outcome.queue.queue_id) is not None:
                self._create(outcome.queue)
            else:
                self._drop(outcome.queue.queue_id)
        for session in outcome.sessions_dropped:
            self.clients.receive_deleted(session)
        if outcome.session is not None:
            self.clients.receive_created(outcome.session)
        if self.forwarding is not None:
            self.retained.look_for_vhosts()
            self.forwarding.receive_outcome(outcome)
        for command in outcome.follow_ups:
            if self.meta_shard.leading or self.topology.is_volatile(command):
                self.submit(command)

    def _create(self, row: QueueRow) -> None:
        shard = self.shard_of(row)
        if shard.leading and row.queue_id not in self.queues and not shard.kernel.has_queue(row.queue_id):
            shard.create_queue(row.queue_id)
        self._lead(shard, row)

    def shard_of(self, row: QueueRow) -> Shard:
        if not row.volatile:
            return self.logged_shard(row.shard)
        return self.volatile_shard(row.queue_id)

    def owner_of(self, command: DeleteExchange | Bind | Unbind) -> Shard | None:
        """The volatile shard of the node where the change is made, if it is one of volatile things."""
        id = None if self.forwarding is None else self.topology.volatile_owned(command)
        return None if id is None else self.volatile_shard(id)

    def volatile_shard(self, id: int) -> Shard:
        """Where a volatile thing of this id is: here, or on the node whose number the id begins with."""
        if self.forwarding is None:
            return self.volatile
        return self.forwarding.volatile_shard(volatile_shard_id(id))

    def _lead(self, shard: Shard, row: QueueRow) -> None:
        """Its queue is known; only where its shard is led does anything happen in it."""
        settings = row.settings
        outbox = 0
        if shard.leading and settings.dead_letter_exchange is not None:
            outbox = self.outbox(shard, row.vhost)
        queue = Queue(self, shard.kernel, row.queue_id, row.vhost, row.spec.name, settings, outbox)
        queue.auto_delete = row.spec.auto_delete
        queue.used_ms = self.now_ms
        queue.fence = shard.fence
        shard.queues[row.queue_id] = queue
        self.queues[row.queue_id] = (shard, queue)
        shard.dirty[row.queue_id] = None

    def _drop(self, queue_id: QueueId) -> None:
        found = self.queues.pop(queue_id, None)
        if found is None:
            return
        shard, queue = found
        queue.closing = True
        self.queue_lost(queue)
        queue.end_burials()
        shard.queues.pop(queue_id, None)
        if shard.leading:
            shard.drop_queue(queue_id)
            if self.forwarding is not None and isinstance(shard, ReplicatedShard):
                self.forwarding.leader.receive_dropped(shard, queue_id)
        for table in self._route_tables.values():
            table.forget()

    def outbox(self, shard: Shard, vhost: VhostName, base: int = OUTBOX_BASE) -> int:
        """The queue id of what leaves the shard for others: dead letters, or what clients publish."""
        return self.open_outbox(shard, vhost, base).id

    def open_outbox(self, shard: Shard, vhost: VhostName, base: int) -> Outbox:
        id = base + self.topology.vhost_id(vhost)
        outbox = self._outboxes.get((shard, id))
        if outbox is None:
            if not shard.kernel.has_queue(id):
                shard.create_queue(id)
            outbox = self._outboxes[shard, id] = Outbox(shard, id, self.routes(vhost), lambda: self.routing)
            shard.queues[id] = outbox
            shard.dirty[id] = None
        return outbox

    def let_route(self, routing: bool) -> None:
        """Outboxes and publishers wait while it is false."""
        self.routing = routing
        if routing:
            for shard, id in self._outboxes:
                shard.dirty[id] = None
            waiting, self._when_routing = self._when_routing, {}
            for go_on in waiting.values():
                go_on()

    def when_routing(self, channel: Channel, go_on: Callable[[], None]) -> None:
        """Tells once this node may route again; meanwhile the channel waits."""
        self._when_routing[channel] = go_on

    def end_waiting(self, channel: Channel) -> None:
        """It is closed; what it holds that counts all the same is still to be done."""
        if not channel.held:
            self._when_routing.pop(channel, None)

    def find_outbox(self, shard: Shard, id: int) -> Outbox | None:
        """One that is open, in a shard that is led here."""
        return self._outboxes.get((shard, id))

    def open_wanted(self, shard: Shard, id: int) -> None:
        """Something comes for a queue of a shard that is led here: outboxes are made for it."""
        base, vhost_id = split_outbox_id(id)
        vhost = next((name for name in self.topology.vhosts() if self.topology.vhost_id(name) == vhost_id), None)
        if base in OUTBOX_BASES and vhost is not None:
            self.open_outbox(shard, vhost, base)

    def remove_consumer(self, consumer: Consumer) -> None:
        """It leaves its queue, wherever that is led."""
        found = self.queues.get(consumer.queue_id)
        if self.forwarding is not None and found is not None:
            self.forwarding.front.leave(consumer)
        else:
            self.leave_queue(consumer)

    def leave_queue(self, consumer: Consumer) -> None:
        """It leaves its queue, which is led here, if that is still there."""
        found = self.queues.get(consumer.queue_id)
        if found is None:
            return
        shard, queue = found
        queue.remove_consumer(consumer, self.now_ms)
        if queue.auto_delete and not queue.consumers and not queue.closing:
            self.delete(queue)
        else:
            shard.dirty[queue.id] = None  # what x-expires counts from has moved

    def settle(self, queue_id: int, first: int, last: int, outcome: Settled) -> Shard | None:
        """Ends deliveries; the queue's shard, None if it is gone."""
        found = self.queues.get(queue_id)
        if found is None:
            return None
        shard = found[0]
        shard.settle(queue_id, first, last, outcome)
        return shard

    # ---- starting

    def begin(self) -> None:
        """Leads what the topology says is here; goes on with what a crash interrupted."""
        rows = self.topology.queues()
        known = {row.queue_id for row in rows} | {row.queue_id for row in self.topology.sessions()}
        orphans = [
            (shard, id)
            for shard in self.logged
            for id in shard.kernel.queue_ids()
            if id < OUTBOX_BASE and id not in known
        ]
        if orphans and not self.topology.vhosts():
            raise MetadataMissing(f"{len(orphans)} queues hold data and the topology is empty")
        for shard, id in orphans:  # deleted, but for the last step
            shard.drop_queue(id)
        for row in rows:
            self._create(row)
        self.clients.begin()
        self.transactions.begin()
        for command in self.topology.unfinished():
            self.submit(command)
        for shard in self.logged:
            self._open_outboxes(shard)

    def _open_outboxes(self, shard: Shard) -> None:
        for vhost in self.topology.vhosts():
            for base in OUTBOX_BASES:
                if shard.kernel.has_queue(base + self.topology.vhost_id(vhost)):
                    self.outbox(shard, vhost, base)
        self.retained.open(shard)

    # ---- in a cluster

    def begin_following(self) -> None:
        """A node of a cluster begins: it leads nothing yet, and knows what there is."""
        self.meta.receive_index(self.meta_shard.kernel.applied_index)
        for row in self.topology.queues():
            self._lead(self.shard_of(row), row)

    def lead(self, shard: Shard) -> None:
        """The shard is led here from now on: its queues begin, and what was interrupted goes on."""
        if shard is self.meta_shard:
            for command in self.topology.unfinished():
                self.submit(command)
            return
        self._forget(shard)
        for row in self.topology.queues():
            if not row.volatile and row.shard == shard.id:
                if not shard.kernel.has_queue(row.queue_id):
                    shard.create_queue(row.queue_id)
                self._lead(shard, row)
        self.clients.lead_shard(shard)
        self.transactions.lead_shard(shard)
        self._open_outboxes(shard)
        self.retained.lead(shard)
        self.forget_all_routes()
        # What was deleted, but for the last step, is only known to be so by the newest topology.
        self.submit(Touch(), lambda outcome: self._receive_topology(shard))

    def receive_foreign_queue(self, row: QueueRow) -> None:
        """Another node has it, in memory."""
        self._lead(self.shard_of(row), row)

    def receive_foreign_gone(self, queue_id: QueueId) -> None:
        self._drop(queue_id)

    def _receive_topology(self, shard: Shard) -> None:
        if not shard.leading:
            return
        self.clients.receive_topology(shard)
        known = {row.queue_id for row in self.topology.queues()} | {row.queue_id for row in self.topology.sessions()}
        for id in shard.kernel.queue_ids():
            if id < OUTBOX_BASE and id not in known:
                shard.drop_queue(id)

    def end_leading(self, shard: Shard) -> None:
        """Another node leads it, or will."""
        if shard is self.meta_shard:
            return
        self.clients.end_shard(shard)
        self._forget(shard)
        for row in self.topology.queues():
            if not row.volatile and row.shard == shard.id:
                self._lead(shard, row)
        self.forget_all_routes()

    def _forget(self, shard: Shard) -> None:
        """What its leader's end remembers of it."""
        for key in [key for key in self._outboxes if key[0] is shard]:
            self._outboxes.pop(key).end()
        self.retained.forget(shard)
        shard.queues.clear()
        shard.dirty.clear()

    def forget_all_routes(self) -> None:
        """Queues, bindings or leaders are others now."""
        for table in self._route_tables.values():
            table.forget()

    # ---- time

    def schedule(self, deadline_ms: int, shard: Shard, queue_id: int) -> None:
        """Has the queue looked at when wall time is there."""
        heapq.heappush(self._timers, (deadline_ms, next(self._timer_turn), shard, queue_id))

    def schedule_queue(self, queue: Queue, deadline_ms: int) -> None:
        self.schedule(deadline_ms, self.queues[queue.id][0], queue.id)

    def receive_unused(self, queue: Queue) -> None:
        self.delete(queue)

    def receive_dropped(self, queue: Queue, count: int) -> None:
        """Clients' queues are counted, as MQTT brokers do."""

    @property
    def next_deadline_ms(self) -> int | None:
        first = self._timers[0][0] if self._timers else None
        for deadline in (self.clients.next_deadline_ms, self.sys_topics.next_deadline_ms):
            if deadline is not None and (first is None or deadline < first):
                first = deadline
        return first

    def receive_time(self, now_ms: int) -> None:
        """Wall time, which never goes back here."""
        self.now_ms = max(self.now_ms, now_ms)
        timers = self._timers
        while timers and timers[0][0] <= self.now_ms:
            _, _, shard, queue_id = heapq.heappop(timers)
            if queue_id in shard.queues:
                shard.dirty[queue_id] = None
        self.clients.receive_time(self.now_ms)
        self.sys_topics.receive_time(self.now_ms)

    # ---- a round

    def step(self, now: float) -> None:
        """Proposes, takes in what was applied, dispatches, until nothing more comes of it at once."""
        shards, kernels = self.shards, self._kernels
        again = True
        while again:
            busy = busy_shards(kernels)
            for number in busy:
                shard = shards[number]
                shard.propose(now, self.now_ms)
                commands = shard.receive_effects()
                if commands:
                    self.receive_commands(shard, commands)
            again = False
            if self.forwarding is not None:
                again = bool(busy) and self._receive_replicas(now)
                self.meta.receive_index(self.meta_shard.kernel.applied_index)
            for shard in shards:
                if shard.dirty and shard.hands_out:
                    shard.dispatch(self.now_ms)
                    again = True
            again = again or any_urgent(kernels)

    def _receive_replicas(self, now: float) -> bool:
        """In a cluster: what else happened to the replicas here.  Whether what comes after may be taken in now."""
        again = False
        for number in busy_shards(self._kernels):
            shard = self.shards[number]
            if not isinstance(shard, ReplicatedShard):
                continue
            effects = shard.kernel.take_replica_effects()
            if effects is None:
                continue
            applied, _, standing, restored, synced = effects
            if restored:
                again = True
                self._restore(shard)
            if synced and shard.leading and self.forwarding is not None:
                self.forwarding.receive_synced(shard, synced)
            self.replica_changed(shard, applied, standing, now)
        return again

    def _restore(self, shard: Shard) -> None:
        """Its state is that of a snapshot now."""
        if shard is not self.meta_shard:
            self.clients.restore(shard)
            self.transactions.restore(shard)
            return
        self.topology.replace(shard.kernel.rows())
        known = {row.queue_id: row for row in self.topology.queues()}
        of_clients = {row.queue_id for row in self.topology.sessions()} | self.clients.transient_ids
        for queue_id in [id for id in self.queues if id not in known and id not in of_clients]:
            self._drop(QueueId(queue_id))
        for row in known.values():
            if row.queue_id not in self.queues:
                self._create(row)
        self.forget_all_routes()
        self.meta.submit_again(self.now_ms)

    def receive_commands(self, shard: Shard, commands: list[tuple[int, int, bytes]]) -> None:
        """What was committed: in the meta shard the topology's, in others clients' sessions' and transactions'."""
        if shard is self.meta_shard:
            self.meta.receive_commands(commands)
            return
        of_clients = []
        for command in commands:
            if is_transaction_command(command[2]):
                self.transactions.receive_command(shard, command[2])
            else:
                of_clients.append(command)
        if of_clients:
            self.clients.receive_commands(shard, of_clients)

    def has_work(self) -> bool:
        """A step would do something at once."""
        return any_due(self._kernels) or any(shard.dirty and shard.hands_out for shard in self.shards)

    def take_wanted_reads(self) -> list[tuple[Shard, list[int]]]:
        """Entries that shards want in memory again; whoever reads them calls for a step after."""
        wanting = wanting_shards(self._kernels)
        return [(self.shards[number], self.shards[number].kernel.take_wanted_reads()) for number in wanting]

    def receive_synced(self, write: int) -> None:
        while (number := receive_synced(self._logged_kernels, write)) is not None and self.forwarding is not None:
            self.forwarding.receive_ceased(self._logged[number])

    def flush_at(self) -> float | None:
        """When settles that nobody waits for are due to be proposed."""
        first = None
        for shard in self.shards:
            at = shard.flush_at
            if at is not None and (first is None or at < first):
                first = at
        return first

    def mark_dirty(self, queue_ids: Iterable[int]) -> None:
        for queue_id in queue_ids:
            found = self.queues.get(queue_id)
            if found is None:
                continue
            if found[0].leading:
                found[0].dirty[queue_id] = None
            elif self.forwarding is not None:
                self.forwarding.front.receive_changed(queue_id)
