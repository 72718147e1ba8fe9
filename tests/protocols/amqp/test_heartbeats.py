"""Heartbeats: one is sent within each half interval of silence, and two silent intervals are death."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocols.amqp.heartbeats import Heartbeats


def test_the_clocks_of_a_minute() -> None:
    heartbeats = Heartbeats(60, 1000.0)
    assert heartbeats.deadline == 1030.0
    assert [heartbeats.is_due(now) for now in (1029.0, 1030.0)] == [False, True]
    assert [heartbeats.is_dead(now) for now in (1119.0, 1120.0)] == [False, True]
    heartbeats.sent_at = 1095.0
    assert heartbeats.deadline == 1120.0
    heartbeats.received_at = 1100.0
    assert heartbeats.deadline == 1125.0


events = st.lists(st.tuples(st.floats(0.001, 100_000), st.sampled_from("rs")), max_size=20)


@given(st.integers(1, 65535), events)
def test_nothing_is_due_before_the_deadline_and_something_is_at_it(
    interval_s: int, events: list[tuple[float, str]]
) -> None:
    now = 1000.0
    heartbeats = Heartbeats(interval_s, now)
    for seconds, event in events:
        now += seconds
        if event == "r":
            heartbeats.received_at = now
        else:
            heartbeats.sent_at = now
    deadline = heartbeats.deadline
    before = deadline - 0.0005
    assert (heartbeats.is_due(before), heartbeats.is_dead(before)) == (False, False)
    assert heartbeats.is_due(deadline) or heartbeats.is_dead(deadline)
