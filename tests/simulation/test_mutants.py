"""Brokers with a mistake built in: each is caught by the checker that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from broker.core.channel import Channel
from broker.core.queue import REJECTED, Queue
from broker.core.session import HANDLERS, Session
from broker.model import commands as c
from kernel.journal import Journal
from tests.simulation.ledger import Broken
from tests.simulation.node import Node
from tests.simulation.simulation import Simulation

SEED_COUNT_MAX = 100


def caught(invariant: str, **plan: Any) -> bool:
    """Some seed breaks the invariant; other things may go wrong as well on the way there."""
    for seed in range(1, SEED_COUNT_MAX + 1):
        try:
            Simulation(seed, **plan).run()
        except Broken as broken:
            if broken.invariant == invariant:
                return True
        except Exception:
            continue
    return False


class HastyJournal:
    """Says that everything submitted is on disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def submitted(self) -> int:
        return self._journal.submitted

    @property
    def synced(self) -> int:
        return self._journal.submitted

    @property
    def state(self) -> tuple[str, str]:
        return self._journal.state

    @property
    def pressure(self) -> str | None:
        return self._journal.pressure


@pytest.mark.slow
def test_confirming_before_the_sync_loses_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "syncs_of", staticmethod(HastyJournal))
    monkeypatch.setattr(Node, "check_replay", lambda node: None)  # which would notice even sooner
    # All in memory: what isn't on disk yet can't be read back, which would end the broker first.
    # Crashes are rare enough for a node to serve in between: about one seed in seven loses something then.
    assert caught("I10", crashes=0.002, cache_size=64 << 20, disk_speed=0.1)


@pytest.mark.slow
def test_a_settle_that_is_forgotten_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ack now and then is taken and never logged; the goodbye says that it was."""
    settle: Callable[..., Any] = Session.end_deliveries
    count = 0

    def forget(session: Session, channel: Channel, settled: Any, outcome: c.Outcome) -> None:
        nonlocal count
        count += 1
        if outcome is c.Outcome.ACCEPTED and count % 7 == 0:
            outcome = c.Outcome.REQUEUED
        settle(session, channel, settled, outcome)

    monkeypatch.setattr(Session, "end_deliveries", forget)
    assert caught("I16")


@pytest.mark.slow
def test_a_dead_letter_that_is_dropped_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop(queue: Queue, first: int, last: int, outcome: int) -> None:
        queue.kernel.settle(queue.id, first, last, REJECTED)

    monkeypatch.setattr(Queue, "_end", drop)
    assert caught("I10")


@pytest.mark.slow
def test_publishes_in_the_wrong_order_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other run waits for the one after it."""
    publish = HANDLERS[c.Publish]
    waiting: dict[Session, tuple[Channel, c.Publish]] = {}

    def swap(session: Session, channel: Channel, command: c.Publish) -> None:
        before = waiting.pop(session, None)
        if before is None:
            waiting[session] = (channel, command)
            return
        publish(session, channel, command)
        publish(session, *before)

    monkeypatch.setitem(HANDLERS, c.Publish, swap)
    assert caught("I14")
