"""Tuning: a client may lower, and is told exactly what it asked too much of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.amqp.methods import ConnectionTuneOk
from protocols.amqp.reply_codes import ReplyCode
from protocols.amqp.settings import FRAME_SIZE_MIN, AmqpSettings
from protocols.amqp.tuning import Tuning, negotiated, offer
from protocols.amqp.violation import ProtocolViolation

SETTINGS = AmqpSettings()


def test_what_is_offered() -> None:
    tune = offer(SETTINGS)
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 131_072, 60)


def test_zero_takes_what_was_offered_and_no_heartbeat() -> None:
    assert negotiated(SETTINGS, ConnectionTuneOk(0, 0, 0)) == Tuning(2047, 131_072, 0)


@pytest.mark.parametrize(
    ("tune_ok", "detail"),
    [
        (ConnectionTuneOk(2048, 0, 0), "channel_max = 2048 is higher than the maximum allowed value (2047)"),
        (ConnectionTuneOk(0, 131_073, 0), "frame_max = 131073 is higher than the maximum allowed value (131072)"),
        (ConnectionTuneOk(0, 4095, 0), "frame_max = 4095 is lower than the minimum allowed value (4096)"),
    ],
)
def test_too_much_or_too_little_is_not_allowed(tune_ok: ConnectionTuneOk, detail: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        negotiated(SETTINGS, tune_ok)
    assert caught.value.code is ReplyCode.NOT_ALLOWED
    assert caught.value.detail == f"failed to negotiate connection parameters: negotiated {detail}"


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1))
def test_no_limit_is_ever_higher_than_offered(channel_max: int, frame_max: int, heartbeat: int) -> None:
    try:
        tuning = negotiated(SETTINGS, ConnectionTuneOk(channel_max, frame_max, heartbeat))
    except ProtocolViolation:
        assert channel_max > SETTINGS.channel_max or not FRAME_SIZE_MIN <= frame_max <= SETTINGS.frame_size_max
    else:
        assert 1 <= tuning.channel_max <= SETTINGS.channel_max
        assert FRAME_SIZE_MIN <= tuning.frame_size_max <= SETTINGS.frame_size_max
        assert tuning.heartbeat_s == heartbeat
