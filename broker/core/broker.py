"""The broker without I/O: sessions in front, shards behind, one step for everybody's commands of a round."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

from broker.core.back import Back, ClientSettings
from broker.core.consumer import Consumer
from broker.core.forwarding import Forwarding
from broker.core.front_end import Claim
from broker.core.leader_end import Send
from broker.core.queue import Queue
from broker.core.queue_reader import QueueReader
from broker.core.replicated_shard import ReplicatedShard
from broker.core.session import Session
from broker.core.shard import Shard
from broker.core.sys_topics import Figures
from broker.core.topology import Topology
from broker.core.users import DEFAULT_PASSWORD, DEFAULT_USER, founding_commands
from broker.model import replies as r
from broker.model.names import NODE_SHIFT, SessionId, UserName
from broker.model.names import Channel as ChannelNumber

CONGESTED_SIZE = 16 << 20
"""Bytes proposed and not committed, after which publishers' sockets are not read; half of it lets them go on."""
SALT_SIZE = 16
LOW_ON_MEMORY = "low on memory"
"""The one alarm that isn't the disk's."""


Read = Callable[[], object]


class Broker:
    """One node's core."""

    def __init__(
        self,
        meta: Shard,
        logged: list[Shard],
        volatile: Shard,
        topology: Topology,
        random_bytes: Callable[[int], bytes],
        volatile_size_max: int = 256 << 20,
        version: str = "",
        figures: Figures = dict,
        client_settings: ClientSettings | None = None,
        node_number: int = 0,
    ) -> None:
        """``version`` and ``figures`` (the server's counters) are shown under ``$SYS``; ``node_number``: the node's in
        its cluster."""
        self.back = Back(meta, logged, volatile, topology, random_bytes, version, figures, client_settings, node_number)
        self.back.queue_lost = self._lose_queue
        self.sessions: dict[SessionId, Session] = {}
        self.busy: dict[Session, None] = {}
        self.disk_alarm: str | None = None
        """Why publishers can't be served, if the journal says so."""
        self.after_step: Callable[[float], None] = lambda now: None
        """In a cluster: what the step made is to go to the other nodes."""
        self.after_sync: Callable[[], None] = lambda: None
        """In a cluster: so are acknowledgements, which others wait for while this node goes on."""
        self.before_round: Callable[[float], None] = lambda now: None
        """In a cluster: time may have gone by since the others heard this node."""
        self.isolated = False
        """In a cluster: most other nodes don't hear this one, which so routes nothing."""
        self.guard_read: Callable[[Read], Read] = lambda read: read
        """Makes one of each read that takes what it raises; without it whoever carries out the read does."""
        self._volatile_size_max = volatile_size_max
        self._ids = itertools.count((node_number << NODE_SHIFT) + 1)
        self._alarm: str | None = None
        self._congested = self._cut_off = False

    def replay(self) -> None:
        """Commands that the log holds beyond the rows, before anything begins."""
        for shard in (self.back.meta_shard, *self.back.logged):
            self.back.receive_commands(shard, shard.receive_effects())

    def begin(self, now: float, now_ms: int, user: UserName = DEFAULT_USER, password: bytes = DEFAULT_PASSWORD) -> None:
        """Every shard leads and serves: takes up what is there, or founds a new store with a first user."""
        self.back.receive_time(now_ms)
        if not self.back.topology.vhosts():
            for command in founding_commands(self.back.random_bytes(SALT_SIZE), user, password):
                self.back.submit(command)
        self.back.begin()
        self.step(now, now_ms)

    @property
    def founded(self) -> bool:
        """There is a vhost to connect to."""
        return bool(self.back.topology.vhosts())

    def open_session(self) -> Session:
        session = Session(self.back, SessionId(next(self._ids)), self.busy)
        self.sessions[session.id] = session
        session.blocked = self.blocked
        return session

    def close_session(self, session: Session) -> None:
        """The connection is gone."""
        session.close()
        self.sessions.pop(session.id, None)

    def begin_round(self, now: float) -> None:
        """Before anything is taken in that came."""
        self.before_round(now)

    def step(self, now: float, now_ms: int) -> None:
        """One round: proposes what came, takes in what was committed, hands out what is ready."""
        self.back.receive_time(now_ms)
        self.back.step(now)
        if self.back.forwarding is not None:
            self.back.forwarding.step(now)
            self.after_step(now)
        self._watch()

    def join(self, shards: Sequence[ReplicatedShard], send: Send) -> Forwarding:
        """The shards have replicas on other nodes; ``send`` brings words to them."""
        by_id = {shard.id: shard for shard in shards}
        self.back.make_session = lambda id, busy: Session(self.back, id, busy)
        forwarding = self.back.forwarding = Forwarding(self.back, by_id, send, self._claims, self._holds)
        self.back.begin_following()
        return forwarding

    def _claims(self, shard: ReplicatedShard) -> list[Claim]:
        """What clients here hold of a shard's queues."""
        queues = self.back.queues
        held = []
        for session in self.sessions.values():
            for channel in session.channels.values():
                for _, queue_id, first, last in channel.unsettled.copy().take_all():
                    found = queues.get(queue_id)
                    if found is not None and found[0] is shard:
                        held.append((queue_id, first, last))
        for client in self.back.clients.sessions.values():
            if client.attachment is not None and client.attachment.held is not None:
                held += [each for each in client.attachment.held if each[0] in shard.queues]
        return held

    def _holds(self, consumer: Consumer) -> bool:
        """Its client has something to settle that it was handed."""
        outlet = consumer.outlet
        if isinstance(outlet, QueueReader):
            return outlet.holds
        assert isinstance(outlet, Session)
        unsettled = outlet.channels[ChannelNumber(consumer.channel)].unsettled.copy()
        return any(number == consumer.number for number, _, _, _ in unsettled.take_all())

    def receive_synced(self, write: int) -> None:
        """The journal's writes through this one are on disk; the next step makes something of it."""
        self.back.receive_synced(write)
        self.after_sync()

    def take_wanted_reads(self) -> list[Read]:
        """What is to be read from disk, each on any thread; a step after it makes something of it."""
        wanted = self.back.take_wanted_reads()
        return [self.guard_read(partial(shard.kernel.read, entries)) for shard, entries in wanted]

    @property
    def pending(self) -> bool:
        """A step would do something although nothing more came."""
        return self.back.has_work()

    @property
    def holding(self) -> bool:
        """Something was taken in that is not with the journal yet, as settles that nobody waits for are."""
        return any(shard.kernel.pending for shard in self.back.logged)

    def take_busy(self) -> list[Session]:
        """Sessions that have replies."""
        busy = list(self.busy)
        self.busy.clear()
        return busy

    def next_deadline(self, now: float, now_ms: int) -> float | None:
        """When a step is due although nothing came, in seconds of the monotonic clock.

        ``now_ms``: wall time at ``now``; that of the last step may be long ago.
        """
        deadline = self.back.flush_at()
        if self.back.forwarding is not None:
            claims_at = self.back.forwarding.next_deadline
            if claims_at is not None and (deadline is None or claims_at < deadline):
                deadline = claims_at
        timer_ms = self.back.next_deadline_ms
        if timer_ms is not None:
            at = now + max(timer_ms - now_ms, 0) / 1000
            if deadline is None or at < deadline:
                deadline = at
        return deadline

    @property
    def alarm(self) -> str | None:
        """Why publishers can't be served at present, in the words that they are told."""
        return self._alarm

    @property
    def blocked(self) -> bool:
        return self._congested or self._cut_off or self._alarm is not None

    def isolate(self, isolated: bool) -> None:
        """Whether it routes nothing: others may know of changes of the topology that it doesn't."""
        self.isolated = isolated
        self.back.let_route(not isolated)

    def _watch(self) -> None:
        """Back-pressure: stops publishers by their sockets, and says so where it may last."""
        under_way = self.back.under_way_size + self.back.kept_size
        congested = under_way > (CONGESTED_SIZE // 2 if self._congested else CONGESTED_SIZE)
        alarm = self.disk_alarm
        volatile_size = self.back.volatile.kernel.memory_size
        limit = self._volatile_size_max
        if volatile_size > (limit - limit // 8 if self._alarm == LOW_ON_MEMORY else limit):
            alarm = LOW_ON_MEMORY
        if congested == self._congested and alarm == self._alarm and self.isolated == self._cut_off:
            return
        if (alarm is None) != (self._alarm is None):
            reply: r.Reply = r.Unblock() if alarm is None else r.Block(alarm)
            for session in self.sessions.values():
                session.say(reply)
        self._congested, self._alarm, self._cut_off = congested, alarm, self.isolated
        for session in self.sessions.values():
            session.blocked = self.blocked

    def _lose_queue(self, queue: Queue) -> None:
        queue.lose_getters()
        consumers = dict.fromkeys(queue.consumers)
        if self.back.forwarding is not None:
            consumers |= dict.fromkeys(self.back.forwarding.front.take_dropped(queue))
        for consumer in consumers:
            consumer.outlet.lose_consumer(consumer)
