"""What a front says to a shard that is led elsewhere: values that travel (log-and-shards.md section 4).

Each is numbered by its sender, taken in once by whoever leads, and kept by the sender until it is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

import msgspec

from broker.model.commands import Outcome
from kernel import MessageRun, Route

COMMAND_COST = 64
"""Bytes that a command counts for beside what it carries."""


class PublishRun(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """Messages for queues of the shard: a route for each key of the run, and whose turn it is for each.

    ``early``: its publisher is to be told when it is on the leader's disk.
    """

    urgent: ClassVar[bool] = True
    messages: MessageRun
    routes: Sequence[Route]
    turns: Sequence[int] = ()
    early: bool = False

    @property
    def cost(self) -> int:
        return COMMAND_COST + self.messages.size


class MoveRun(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """Messages of another shard's outbox, numbered there ``first`` + 1 to ``last`` + 1 by ``sender``."""

    urgent: ClassVar[bool] = True
    messages: MessageRun
    routes: Sequence[Route]
    turns: Sequence[int]
    sender: tuple[int, int]
    first: int
    last: int

    @property
    def cost(self) -> int:
        return COMMAND_COST + self.messages.size


class SettleRange(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """Deliveries ``first`` to ``last`` of a queue have ended so."""

    urgent: ClassVar[bool] = False
    queue_id: int
    first: int
    last: int
    outcome: Outcome

    @property
    def cost(self) -> int:
        return COMMAND_COST


class Propose(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """A command of the shard's state machine that the core applies; ``urgent``: somebody waits for it."""

    data: bytes
    urgent: bool = True

    @property
    def cost(self) -> int:
        return COMMAND_COST + len(self.data)


class Barrier(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """Does nothing but be applied: all that was said before it is applied with it."""

    urgent: bool = True

    @property
    def cost(self) -> int:
        return COMMAND_COST


class CommitRun(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """A transaction's part: messages go where ``routes`` say, ranges (queue, first, last, outcome) are settled, and
    ``command`` says what is still to be done elsewhere; in one wave."""

    urgent: ClassVar[bool] = True
    messages: MessageRun | None
    routes: Sequence[Route]
    turns: Sequence[int]
    settled: Sequence[tuple[int, int, int, int]]
    command: bytes | None

    @property
    def cost(self) -> int:
        size = 0 if self.messages is None else self.messages.size
        return COMMAND_COST + size + 32 * len(self.settled) + len(self.command or b"")


class AcceptRun(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """Messages into an outbox of the shard and a command of its state machine, in one wave."""

    urgent: ClassVar[bool] = True
    messages: MessageRun
    outbox: int
    command: bytes

    @property
    def cost(self) -> int:
        return COMMAND_COST + self.messages.size + len(self.command)


ShardCommand: TypeAlias = PublishRun | MoveRun | SettleRange | Propose | Barrier | CommitRun | AcceptRun
