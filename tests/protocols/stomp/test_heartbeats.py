"""Heart-beats: what is agreed on, when one is due, when a client is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.stomp.heartbeats import INTERVAL_MS_MAX, NONE, Heartbeats, Negotiated, negotiated
from protocols.stomp.violation import ProtocolViolation

intervals = st.integers(0, INTERVAL_MS_MAX)


@given(intervals, intervals, st.integers(1, 10_000))
def test_none_is_asked_of_who_offers_none_and_none_sent_to_who_wants_none(
    offered: int, wanted: int, least: int
) -> None:
    agreed = negotiated(f"{offered},{wanted}", least)
    assert (agreed.receive_ms == 0) == (offered == 0)
    assert (agreed.send_ms == 0) == (wanted == 0)
    assert agreed.receive_ms in (0, max(offered, least))
    assert agreed.send_ms in (0, max(wanted, least))


def test_without_the_header_there_are_none() -> None:
    assert negotiated(None, 500) == NONE
    assert NONE.text == "0,0"


@pytest.mark.parametrize(
    "text", ["", "1", "1,2,3", "a,b", "-1,0", "1.5,0", "1, 2", "²,0", f"{INTERVAL_MS_MAX + 1},0", "9" * 99]
)
def test_what_is_no_heart_beat_header(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        negotiated(text, 500)


def test_the_clocks() -> None:
    assert Heartbeats(0.0).deadline is None
    beats = Heartbeats(0.0)
    beats.start(Negotiated(send_ms=4_000, receive_ms=10_000), 100.0)
    assert beats.deadline == 103.0
    assert not beats.is_due(102.9)
    assert beats.is_due(103.0)
    beats.sent_at = 118.0
    assert beats.deadline == 120.0
    assert not beats.is_dead(119.9)
    assert beats.is_dead(120.0)
    beats.expect_nothing()
    assert beats.deadline == 121.0
    assert not beats.is_dead(1e9)
