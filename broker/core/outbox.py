"""Moves: what leaves one shard for others, once each (log-and-shards.md section 5).

An outbox is a queue of its shard like any other, and this is its only consumer: it routes what waits
there, sends it to the shards of its destinations numbered by its sequence, and settles it when all of
them have applied it.  After a crash it sends again from the first that is not settled; a shard that
has applied a number drops the repeat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from broker.core.publishing import RouteTable
from broker.core.queue import ACCEPTED
from broker.core.shard import Shard
from kernel import MessageRun

MOVED_COUNT_MAX = 1024
MOVED_SIZE_MAX = 512 << 10
OUTBOX_BASE = 1 << 62
"""Outboxes' queue ids: above every id that is given to a queue."""
CLIENT_OUTBOX_BASE = OUTBOX_BASE + (1 << 60)
"""Those of what MQTT clients publish: a run has one form, and among dead letters of AMQP it would become theirs."""
TRANSACTION_OUTBOX_BASE = OUTBOX_BASE + (1 << 59)
"""Those of what was published in transactions, for each origin one: likewise."""
ORIGIN_COUNT_MAX = 8
VHOST_ID_BITS = 56
MOVES_PEER = (1 << 64) - 1
"""Less the shard's number, the peer under which a shard sends moves; nodes' ids are drawn below 2^63."""


def transaction_outbox_base(origin: int) -> int:
    assert origin < ORIGIN_COUNT_MAX
    return TRANSACTION_OUTBOX_BASE + (origin << VHOST_ID_BITS)


def split_outbox_id(id: int) -> tuple[int, int]:
    """The base, and the vhost's id."""
    return id >> VHOST_ID_BITS << VHOST_ID_BITS, id & ((1 << VHOST_ID_BITS) - 1)


OUTBOX_BASES = (OUTBOX_BASE, CLIENT_OUTBOX_BASE, *map(transaction_outbox_base, range(ORIGIN_COUNT_MAX)))


class Outbox:
    """The moves of one shard that belong to one vhost."""

    def __init__(self, shard: Shard, id: int, routes: RouteTable, may_route: Callable[[], bool]) -> None:
        self.id = id
        self._shard = shard
        self._routes = routes
        self._may_route = may_route
        self._bounded = not TRANSACTION_OUTBOX_BASE <= id < CLIENT_OUTBOX_BASE
        """Whether a full queue may reject what comes; whoever committed a transaction was told that it is in."""
        self._waits = 0
        self._moving: tuple[int, int] | None = None
        self._waiting: deque[tuple[int, int, MessageRun]] = deque()
        self._sent_through = 0
        self._watchers: deque[tuple[int, Callable[[], None]]] = deque()
        self._moved_through = 0
        self._awaited: deque[tuple[int, Callable[[], None]]] = deque()

    def when_sent(self, through: int, finish: Callable[[], None]) -> None:
        """Finishes once all before this sequence is on its way to its shards, before all that they are sent later."""
        if self._sent_through >= through:
            finish()
        else:
            self._watchers.append((through, finish))

    def when_moved(self, through: int, finish: Callable[[], None]) -> None:
        """Finishes once all before this sequence has arrived; never, if its shard is led elsewhere before."""
        if self._moved_through >= through or not sum(self._shard.kernel.counts(self.id)):
            finish()
        else:
            self._awaited.append((through, finish))

    def end(self) -> None:
        """Its shard is led here no more: whoever leads it sends again what is under way.

        Who watches the sending is told, and sees that.
        """
        self._moving = None
        self._waiting.clear()
        self._awaited.clear()
        watchers, self._watchers = self._watchers, deque()
        for _, finish in watchers:
            finish()

    def dispatch(self, now_ms: int) -> None:
        """One run is under way at a time."""
        while self._moving is None and self._may_route():
            if not self._waiting and not self._take():
                return
            first, last, messages = self._waiting.popleft()
            self._moving = (first, last)
            self._send(first, last, messages)

    def _take(self) -> bool:
        taken = self._shard.kernel.take(self.id, MOVED_COUNT_MAX, MOVED_SIZE_MAX)
        if taken is None:
            return False
        deliveries, sequences, _, _ = taken
        messages = deliveries.messages()
        at = 0
        for first, last in sequences:
            run = messages.before(at + last - first + 1).after(at)
            at += last - first + 1
            if self._routes.cycles(run):
                # Rare: each by itself, so that it can be kept from one queue.
                singles = range(run.count)
                self._waiting.extend((first + i, first + i, run.before(i + 1).after(i)) for i in singles)
            else:
                self._waiting.append((first, last, run))
        return True

    def _send(self, first: int, last: int, messages: MessageRun) -> None:
        sender = (MOVES_PEER - self._shard.id, self.id)
        without = self._routes.cycles(messages)
        self._waits = 1
        spread, turns = self._routes.spread(messages, without, bounded=self._bounded)
        for shard, routes in spread:
            number = shard.move(messages, routes, turns, sender, first, last)
            if number is None:
                continue  # sent before a crash, and applied
            self._waits += 1
            shard.when_applied(number, self)
        self._sent_through = last + 1
        while self._watchers and self._watchers[0][0] <= last + 1:
            self._watchers.popleft()[1]()
        self.applied()

    def applied(self) -> None:
        """One more shard has applied its part, or the sending is done."""
        self._waits -= 1
        if self._waits or self._moving is None:
            return
        first, last = self._moving
        self._shard.kernel.settle(self.id, first, last, ACCEPTED)
        self._moving = None
        self._moved_through = last + 1
        while self._awaited and self._awaited[0][0] <= last + 1:
            self._awaited.popleft()[1]()
        self._shard.dirty[self.id] = None
