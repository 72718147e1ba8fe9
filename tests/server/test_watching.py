"""Who watches a descriptor is told in rounds, and the core makes a step only of what it has to see to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from broker.server.admission import Admission, ConnectionLimits
from broker.server.buffers import Buffers
from broker.server.engine import LATE_S, Engine
from kernel import Account, Counters
from kernel.poller import Poller
from tests.server.echo import DrawnSyncs, EchoCore, EchoSession


class CountingCore(EchoCore):
    steps = 0
    deadline: float | None = None
    due = False

    @property
    def pending(self) -> bool:
        return self.due

    def step(self, now: float, now_ms: int) -> None:
        self.steps += 1
        self.due = False
        super().step(now, now_ms)

    def receive_synced(self, write: int) -> None:
        self.due = write % 2 == 0

    def next_deadline(self, now: float, now_ms: int) -> float | None:
        return self.deadline


class Watched:
    """An engine at rest, and one who watches a descriptor of it."""

    def __init__(self) -> None:
        self.syncs = DrawnSyncs()
        self.core = CountingCore(self.syncs)
        poller = Poller(Counters(), Account("input", 0), Account("output", 0))
        self.engine: Engine[EchoSession] = Engine(
            self.core,
            self.syncs,
            now_ms=lambda: 0,
            admission=Admission(ConnectionLimits()),
            buffers=Buffers(),
            poller=poller,
        )
        self.told = 0
        self.does: Callable[[], bool] = lambda: False
        self.descriptor = os.eventfd(0)
        self.token = self.engine.watch(self.descriptor, self.receive_readable)
        self.now = 0.0
        self.round()
        self.core.steps = 0

    def receive_readable(self) -> bool:
        self.told += 1
        return self.does()

    def round(self) -> bool:
        """A second after the last."""
        self.now += 1.0
        return self.engine.round(self.now)


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    os.close(watched.descriptor)


@pytest.mark.parametrize("more", [False, True])
def test_what_a_watcher_sees_to_itself_is_followed_by_no_step(watched: Watched, more: bool) -> None:
    watched.does = lambda: more
    os.eventfd_write(watched.descriptor, 1)
    assert watched.round() is more
    assert (watched.told, watched.core.steps, watched.engine.due) == (1, 0, False)


def test_what_a_watcher_rings_for_is_seen_to_in_the_same_round(watched: Watched) -> None:
    def ring() -> bool:
        watched.engine.ring()
        return False

    watched.does = ring
    os.eventfd_write(watched.descriptor, 1)
    assert watched.round()
    assert (watched.core.steps, watched.engine.due) == (1, False)


def test_what_a_watcher_left_unread_it_is_told_of_in_the_next_round(watched: Watched) -> None:
    def leave() -> bool:
        if watched.told == 1:
            watched.engine.watch_again(watched.token)
        return True

    watched.does = leave
    os.eventfd_write(watched.descriptor, 1)
    watched.round()
    assert watched.engine.due
    watched.round()
    assert (watched.told, watched.engine.due) == (2, False)


@pytest.mark.parametrize(("synced", "steps"), [(1, 0), (2, 1)])
def test_a_sync_is_followed_by_a_step_if_the_core_makes_something_of_it(
    watched: Watched, synced: int, steps: int
) -> None:
    watched.syncs.submitted = watched.syncs.synced = synced
    watched.round()
    assert watched.core.steps == steps


def test_a_disk_in_trouble_is_told_in_the_next_step(watched: Watched) -> None:
    watched.syncs.pressure = "no space"
    assert watched.engine.receive_journal()
    watched.round()
    assert (watched.core.disk_alarm, watched.core.steps) == ("low on disk", 1)
    watched.engine.receive_journal()
    watched.round()
    assert watched.core.steps == 1


def test_a_deadline_is_seen_though_watchers_are_told_all_the_time(watched: Watched) -> None:
    watched.does = lambda: True
    watched.core.deadline = watched.now + 0.5
    for _ in range(9):
        os.eventfd_write(watched.descriptor, 1)
        watched.now += LATE_S / 2 - 1.0
        watched.round()
    assert watched.core.steps == 0
    watched.now = watched.core.deadline - 1.0 + LATE_S
    os.eventfd_write(watched.descriptor, 1)
    watched.round()
    assert watched.core.steps == 1
