"""The back of the broker: a shard at its leader, its queues, and who waits for its log.

Fronts number what they send here (the kernel does it); a completion is called once the shard has
applied everything through its number.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from broker.model.names import ShardId
from kernel import Shard as KernelShard

SETTLE_DELAY_S = 0.01
"""Settles alone ride with the next write, so late at the latest (log-and-shards.md section 7)."""

NO_QUEUE = 0
"""Ids begin at 1."""


class Completion(Protocol):
    """Somebody who waits for a command to be applied."""

    def applied(self) -> None: ...


class Dispatcher(Protocol):
    """What a change of a queue is told to: a queue, or an outbox."""

    def dispatch(self, now_ms: int) -> None: ...


class Shard:
    """One shard, led here."""

    def __init__(self, kernel: KernelShard) -> None:
        self.kernel = kernel
        self.id = ShardId(kernel.id)
        self.logged = kernel.logged
        self.queues: dict[int, Dispatcher] = {}
        self.dirty: dict[int, None] = {}
        """Queues to be dispatched in this round, in order."""
        self.flush_at: float | None = None
        """When what nobody waits for is proposed all the same."""
        self._completions: deque[tuple[int, Completion]] = deque()
        self._unpinned = 1

    def when_applied(self, number: int, completion: Completion) -> None:
        """Numbers must not go back."""
        self._completions.append((number, completion))

    def look_again(self) -> None:
        """Something was taken in that nobody waits for: within this round it is seen to when it is due."""
        self.dirty[NO_QUEUE] = None

    def propose(self, now: float, now_ms: int) -> None:
        """Proposes what somebody waits for, or has waited for long enough."""
        kernel = self.kernel
        if not kernel.pending:
            return
        if self.logged and not kernel.urgent:
            if self.flush_at is None:
                self.flush_at = now + SETTLE_DELAY_S
            if now < self.flush_at:
                return
        self.flush_at = None
        kernel.propose(now_ms)

    def receive_effects(self) -> list[tuple[int, int, bytes]]:
        """Takes in what was applied: completions are called, changed queues are dirty.  Answers committed commands."""
        effects = self.kernel.take_effects()
        if effects is None:
            return []
        changed, dropped, through, commands = effects
        queues, dirty, completions = self.queues, self.dirty, self._completions
        for queue_id in dropped:
            queues.pop(queue_id, None)
        for queue_id in changed:
            if queue_id in queues:
                dirty[queue_id] = None
        while completions and completions[0][0] <= through:
            completions.popleft()[1].applied()
        return commands

    def dispatch(self, now_ms: int) -> None:
        """Lets the dirty queues hand out what they can."""
        dirty, self.dirty = self.dirty, {}
        queues = self.queues
        for queue_id in dirty:
            queue = queues.get(queue_id)
            if queue is not None:
                queue.dispatch(now_ms)
        if not self.logged:
            # What was not delivered at once ages: it must not pin the reads it came in.
            self._unpinned = self.kernel.unpin(self._unpinned)

    def receive_synced(self, write: int) -> None:
        """The journal's writes through this one are on disk."""
        self.kernel.receive_synced(write)
