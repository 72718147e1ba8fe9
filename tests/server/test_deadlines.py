"""The heap of deadlines against a dictionary of them."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from broker.server.deadlines import Deadlines, Timed

TIMES = st.integers(0, 20).map(float)


@given(st.lists(st.tuples(st.integers(0, 3), TIMES | st.just(math.inf)) | TIMES))
def test_each_deadline_comes_once_when_it_is_due_and_never_early(steps: list[tuple[int, float] | float]) -> None:
    deadlines = Deadlines[Timed]()
    things = [Timed() for _ in range(4)]
    model: dict[int, float] = {}
    now = 0.0
    for step in steps:
        if isinstance(step, tuple):
            index, after = step
            model[index] = now + after
            deadlines.set(things[index], now + after)
        else:
            now += step
            due = [things.index(thing) for thing in deadlines.take_due(now)]
            expected = [index for index, deadline in model.items() if deadline <= now]
            assert sorted(due) == sorted(expected)
            times = [model.pop(index) for index in due]
            assert times == sorted(times)
        if not model:
            assert deadlines.next == math.inf
        assert deadlines.next <= min(model.values(), default=math.inf)
        assert [thing.deadline for thing in things] == [model.get(index, math.inf) for index in range(4)]


def test_a_deadline_that_moves_away_costs_no_entry() -> None:
    deadlines = Deadlines[Timed]()
    thing = Timed()
    for deadline in range(1, 1000):
        deadlines.set(thing, float(deadline))
    assert len(deadlines._heap) == 1
    assert deadlines.take_due(998) == []
    assert deadlines.take_due(999) == [thing]
    assert deadlines.next == math.inf


def test_nobody_is_looked_for_who_has_no_deadline_any_more() -> None:
    deadlines = Deadlines[Timed]()
    gone, stays = Timed(), Timed()
    deadlines.set(gone, 1.0)
    deadlines.set(stays, 9.0)
    deadlines.set(stays, 5.0)
    deadlines.set(gone, math.inf)
    assert deadlines.next == 5.0
    deadlines.set(gone, 2.0)
    assert deadlines.next == 2.0
    assert deadlines.take_due(5.0) == [gone, stays]
    assert deadlines.next == math.inf
