"""Makes rounds, and waits between them; ends them in an orderly way.

Costs that decide (2-core VM): a look into the poller 0.6 us, a trio checkpoint 3-6 us, a wait through trio
10-16 us, a cancel scope 5 us.  So while there is something to do rounds follow each other directly, other
tasks get a turn every ``TURN_S``, and only when nothing is to be done the engine goes to sleep in trio.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Generic

import trio

from broker.server.core import SessionT
from broker.server.engine import Engine
from broker.server.figures import ServerFigures
from broker.server.spare_cpu import SpareCpu
from broker.server.sync_wait import SyncWait
from kernel.poller import Poller

TURN_S = 0.002
"""Until other tasks (new connections, the admin API) get their turn, when there is nothing to do for a moment; twice as
long while rounds follow each other."""
LINGER_US = 1000
"""How long the thread waits at the poller itself before it goes to sleep in trio, if it had something to do a moment
ago: a wake costs a third less so (docs/decisions/0008).  Other tasks get their turn so much later at most."""
LINGER_AFTER_S = 0.005
"""What a moment is."""
GOODBYE_TIMEOUT_S = 5.0
"""For clients to answer the goodbye."""
SYNC_TIMEOUT_S = 10.0
"""For the journal to write what was taken in; a disk that hangs must not keep us for ever."""


class Phase(enum.Enum):
    SERVING = enum.auto()
    GOODBYE = enum.auto()
    """Connections were told; they answer, or their time passes."""
    SYNCING = enum.auto()
    """There are none any more; what was taken in is written."""
    STOPPED = enum.auto()


class Rounds(Generic[SessionT]):
    """The engine's loop."""

    def __init__(
        self,
        engine: Engine[SessionT],
        clock: Callable[[], float],
        begin_reads: Callable[[Sequence[Callable[[], object]]], None],
        spare_cpu: SpareCpu | None = None,
        figures: ServerFigures | None = None,
    ) -> None:
        """``clock``: trio's, which deadlines are measured by.

        ``begin_reads`` has reads carried out and rings after each; ``spare_cpu``: None where waiting must not be real;
        ``figures`` are told how long rounds take.
        """
        self.phase = Phase.SERVING
        self._engine = engine
        self._poller = engine.poller
        self._clock = clock
        self._begin_reads = begin_reads
        self._figures = figures or ServerFigures()
        self._spare_cpu = spare_cpu
        self._sync_wait = SyncWait()
        self._synced = engine.syncs.synced
        self._phase_ends_at = math.inf
        self._turn_ends_at = 0.0
        self._linger_until = 0.0
        self._sleeping: trio.CancelScope | None = None
        engine.wake = self._wake

    async def run(self) -> None:
        """Makes rounds until ``stop`` has come to its end."""
        engine = self._engine
        round_times = self._figures.round_times
        while self.phase is not Phase.STOPPED:
            await self._wait()
            now = self._clock()
            if not engine.round(now):
                self._linger_until = 0.0  # heartbeats are not followed by more
            round_times.record(int((self._clock() - now) * 1e6))
            self._watch_syncs(now)
            if engine.wanted_reads:
                reads, engine.wanted_reads = engine.wanted_reads, []
                self._begin_reads(reads)
                self._linger_until = 0.0  # their threads tell trio
            if self.phase is not Phase.SERVING:
                self._go_on_stopping(now)

    def stop(self, detail: str) -> None:
        """Begins to end: connections are told why, then have ``GOODBYE_TIMEOUT_S``."""
        if self.phase is Phase.SERVING:
            now = self._clock()
            self.phase = Phase.GOODBYE
            self._figures.stopping = True
            self._phase_ends_at = now + GOODBYE_TIMEOUT_S
            self._engine.say_goodbye(detail, now)

    def hurry(self) -> None:
        """Somebody asked a second time: no more waiting for clients."""
        if self.phase is Phase.GOODBYE:
            self._phase_ends_at = -math.inf
            self._engine.ring()

    def _go_on_stopping(self, now: float) -> None:
        engine = self._engine
        if self.phase is Phase.GOODBYE and (not engine.connections or now >= self._phase_ends_at):
            engine.abandon(now)
            self.phase = Phase.SYNCING
            self._phase_ends_at = now + SYNC_TIMEOUT_S
        elif self.phase is Phase.SYNCING and not engine.due:
            written = engine.syncs.synced == engine.syncs.submitted and not engine.core.holding
            given_up = engine.syncs.pressure == "poisoned"  # a failed sync is final: nothing more is written
            if written or given_up or now >= self._phase_ends_at:
                self.phase = Phase.STOPPED

    def _watch_syncs(self, now: float) -> None:
        syncs = self._engine.syncs
        synced = syncs.synced
        self._sync_wait.receive_progress(now, syncs.submitted > synced, synced != self._synced)
        self._synced = synced

    # ---- waiting

    async def _wait(self) -> None:
        """Returns when a round is due."""
        if self._poller is None:
            if self._engine.due:
                await trio.lowlevel.checkpoint()
            else:
                await self._sleep()
        elif self._engine.due or self._poller.pending or self._poller.wait(0):
            if self._clock() >= self._turn_ends_at + TURN_S:
                await self._take_turn()
        elif not await self._wait_at(self._poller):
            await self._sleep()
            now = self._clock()
            self._turn_ends_at = now + TURN_S
            self._linger_until = now + LINGER_AFTER_S

    async def _take_turn(self) -> None:
        """Lets other tasks have theirs."""
        await trio.lowlevel.checkpoint()
        self._turn_ends_at = self._clock() + TURN_S

    async def _wait_at(self, poller: Poller) -> bool:
        """Waits for the next little thing without trio, if it is likely to come soon; whether a round is due.  Other
        tasks have their turn first: what comes next would wait for them."""
        now = self._clock()
        if self._spare_cpu is None or not (self._sync_wait.in_flight or now < self._linger_until):
            return False
        if now >= self._turn_ends_at:
            await self._take_turn()
            if self._engine.due:
                return True
            now = self._clock()
        return self._wait_for_sync(poller, self._spare_cpu, now) or self._linger(poller)

    def _linger(self, poller: Poller) -> bool:
        now = self._clock()
        if now >= self._linger_until:
            return False
        hit = poller.wait(LINGER_US)
        self._linger_until = self._clock() + LINGER_AFTER_S if hit else 0.0
        return hit

    def _wait_for_sync(self, poller: Poller, spare_cpu: SpareCpu, now: float) -> bool:
        if not self._sync_wait.in_flight:
            return False
        self._sync_wait.spare_cpu = spare_cpu.update(now)
        plan = self._sync_wait.plan(now)
        if plan is None:
            return False
        hit = poller.wait(plan.block_us, plan.spin_us)
        self._sync_wait.receive_outcome(hit)
        return hit

    async def _sleep(self) -> None:
        engine = self._engine
        core_deadline = engine.core_deadline(self._clock())
        deadline = min(
            engine.deadlines.next,
            engine.look_at,
            self._phase_ends_at,
            math.inf if core_deadline is None else core_deadline,
        )
        with trio.CancelScope(deadline=deadline) as self._sleeping:
            if self._poller is None:
                await trio.sleep_forever()
            else:
                await trio.lowlevel.wait_readable(self._poller.fileno())
        self._sleeping = None

    def _wake(self) -> None:
        if self._sleeping is not None:
            self._sleeping.cancel()
