"""A node's server: listeners, engine and rounds together, until it is told to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog
import trio

from broker.server.admission import Admission, ConnectionLimits
from broker.server.buffers import Buffers
from broker.server.core import Core, SessionT, Syncs
from broker.server.disk_reads import DiskReads
from broker.server.engine import Engine
from broker.server.figures import ServerFigures
from broker.server.listener import Endpoint, Listener, listen
from broker.server.rounds import Phase, Rounds
from broker.server.spare_cpu import SpareCpu
from kernel import Counters
from kernel.poller import Poller

log = structlog.get_logger()

GOODBYE = "broker is shutting down"


class SyncDoor(Syncs, Protocol):
    """The journal with its eventfd."""

    def fileno(self) -> int:
        """Readable after a completion or a failure."""


class Serving(msgspec.Struct, frozen=True):
    """What a started server tells."""

    addresses: list[tuple[str, str, int]]
    """Of each endpoint, in order: name, host, port."""


def now_ms() -> int:
    """Wall time."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Seconds, of a clock that never goes back."""
    return time.monotonic()


async def serve(
    core: Core[SessionT],
    journal: SyncDoor,
    endpoints: Sequence[Endpoint],
    *,
    counters: Counters,
    limits: ConnectionLimits | None = None,
    buffers: Buffers | None = None,
    figures: ServerFigures | None = None,
    begun: Callable[[Engine[SessionT]], None] = lambda engine: None,
    leave: Callable[[], Awaitable[None]] | None = None,
    fail: Callable[[], Awaitable[str]] = trio.sleep_forever,
    task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves ``core``, which has begun, until SIGTERM or SIGINT; then says goodbye and writes what was taken in.

    ``begun`` is given the engine, which others ask for rounds, and to watch what they read from.  ``leave`` is waited
    for before clients are told, with rounds going on.  ``fail`` returns when the node must end, with what clients are
    told.

    Returns with every connection closed and the journal synced; its clean close is the caller's.  Raises
    AddressUnavailable before anything else happens.
    """
    listening = [listen(endpoint) for endpoint in endpoints]
    buffers = buffers or Buffers()
    poller = Poller(counters, buffers.input, buffers.output)
    admission = Admission(limits or ConnectionLimits())
    engine = Engine(core, journal, now_ms=now_ms, admission=admission, buffers=buffers, poller=poller)
    figures = figures or ServerFigures()
    figures.adapters = lambda: [connection.adapter for connection in engine.connections.values()]
    engine.watch(journal.fileno(), engine.receive_journal)
    begun(engine)
    names = [each.getsockname() for each in listening]
    serving = Serving([(e.name, name[0], name[1]) for e, name in zip(endpoints, names, strict=True)])
    listeners = [Listener(endpoint, each, engine) for endpoint, each in zip(endpoints, listening, strict=True)]
    async with trio.open_nursery() as nursery:
        reads = DiskReads(nursery, engine.ring)
        clock = trio.lowlevel.current_clock().current_time  # without the look for it that trio.current_time makes
        rounds = Rounds(engine, clock, reads.begin, SpareCpu(), figures)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            accepting = await nursery.start(_accept, listeners)
            nursery.start_soon(_stop_on, signals, accepting, rounds, figures, leave)
            nursery.start_soon(_stop_when, fail, accepting, rounds)
            task_status.started(serving)
            await rounds.run()
        nursery.cancel_scope.cancel()


async def _accept(
    listeners: Sequence[Listener[SessionT]], task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
) -> None:
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(listener.run)
        task_status.started(nursery.cancel_scope)


async def _stop_on(
    signals: AsyncIterator[int],
    accepting: trio.CancelScope,
    rounds: Rounds[SessionT],
    figures: ServerFigures,
    leave: Callable[[], Awaitable[None]] | None,
) -> None:
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        accepting.cancel()
        if rounds.phase is not Phase.SERVING:
            rounds.hurry()
            continue
        figures.stopping = True
        if leave is not None:
            await leave()
        rounds.stop(GOODBYE)


async def _stop_when(fail: Callable[[], Awaitable[str]], accepting: trio.CancelScope, rounds: Rounds[SessionT]) -> None:
    detail = await fail()
    log.error("stopping", why=detail)
    accepting.cancel()
    rounds.stop(detail)
