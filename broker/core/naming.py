"""Names that clients choose for volatile queues and exchanges: reserved in the meta shard before they are declared.

So two nodes never give one name to two things.  A name is its node's until the thing is gone; of a node that is not
there any more whoever wants the name next has it (log-and-shards.md section 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from broker.core.meta import Answer
from broker.core.numbered import SenderId
from broker.core.outcomes import Outcome, Refused
from broker.core.topology_commands import (
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    FreeName,
    FreeNames,
    ReserveName,
    TopologyCommand,
)
from broker.core.topology_rows import ExchangeRow, NameRow, QueueRow, exchange_key, queue_key
from broker.core.topology_tables import TopologyTables
from broker.core.volatile_rows import OWN
from broker.model.names import PeerId
from broker.model.refusals import Refusal

if TYPE_CHECKING:
    from broker.core.back import Back

Declaration = DeclareQueue | DeclareExchange


class Naming:
    """One node's."""

    def __init__(self, back: Back, tables: TopologyTables, me: SenderId, live: Mapping[int, int]) -> None:
        """``live``: the other nodes that are heard of, and their incarnations."""
        self._back = back
        self._tables = tables
        self._me = me
        self._live = live
        self._waiting: list[tuple[Declaration, Answer | None]] = []
        """Others have their names, and may have said so to everybody but us, or be about to let go."""

    def declare(self, command: TopologyCommand, answer: Answer | None) -> bool:
        """False: it needs no name of its own."""
        if not isinstance(command, Declaration) or not self._back.topology.is_volatile(command):
            return False
        vhost = self._tables.vhosts.get(command.vhost)
        if vhost is None or (isinstance(command, DeclareQueue) and command.generated):
            return False
        if isinstance(command, DeclareQueue):
            there = command.spec.name in vhost.queues
        else:
            there = command.spec.name in vhost.exchanges
        if there:
            return False
        self._reserve(command, answer)
        return True

    def _reserve(self, command: Declaration, answer: Answer | None) -> None:
        thing = _key_of(command)
        row = self._tables.names.get(thing)
        over = self._me
        if row is not None and not self._is_mine(row):
            over = (row.peer, row.incarnation)
            if self._live.get(row.peer) == row.incarnation:
                self._waiting.append((command, answer))
                return

        def receive(outcome: Outcome) -> None:
            if not isinstance(outcome, Refused):
                self._declare(command, thing, answer)
            elif outcome.refusal is Refusal.RESOURCE_LOCKED:
                self._waiting.append((command, answer))
                self.look()
            elif answer is not None:
                answer(outcome)

        self._back.submit(ReserveName(command.vhost, thing, *_owner(self._me), over), receive)

    def _declare(self, command: Declaration, thing: bytes, answer: Answer | None) -> None:
        def receive(outcome: Outcome) -> None:
            if self._tables.volatile.find(OWN, thing) is None:
                self._back.submit(FreeName(thing, *_owner(self._me)))
            if answer is not None:
                answer(outcome)

        self._back.meta.submit(command, receive, self._back.now_ms)

    def look(self) -> None:
        """Something is there that was not, or gone: who waits may have its name, or finds what has it."""
        waiting, self._waiting = self._waiting, []
        for command, answer in waiting:
            if not self.declare(command, answer):
                self._back.submit(command, answer)

    # ---- letting go

    def receive_gone(self, thing: bytes) -> None:
        """Something of this node's is not there any more."""
        row = self._tables.names.get(thing)
        if row is not None and self._is_mine(row):
            self._back.submit(FreeName(thing, *_owner(self._me)))

    def receive_reserved(self, row: NameRow) -> None:
        """If others took this node for dead, what it has of that name is not to be there."""
        there = self._tables.volatile.find(OWN, row.thing)
        if there is None or self._is_mine(row):
            return
        if isinstance(there, QueueRow):
            self._back.delete(self._back.queues[there.queue_id][1])
        elif isinstance(there, ExchangeRow):
            self._back.submit(DeleteExchange(there.vhost, there.spec.name, False, there.exchange_id))

    def free_dead(self, peer: int, incarnation: int) -> None:
        """Names of earlier lives of a node are free; the meta shard's leader says so."""
        rows = self._tables.names.values()
        if self._back.meta_shard.leading and any(row.peer == peer and row.incarnation < incarnation for row in rows):
            self._back.submit(FreeNames(PeerId(peer), incarnation))

    def _is_mine(self, row: NameRow) -> bool:
        return (row.peer, row.incarnation) == self._me


def _owner(sender: SenderId) -> tuple[PeerId, int]:
    return PeerId(sender[0]), sender[1]


def _key_of(command: Declaration) -> bytes:
    if isinstance(command, DeclareQueue):
        return queue_key(command.vhost, command.spec.name)
    return exchange_key(command.vhost, command.spec.name)
