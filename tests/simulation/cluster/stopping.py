"""A process that was told to stop: as ``clustered.py``, ``rounds.py`` and ``main.py`` have it.

Others are asked to lead what it leads; then its clients are told; then what was taken in is written and the journal
closed.  The node makes rounds and ticks all the while, and takes no connection in.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from broker.clustered import LEAVE_S
from broker.server.rounds import GOODBYE_TIMEOUT_S, SYNC_TIMEOUT_S
from broker.server.serve import GOODBYE

if TYPE_CHECKING:
    from tests.simulation.cluster.process import Process


class Phase(enum.Enum):
    LEAVING = enum.auto()
    GOODBYE = enum.auto()
    SYNCING = enum.auto()


class Stopping:
    """One stop."""

    def __init__(self, process: Process, now: float) -> None:
        assert process.engine is not None
        self.phase = Phase.LEAVING
        self._process = process
        self._engine = process.engine
        self._ends_at = now + LEAVE_S

    def tick(self, now: float) -> None:
        """After the cluster's: somebody else is to lead, and the balance may have brought some back."""
        left = self._process.cluster.hand_over(now)
        if self.phase is Phase.LEAVING and (not left or now >= self._ends_at):
            self._process.world.note(f"{self._process.name} says goodbye, {left} are led")
            self.phase = Phase.GOODBYE
            self._ends_at = now + GOODBYE_TIMEOUT_S
            self._process.world.ledger.leave(self._process.name)
            self._engine.say_goodbye(GOODBYE, now)

    def is_over(self, now: float) -> bool:
        """After a round: whether there is nothing more to be done than to close the journal."""
        engine, journal = self._engine, self._process.journal
        if self.phase is Phase.GOODBYE and (not engine.connections or now >= self._ends_at):
            engine.abandon(now)
            self.phase = Phase.SYNCING
            self._ends_at = now + SYNC_TIMEOUT_S
        elif self.phase is Phase.SYNCING and not engine.due:
            written = journal.synced == journal.submitted and not engine.core.holding
            return written or self._process.poisoned or now >= self._ends_at
        return False

    def close(self) -> bool:
        """Whether the journal is closed cleanly.  Raises OSError."""
        if self._process.began:
            self._process.journal.end_write()
        return self._process.journal.close()
