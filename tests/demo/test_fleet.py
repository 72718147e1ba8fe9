from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from broker.demo.fleet import Schedule


def test_turns_are_spread_over_the_interval() -> None:
    schedule = Schedule(4, 1.0, 100.0)
    assert [schedule.take_due(100.0 + quarter / 4) for quarter in range(6)] == [[0], [1], [2], [3], [0], [1]]
    assert schedule.next_s == 101.5


@example(1, 0.01, [0.0, 1.2])
@given(st.integers(1, 20), st.floats(0.01, 10), st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_after_any_wait_nobody_is_overdue_or_has_two_turns(count: int, interval: float, waits: list[float]) -> None:
    schedule, now = Schedule(count, interval, 0.0), 0.0
    for wait in waits:
        now += wait
        due = schedule.take_due(now)
        assert len(set(due)) == len(due)
        assert now < schedule.next_s <= now + interval * 1.000001
