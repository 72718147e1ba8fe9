"""The meta shard at its leader: changes of topology, proposed and, once committed, applied."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from broker.core.outcomes import Outcome
from broker.core.shard import Shard
from broker.core.topology import Topology
from broker.core.topology_commands import TopologyCommand, decode_command, encode_command

Answer = Callable[[Outcome], None]


class Meta:
    """The way into the topology.  Answers come in the order of the submits that are logged."""

    def __init__(self, shard: Shard, topology: Topology, receive_outcome: Answer) -> None:
        self.shard = shard
        self.topology = topology
        self._receive_outcome = receive_outcome
        """Told every outcome before its answer: queues and routes follow it."""
        self._answers: deque[Answer | None] = deque()
        self.applying: int | None = None
        """Index of the command being applied; a replay tells it apart from a live one."""

    def submit(self, command: TopologyCommand, answer: Answer | None, now_ms: int) -> None:
        """A volatile command is answered at once, a logged one when it is committed and applied."""
        topology = self.topology
        if topology.is_volatile(command):
            outcome = topology.apply(command, now_ms)
            self._receive_outcome(outcome)
            if answer is not None:
                answer(outcome)
            return
        refused = topology.admit(command)
        if refused is not None:
            if answer is not None:
                answer(refused)
            return
        self._answers.append(answer)
        self.shard.propose_command(encode_command(command))

    def receive_commands(self, commands: list[tuple[int, int, bytes]]) -> None:
        """Applies what was committed, in order."""
        for _, time_ms, data in commands:
            outcome = self.topology.apply(decode_command(data), time_ms)
            for key, value in self.topology.rows_changed():
                self.shard.kernel.put_row(key, value)
            self._receive_outcome(outcome)
            answer = self._answers.popleft() if self._answers else None
            if answer is not None:
                answer(outcome)
