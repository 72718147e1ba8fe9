"""Moves: what leaves one shard for others, once each (log-and-shards.md section 5).

An outbox is a queue of its shard like any other, and this is its only consumer: it routes what waits
there, sends it to the shards of its destinations numbered by its sequence, and settles it when all of
them have applied it.  After a crash it sends again from the first that is not settled; a shard that
has applied a number drops the repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from broker.core.shard import Shard
from kernel import MessageRun, Route
from kernel import Shard as KernelShard

MOVED_COUNT_MAX = 1024
MOVED_SIZE_MAX = 512 << 10
OUTBOX_BASE = 1 << 62
"""Outboxes' queue ids: above every id that is given to a queue."""
MOVES_PEER = (1 << 64) - 1
"""The peer under which a shard sends moves; no node's id, which are drawn below it."""

Resolve = Callable[[MessageRun], Sequence[tuple[Shard, list[Route]]]]
"""Where a run of a vhost leads: for each shard, a route for each of the run's keys."""


def outbox_id(shard: int, vhost_number: int) -> int:
    return OUTBOX_BASE | shard << 32 | vhost_number


class Outbox:
    """The moves of one shard that belong to one vhost."""

    def __init__(self, shard: Shard, id: int, resolve: Resolve) -> None:
        self.id = id
        self._shard = shard
        self._resolve = resolve
        self._waits = 0
        self._moving: list[tuple[int, int]] = []

    def dispatch(self, now_ms: int) -> None:
        """One batch is under way at a time."""
        while not self._moving:
            kernel = self._shard.kernel
            taken = kernel.take(self.id, self._count_max(kernel), MOVED_SIZE_MAX)
            if taken is None:
                return
            deliveries, self._moving, _, _ = taken
            self._send(deliveries.messages())

    def _count_max(self, kernel: KernelShard) -> int:
        return MOVED_COUNT_MAX

    def _send(self, messages: MessageRun) -> None:
        last = self._moving[-1][1]
        sender = (MOVES_PEER, self.id)
        self._waits = 1
        for shard, routes in self._resolve(messages):
            through = shard.kernel.applied_through(*sender)
            if through > last:
                continue
            first = self._moving[0][0]
            part = messages if through <= first else messages.after(through - first)
            self._waits += 1
            shard.kernel.receive_move(part, routes, sender, last + 1)
            shard.when_applied(shard.kernel.barrier(), self)
        self.applied()

    def applied(self) -> None:
        """One more shard has applied its part, or the sending is done."""
        self._waits -= 1
        if self._waits:
            return
        for first, last in self._moving:
            self._shard.kernel.settle(self.id, first, last, 0)
        self._moving = []
        self._shard.dirty[self.id] = None
