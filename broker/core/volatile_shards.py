"""Volatile shards in a cluster: this node's own, where others publish and consume too, and theirs, as seen from here.

A volatile shard is led by its node as long as that lives: its term is the node's incarnation.  What is said to one
that is gone counts as accepted and is dropped with it (log-and-shards.md sections 6 and 11).
"""

from __future__ import annotations

from collections.abc import Sequence

from broker.core.numbered import SenderId
from broker.core.replicated_shard import LeaderLink, ReplicatedShard
from broker.core.shard import Completion, Shard
from broker.core.shard_commands import ShardCommand
from broker.core.topology_tables import VOLATILE_ID_FIRST
from broker.model.commands import Outcome
from broker.model.names import NODE_SHIFT, ShardId
from kernel import MessageRun, Route
from kernel import Shard as KernelShard

VOLATILE_SHARD_BASE = 1 << 16
"""Shard ids of volatile shards: their node's number above this."""


def volatile_shard_id(queue_id: int) -> ShardId:
    """Of the node whose number the id of a volatile thing begins with."""
    return ShardId(VOLATILE_SHARD_BASE + ((queue_id - VOLATILE_ID_FIRST) >> NODE_SHIFT))


class VolatileShard(ReplicatedShard):
    """This node's own: what its fronts say is taken in at once, and nothing of it is kept."""

    def __init__(self, kernel: KernelShard, sender: SenderId, node_number: int) -> None:
        super().__init__(kernel, sender, ShardId(VOLATILE_SHARD_BASE + node_number))
        self.leading = self.hands_out = True
        self.term = sender[1]

    @property
    def rejects_later(self) -> bool:
        return False

    def publish(
        self, messages: MessageRun, routes: Sequence[Route], turns: Sequence[int] = (), early: bool = False
    ) -> tuple[int, list[int] | None]:
        return self.kernel.publish(messages, routes, turns)

    def barrier(self, urgent: bool = True) -> int:
        return self.kernel.barrier(urgent)

    def move(
        self,
        messages: MessageRun,
        routes: Sequence[Route],
        turns: Sequence[int],
        sender: tuple[int, int],
        first: int,
        last: int,
    ) -> int | None:
        return Shard.move(self, messages, routes, turns, sender, first, last)

    def settle(self, queue_id: int, first: int, last: int, outcome: Outcome) -> None:
        self.settle_here(queue_id, first, last, outcome)

    def create_queue(self, queue_id: int) -> None:
        self.kernel.create_queue(queue_id)

    def drop_queue(self, queue_id: int) -> None:
        self.kernel.drop_queue(queue_id)

    def _receive_through(self, through: int) -> None:
        self.complete(through)


class FarVolatileShard(ReplicatedShard):
    """Another node's."""

    def __init__(self, id: ShardId, sender: SenderId) -> None:
        super().__init__(KernelShard.volatile(id, *sender), sender, id)

    def _say(self, command: ShardCommand) -> tuple[int, list[int] | None]:
        said = super()._say(command)
        if not self.reachable:
            self.complete(said[0])
        return said

    def attach(self, link: LeaderLink, through: int) -> None:
        """What it was said before and did not take in is lost: the next command has the number after ``through``."""
        self.complete(self._number)
        self._number = through
        super().attach(link, through)

    def when_applied(self, number: int, completion: Completion) -> None:
        super().when_applied(number, completion)
        if not self.reachable:
            self.complete(number)

    def lose_leader(self) -> None:
        super().lose_leader()
        self.complete(self._number)
