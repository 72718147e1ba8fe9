"""A queue at its shard's leader: who gets what, what expires, what is dropped.

Decides; the kernel's shard knows what is ready and what is held, and the log makes it last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from broker.core.consumer import UNBOUNDED, Consumer
from broker.model.names import QueueId, QueueName, VhostName
from broker.model.queue_settings import Overflow, QueueSettings
from kernel import DeliveryRun, MessageRun, Shard, dead_letter

FAIR_SHARE = 256
"""Messages one consumer is handed before the next one's turn, where several compete."""
BATCH = 4096
"""Messages expired, dropped or dead-lettered in one go."""
BURIED_COUNT_MAX = 512
"""Messages dead-lettered in one wave: with their bodies they are written again."""
GET_SIZE = 1 << 62

ACCEPTED, REJECTED, EXPIRED, OVERFLOWED, PURGED = 0, 1, 3, 4, 5
"""Outcomes of settles, by the log's numbers (kernel/src/wave.rs)."""
REASONS = {REJECTED: "rejected", EXPIRED: "expired", OVERFLOWED: "maxlen"}
"""What x-death calls them (amqp-0-9-1.md section 7)."""

Getter = Callable[["Queue"], bool]
"""A basic.get that waits for a read or for a mark; False: still to wait."""


NO_GETTERS: deque[Getter] = deque(maxlen=0)
NONE_DYING: deque[tuple[int, int, int]] = deque(maxlen=0)
"""What most queues have, shared: an empty deque takes 760 bytes."""


def _fence(consumer: Consumer) -> int:
    return consumer.fence


class QueueOwner(Protocol):
    """Whoever made a queue, as the queue knows it."""

    @property
    def now_ms(self) -> int:
        """Wall time."""

    def schedule_queue(self, queue: Queue, deadline_ms: int) -> None:
        """It is to be dispatched at this wall time."""

    def receive_unused(self, queue: Queue) -> None:
        """Nobody used it for as long as x-expires says."""

    def receive_dropped(self, queue: Queue, count: int) -> None:
        """So many messages were dropped because it was full."""


