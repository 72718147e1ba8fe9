"""The meta shard: changes of topology, proposed and, once committed, applied on every node.

In a cluster a command travels with its origin, so that each node finds the answers to its own; an answer waits until
every node with a live lease knows the change (log-and-shards.md section 11).
"""

from __future__ import annotations

import heapq
import itertools
import struct
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from broker.core.numbered import SenderId
from broker.core.outcomes import Applied, Outcome
from broker.core.shard import Shard
from broker.core.topology import Topology
from broker.core.topology_commands import TopologyCommand, decode_command, encode_command

Answer = Callable[[Outcome], None]
ENVELOPE = struct.Struct("<BQQQ")
"""Its version, and where it comes from: peer, incarnation, number there.  The command follows."""
ENVELOPE_VERSION = 2
"""A command alone begins with another number (topology_commands.COMMAND_VERSION)."""


class Asked(NamedTuple):
    """A command of this node that has not come back; ``said``: its number among all that the shard was told here."""

    number: int
    said: int
    command: TopologyCommand
    answer: Answer | None


def at_once(index: int, finish: Callable[[], None]) -> None:
    """A node alone waits for nobody to see it."""
    finish()


class Meta:
    """The way into the topology.  Answers come in the order of the submits that are logged."""

    def __init__(
        self, shard: Shard, topology: Topology, receive_outcome: Answer, origin: SenderId | None = None
    ) -> None:
        """``origin``: of a node in a cluster."""
        self.shard = shard
        self.topology = topology
        self.index = 0
        """Of the meta shard's entry that the topology here is that of, at least."""
        self.when_visible: Callable[[int, Callable[[], None]], None] = at_once
        """Once every node that routes knows the topology of this index."""
        self.when_announced: Callable[[Callable[[], None]], None] = lambda finish: finish()
        """Once every node that routes knows the volatile things that are here now."""
        self._receive_outcome = receive_outcome
        """Told every outcome before its answer: queues and routes follow it."""
        self._origin = origin
        self._numbers = itertools.count(1)
        self._answers: deque[Asked] = deque()
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._turns = itertools.count()

    def submit(self, command: TopologyCommand, answer: Answer | None, now_ms: int) -> None:
        """A volatile command is answered at once, a logged one when it is committed and applied."""
        topology = self.topology
        if topology.is_volatile(command):
            outcome = topology.apply(command, now_ms)
            self._receive_outcome(outcome)
            if answer is not None and isinstance(outcome, Applied) and outcome.changed:
                told = answer
                self.when_announced(lambda: told(outcome))
            elif answer is not None:
                answer(outcome)
            return
        refused = topology.admit(command)
        if refused is not None:
            if answer is not None:
                answer(refused)
            return
        number = next(self._numbers)
        data = encode_command(command)
        if self._origin is not None:
            data = ENVELOPE.pack(ENVELOPE_VERSION, *self._origin, number) + data
        self._answers.append(Asked(number, self.shard.propose_command(data), command, answer))

    def submit_again(self, now_ms: int) -> None:
        """The topology is a snapshot's now.  What came of commands that were applied before it nobody can say any more,
        so they are asked again: one that has had its effect changes nothing."""
        if self._origin is None:
            return
        through = self.shard.kernel.applied_through(*self._origin)
        applied = [asked for asked in self._answers if asked.said <= through]
        self._answers = deque(asked for asked in self._answers if asked.said > through)
        for asked in applied:
            if asked.answer is not None:
                self.submit(asked.command, asked.answer, now_ms)

    def receive_commands(self, commands: list[tuple[int, int, bytes]]) -> None:
        """Applies what was committed, in order."""
        for index, time_ms, data in commands:
            origin = None
            number = 0
            if data[0] == ENVELOPE_VERSION:
                _, peer, incarnation, number = ENVELOPE.unpack_from(data)
                origin = (peer, incarnation)
                data = data[ENVELOPE.size :]
            outcome = self.topology.apply(decode_command(data), time_ms)
            for key, value in self.topology.rows_changed():
                self.shard.kernel.put_row(key, value)
            self.index = max(self.index, index)
            self._receive_outcome(outcome)
            if origin == self._origin and self._answers and number in (0, self._answers[0].number):
                self._answer(index, self._answers.popleft().answer, outcome)

    def _answer(self, index: int, answer: Answer | None, outcome: Outcome) -> None:
        if answer is not None:
            told = answer
            self.when_visible(index, lambda: told(outcome))

    def when_topology(self, index: int, finish: Callable[[], None]) -> None:
        """Finishes once the topology here is that of this index."""
        if self.index >= index:
            finish()
        else:
            heapq.heappush(self._waiting, (index, next(self._turns), finish))

    def receive_index(self, index: int) -> None:
        """All through this entry is in the topology."""
        self.index = max(self.index, index)
        while self._waiting and self._waiting[0][0] <= self.index:
            heapq.heappop(self._waiting)[2]()
