"""Transactions at the back: what their entries settle in other shards is carried out, also after a crash.

From its commit on nobody is delivered what a transaction settled: its messages are checked out, and at a start they
are checked out again before anybody can consume.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from broker.core.queue import REJECTED, Queue
from broker.core.shard import Shard
from broker.core.transaction_states import (
    CarriedOut,
    Committed,
    Settlement,
    TransactionStates,
    decode_transaction_command,
    encode_transaction_command,
    is_transaction_row,
)
from broker.model.commands import Outcome
from broker.model.names import NODE_SHIFT

if TYPE_CHECKING:
    from broker.core.back import Back


def dies(queue: Queue, outcome: int) -> bool:
    """What is settled so leaves for the dead letters, which may take a read first."""
    return outcome == REJECTED and queue.settings.dead_letter_exchange is not None


class Transactions:
    """Part of the back."""

    def __init__(self, back: Back) -> None:
        self._back = back
        self._states: dict[Shard, TransactionStates] = {}
        self._next: dict[Shard, int] = {}
        for shard in back.logged:
            self.restore(shard)
        self._begun = False

    def restore(self, shard: Shard) -> None:
        """From its rows."""
        rows = shard.kernel.rows()
        self._states[shard] = TransactionStates((key, value) for key, value in rows if is_transaction_row(key))
        first = self._back.number_base
        mine = (number for number in self._states[shard].settlements if first <= number < first + (1 << NODE_SHIFT))
        self._next[shard] = max(mine, default=first) + 1

    def commit_command(self, shard: Shard, settlements: Iterable[Settlement]) -> bytes:
        """For the entry of a new transaction in the shard: what it settles elsewhere."""
        number = self._next[shard]
        self._next[shard] = number + 1
        return encode_transaction_command(Committed(number, tuple(settlements)))

    def receive_command(self, shard: Shard, data: bytes) -> None:
        """One that was committed; in an earlier life, if ``begin`` was not called yet."""
        command = decode_transaction_command(data)
        states = self._states[shard]
        states.apply(command)
        for key, value in states.rows_changed():
            shard.kernel.put_row(key, value)
        if self._begun and shard.leading and isinstance(command, Committed):
            carrying = Carrying(shard, command.transaction)
            for settlement in command.settlements:
                carrying.settle(self._back, settlement)
            carrying.applied()

    def begin(self) -> None:
        """Goes on with what a crash interrupted, before anybody is delivered anything."""
        for shard in self._states:
            self.lead_shard(shard)

    def lead_shard(self, shard: Shard) -> None:
        """The same for one shard, which is led here from now on.

        What it settles in shards that are led elsewhere may have been delivered once more meanwhile.
        """
        self._begun = True
        states = self._states[shard]
        for transaction, settlements in states.settlements.items():
            carrying = Carrying(shard, transaction)
            for queue_id, first, last, outcome in settlements:
                found = self._back.queues.get(queue_id)
                if found is None:
                    continue
                held = [(first, last)]
                if found[0].leading:
                    held = found[0].kernel.hold(queue_id, first, last)
                for ready in held:
                    carrying.settle(self._back, Settlement(queue_id, *ready, outcome))
            carrying.applied()

    @property
    def pending_count(self) -> int:
        """Those that are committed and not carried out."""
        return sum(len(states.settlements) for states in self._states.values())


class Carrying:
    """One transaction on its way; its row goes once all of it is applied."""

    __slots__ = ("_shard", "_shards", "_transaction", "_waits")

    def __init__(self, shard: Shard, transaction: int) -> None:
        self._shard = shard
        self._transaction = transaction
        self._shards: dict[Shard, None] = {}
        self._waits = 1

    def settle(self, back: Back, settlement: Settlement) -> None:
        """Of messages that are checked out.  With its queue it is gone."""
        queue_id, first, last, outcome = settlement
        shard = back.settle(queue_id, first, last, Outcome(outcome))
        if shard is None:
            return
        queue = back.queues[queue_id][1]
        if dies(queue, outcome) and shard.leading:
            self._waits += 1
            queue.when_buried(lambda: shard.when_applied(shard.barrier(urgent=False), self))
        else:
            self._shards[shard] = None

    def applied(self) -> None:
        """One of those that were waited for is; or all was said that there is to settle."""
        shards, self._shards = self._shards, {}
        for shard in shards:
            self._waits += 1
            shard.when_applied(shard.barrier(urgent=False), self)
        self._waits -= 1
        if not self._waits:
            self._shard.note_command(encode_transaction_command(CarriedOut(self._transaction)))
            self._shard.look_again()