class Queue:
    """One queue, led here."""

    __slots__ = (
        "_active",
        "_burials",
        "_dying",
        "_getters",
        "_ranks",
        "_rejected",
        "_timer_ms",
        "_turn",
        "auto_delete",
        "closing",
        "fence",
        "had_consumers",
        "id",
        "kernel",
        "name",
        "outbox",
        "owner",
        "settings",
        "used_ms",
        "vhost",
    )

    def __init__(
        self,
        owner: QueueOwner,
        kernel: Shard,
        id: QueueId,
        vhost: VhostName,
        name: QueueName,
        settings: QueueSettings,
        outbox: int,
    ) -> None:
        self.owner = owner
        self.kernel = kernel
        self.id = id
        self.vhost = vhost
        self.name = name
        self.settings = settings
        self.outbox = outbox
        """The queue of this shard in which its dead letters wait to be moved."""
        self._ranks: list[list[Consumer]] = []
        """Consumers of equal priority, the highest first."""
        self._active: Consumer | None = None
        """Of a queue with a single active consumer: which one it is."""
        self.fence = 0
        """The last one that was given to a consumer as it became active."""
        self.closing = False
        self.used_ms = 0
        """When it was last declared, got from or left by a consumer: x-expires counts from then."""
        self.auto_delete = False
        self.had_consumers = False
        self._timer_ms = 0
        self._turn = 0
        self._getters = NO_GETTERS
        self._dying = NONE_DYING
        self._rejected = NONE_DYING
        """The same, by consumers: goes before what expired, of which there may be much to read."""
        self._burials: list[Callable[[], None]] | None = None

    # ---- consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Nothing is delivered before the next dispatch."""
        self.had_consumers = True
        consumer.holds &= self._active is None
        self.kernel.reserve_mark(self.id)
        for rank in self._ranks:
            if rank[0].priority == consumer.priority:
                rank.append(consumer)
                return
        self._ranks.append([consumer])
        self._ranks.sort(key=lambda rank: -rank[0].priority)

    def remove_consumer(self, consumer: Consumer, now_ms: int) -> None:
        for rank in self._ranks:
            if consumer in rank:
                rank.remove(consumer)
        self._ranks = [rank for rank in self._ranks if rank]
        if consumer is self._active:
            self._active = None
        self.used_ms = now_ms

    @property
    def consumers(self) -> list[Consumer]:
        return [consumer for rank in self._ranks for consumer in rank]

    @property
    def consumer_count(self) -> int:
        return sum(map(len, self._ranks))

    @property
    def in_exclusive_use(self) -> bool:
        return any(consumer.exclusive for consumer in self.consumers)

    def excludes(self, exclusive: bool) -> bool:
        """Another consumer, that wants it for itself or not, may not come."""
        if self.in_exclusive_use:
            return True
        return exclusive and (bool(self._ranks) or self.settings.single_active_consumer)

    @property
    def active(self) -> Consumer | None:
        """The single active consumer, of a queue that has one at a time."""
        return self._active

    def _serving(self) -> list[list[Consumer]]:
        """Of a queue with a single active consumer: that one, unless an earlier one still holds messages.

        The first that came of those with the highest priority is next.  After a change of leader it stays who it was:
        who still holds messages, else whose fence is the highest.
        """
        if not self._ranks:
            return []
        if self._active is None:
            holders = [consumer for consumer in self.consumers if consumer.holds]
            if holders:
                self._activate(max(holders, key=_fence))
        best = self._ranks[0]
        if self._active is None or self._active.priority < best[0].priority:
            if self.kernel.counts(self.id)[1]:
                return []
            self._activate(max(best, key=_fence))
        assert self._active is not None
        return [[self._active]]

    def _activate(self, consumer: Consumer) -> None:
        for each in self.consumers:
            each.holds = False
        self.fence += 1
        self._active = consumer
        consumer.fence = self.fence

    @property
    def ready_count(self) -> int:
        return self.kernel.counts(self.id)[0]

    @property
    def under_way_count(self) -> int:
        """How many were published to it that it doesn't hold yet."""
        return self.kernel.counts(self.id)[2]

    # ---- publishing

    @property
    def rejects_when_full(self) -> bool:
        settings = self.settings
        bounded = settings.length_max is not None or settings.size_max is not None
        return bounded and settings.overflow is not Overflow.DROP_HEAD

    def room(self) -> int:
        """How many more messages it takes before it rejects."""
        ready, _, under_way = self.kernel.counts(self.id)
        room = UNBOUNDED
        if self.settings.length_max is not None:
            room = self.settings.length_max - ready - under_way
        if self.settings.size_max is not None and self.kernel.ready_size(self.id) >= self.settings.size_max:
            room = 0
        return max(room, 0)

    # ---- delivering

    def dispatch(self, now_ms: int) -> None:
        """Something changed: hands out what is ready, and drops what has to go."""
        kernel, id = self.kernel, self.id
        if kernel.may_expire:
            self.expire(now_ms)
        ready = kernel.counts(id)[0] if self._ranks else 0
        for rank in self._serving() if self.settings.single_active_consumer else self._ranks:
            if ready <= 0:
                break
            ready = self._deliver(rank, ready)
        self._answer_getters()
        settings = self.settings
        if (settings.length_max is not None or settings.size_max is not None) and not self.rejects_when_full:
            self._trim(now_ms)
        self.bury(now_ms)
        if kernel.may_expire or settings.expires_ms is not None:
            self._set_timer(now_ms)

    def _set_timer(self, now_ms: int) -> None:
        """Asks to be looked at when its head expires, or it itself."""
        deadline_ms = self.kernel.head_expires_ms(self.id)
        expires_ms = self.settings.expires_ms
        if expires_ms is not None and not self._ranks and not self.closing:
            unused_ms = self.used_ms + expires_ms
            if unused_ms <= now_ms:
                self.owner.receive_unused(self)
                return
            deadline_ms = min(deadline_ms or unused_ms, unused_ms)
        if self._timer_ms <= now_ms or 0 < deadline_ms < self._timer_ms:
            self._timer_ms = deadline_ms
            if deadline_ms:
                self.owner.schedule_queue(self, deadline_ms)

    def _deliver(self, consumers: list[Consumer], ready: int) -> int:
        """Hands out to consumers of one rank; how many are left for the next, 0 if none can be had now."""
        take, id = self.kernel.take, self.id
        count = len(consumers)
        share = ready if count == 1 else min(-(-ready // count), FAIR_SHARE)
        passed_over = 0
        while ready > 0 and passed_over < count:
            self._turn += 1
            consumer = consumers[self._turn % count]
            outlet = consumer.outlet
            credit = min(consumer.credit, outlet.channel_credit(consumer))
            if credit <= 0 or outlet.room <= 0:
                if credit > 0:
                    outlet.starve(consumer)
                passed_over += 1
                continue
            taken = take(id, min(credit, share), outlet.room, consumer.no_ack)
            if taken is None:
                return 0  # not in memory, or beyond the mark: the queue changes again when it is
            deliveries, sequences, taken_count, size = taken
            if not consumer.no_ack:
                consumer.credit -= taken_count
            outlet.deliver(consumer, deliveries, sequences, taken_count, size)
            ready -= taken_count
            passed_over = 0
        return ready

    def get(self, no_ack: bool) -> tuple[DeliveryRun, list[tuple[int, int]], int] | None:
        """One message, its sequence, and how many more are ready; None: none can be had now."""
        taken = self.kernel.take(self.id, 1, GET_SIZE, no_ack)
        if taken is None:
            return None
        return taken[0], taken[1], self.ready_count

    def wait_to_get(self, getter: Getter) -> None:
        if self._getters is NO_GETTERS:
            self._getters = deque()
        self._getters.append(getter)

    def lose_getters(self) -> None:
        """The queue is gone, and they are told so."""
        self._answer_getters()
        assert not self._getters

    def _answer_getters(self) -> None:
        getters = self._getters
        while getters:
            getter = getters.popleft()
            if not getter(self):
                getters.appendleft(getter)
                return

    def purge(self) -> int:
        """Settles all that is ready; how many that is."""
        count = 0
        for first, last in self.kernel.check_out(self.id, UNBOUNDED):
            self.kernel.settle(self.id, first, last, PURGED)
            count += last - first + 1
        return count

    # ---- dropping

    def reject(self, first: int, last: int) -> None:
        """A consumer will not have these: dead-lettered, or gone."""
        self.kernel.hold(self.id, first, last)  # who rejects may have lost them to somebody else
        if self.settings.dead_letter_exchange is None:
            self.kernel.settle(self.id, first, last, REJECTED)
            return
        self._rejected = _with_dying(self._rejected, first, last, REJECTED)
        self.bury(self.owner.now_ms)

    def expire(self, now_ms: int) -> None:
        """Drops what expired at the head; the rest goes when it gets there, as in RabbitMQ."""
        while ranges := self.kernel.check_out_expired(self.id, now_ms, BATCH):
            for first, last in ranges:
                self._end(first, last, EXPIRED)
        self.bury(now_ms)

    def _trim(self, now_ms: int) -> None:
        """drop-head: what is ready beyond the bounds goes, oldest first."""
        settings = self.settings
        excess = 0
        if settings.length_max is not None:
            excess = self.ready_count - settings.length_max
        if excess > 0:
            self.owner.receive_dropped(self, excess)
            for first, last in self.kernel.check_out(self.id, excess):
                self._end(first, last, OVERFLOWED)
        if settings.size_max is not None:
            while self.ready_count and self.kernel.ready_size(self.id) > settings.size_max:
                for first, last in self.kernel.check_out(self.id, 1):
                    self._end(first, last, OVERFLOWED)
        self.bury(now_ms)

    def _end(self, first: int, last: int, outcome: int) -> None:
        if self.settings.dead_letter_exchange is None:
            self.kernel.settle(self.id, first, last, outcome)
        else:
            self._dying = _with_dying(self._dying, first, last, outcome)

    @property
    def is_burying(self) -> bool:
        """What was rejected has to be read first, of which nothing is in the log until it was."""
        return bool(self._rejected)

    def when_buried(self, finish: Callable[[], None]) -> None:
        """Finishes once all that was rejected so far is proposed, or has gone with the queue."""
        if not self._rejected:
            finish()
        elif self._burials is None:
            self._burials = [finish]
        else:
            self._burials.append(finish)

    def end_burials(self) -> None:
        """There is nothing more to be dead-lettered."""
        finishing, self._burials = self._burials or (), None
        for finish in finishing:
            finish()

    def bury(self, now_ms: int) -> None:
        """Puts what is to be dead-lettered into the outbox, each in one wave with its settle."""
        if not self._rejected and not self._dying:
            return
        if self._bury(self._rejected, now_ms):
            if self._burials is not None:
                self.end_burials()
            self._bury(self._dying, now_ms)

    def _bury(self, dying: deque[tuple[int, int, int]], now_ms: int) -> bool:
        """False: something has to be read first; the queue changes again when it was."""
        exchange = self.settings.dead_letter_exchange
        assert exchange is not None
        routing_key = self.settings.dead_letter_routing_key
        while dying:
            first, last, outcome = dying[0]
            peeked = self.kernel.peek(self.id, first, last)
            if peeked is None:
                return False
            deliveries, through = peeked
            dying.popleft()
            if through < last:
                dying.appendleft((through + 1, last, outcome))
            if not deliveries.count:
                continue  # settled by somebody else meanwhile
            messages: MessageRun = dead_letter(
                deliveries,
                self.name.encode(),
                REASONS[outcome],
                exchange.encode(),
                None if routing_key is None else routing_key.encode(),
                now_ms // 1000,
            )
            self.kernel.bury(messages, self.outbox, self.id, [(first, through)], outcome)
        return True


def _with_dying(dying: deque[tuple[int, int, int]], first: int, last: int, outcome: int) -> deque[tuple[int, int, int]]:
    """And these, in parts of which each can be told whole."""
    if dying is NONE_DYING:
        dying = deque()
    for start in range(first, last + 1, BURIED_COUNT_MAX):
        dying.append((start, min(start + BURIED_COUNT_MAX - 1, last), outcome))
    return dying
