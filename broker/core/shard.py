"""A shard as this node has it: what fronts say to it, and its leader's end while it is led here.

What fronts say is numbered; a completion is called once the shard has applied everything through its number.  On a
node alone the kernel numbers, and everything is taken in at once; ``replicated_shard.py`` is the other kind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from broker.core.queue import ACCEPTED, Queue
from broker.model.commands import Outcome
from broker.model.names import ShardId
from kernel import MessageRun, Route
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
    """One shard.  Led here always, if it has no other replicas."""

    def __init__(self, kernel: KernelShard, id: ShardId | None = None) -> None:
        self.kernel = kernel
        self.id = ShardId(kernel.id) if id is None else id
        self.logged = kernel.logged
        self.leading = True
        """It is led here, and what it holds is handed out."""
        self.hands_out = True
        """Its dirty queues are to be dispatched."""
        self.queues: dict[int, Dispatcher] = {}
        self.dirty: dict[int, None] = {}
        """Queues to be dispatched in this round, in order."""
        self.flush_at: float | None = None
        """When what nobody waits for is proposed all the same."""
        self._completions: deque[tuple[int, Completion]] = deque()
        self._unpinned = 1

    @property
    def fence(self) -> int:
        """What is below those that its queues' single active consumers get from here on."""
        return 0

    @property
    def rejects_later(self) -> bool:
        """What queues reject of a publish isn't known when it is said: they are elsewhere."""
        return False

    # ---- what fronts say; all that is numbered answers its number

    def publish(
        self, messages: MessageRun, routes: Sequence[Route], turns: Sequence[int] = (), early: bool = False
    ) -> tuple[int, list[int] | None]:
        """A route for each of the run's keys; the records that some queue rejected, as far as that is known yet.

        ``early``: somebody asks ``when_synced`` of it.
        """
        return self.kernel.publish(messages, routes, turns)

    def barrier(self, urgent: bool = True) -> int:
        return self.kernel.barrier(urgent)

    def propose_command(self, data: bytes) -> int:
        return self.kernel.propose_command(data)

    def note_command(self, data: bytes) -> None:
        """Nobody waits for it."""
        self.kernel.note_command(data)

    def accept(self, messages: MessageRun, outbox: int, command: bytes) -> int:
        return self.kernel.accept(messages, outbox, command)

    def decide(self, command: bytes) -> int:
        """What the leader says of its own, which dies with its leadership: the number is applied then all the same."""
        return self.propose_command(command)

    def decide_with(self, messages: MessageRun, outbox: int, command: bytes) -> int:
        """The same, with messages that go into an outbox in one wave with it."""
        return self.accept(messages, outbox, command)

    def commit(
        self,
        messages: MessageRun | None,
        routes: Sequence[Route],
        turns: Sequence[int],
        settled: Sequence[tuple[int, int, int, int]],
        command: bytes | None,
    ) -> int:
        return self.kernel.commit(messages, routes, turns, settled, command)

    def move(
        self,
        messages: MessageRun,
        routes: Sequence[Route],
        turns: Sequence[int],
        sender: tuple[int, int],
        first: int,
        last: int,
    ) -> int | None:
        """Of another shard's outbox, with its sequences there; None: it was applied before."""
        through = self.kernel.applied_through(*sender)
        if through > last:
            return None
        part = messages if through <= first else messages.after(through - first)
        self.kernel.receive_move(part, routes, sender, last + 1, turns)
        return self.kernel.barrier()

    def settle(self, queue_id: int, first: int, last: int, outcome: Outcome) -> None:
        """Deliveries of a queue have ended; rides with the next wave."""
        self.settle_here(queue_id, first, last, outcome)

    def settle_here(self, queue_id: int, first: int, last: int, outcome: Outcome) -> None:
        """The same, where it is led."""
        queue = self.queues.get(queue_id)
        if queue is None:
            return
        if outcome is Outcome.ACCEPTED:
            self.kernel.settle(queue_id, first, last, ACCEPTED)
        elif outcome is Outcome.REQUEUED:
            self.kernel.give_back(queue_id, first, last)
        else:
            assert isinstance(queue, Queue)
            queue.reject(first, last)
        self.dirty[queue_id] = None

    def when_applied(self, number: int, completion: Completion) -> None:
        """Numbers must not go back."""
        self._completions.append((number, completion))

    def when_synced(self, number: int, completion: Completion) -> None:
        """Once it is on the leader's disk.  Alone that is when it is applied."""
        self.when_applied(number, completion)

    def complete(self, through: int) -> None:
        """All that this node's fronts said through this number is applied."""
        completions = self._completions
        while completions and completions[0][0] <= through:
            completions.popleft()[1].applied()

    # ---- the leader's end

    def create_queue(self, queue_id: int) -> None:
        """With the next wave, which is urgent."""
        self.kernel.create_queue(queue_id)

    def drop_queue(self, queue_id: int) -> None:
        self.kernel.drop_queue(queue_id)

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
        queues, dirty = self.queues, self.dirty
        for queue_id in dropped:
            queues.pop(queue_id, None)
        for queue_id in changed:
            if queue_id in queues:
                dirty[queue_id] = None
        self._receive_through(through)
        return commands

    def _receive_through(self, through: int) -> None:
        """A wave with what this node's fronts said was applied here."""
        self.complete(through)

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
