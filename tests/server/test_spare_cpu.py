"""Idle processors out of /proc/stat."""

from __future__ import annotations

import os

import pytest

from broker.server.spare_cpu import INTERVAL_S, SpareCpu, idle_seconds

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def stat(idle_ticks: int) -> bytes:
    return b"cpu  10 20 30 %d 50 0 0 0 0 0\ncpu0 1 2 3 4 5 0 0 0 0 0\nintr 1\n" % idle_ticks


def test_the_idle_time_of_all_processors_is_read() -> None:
    assert idle_seconds(stat(1234)) == pytest.approx(1234 * TICK_S)


@pytest.mark.parametrize("text", [b"", b"cpu\n", b"intr 1 2 3 4 5\n"])
def test_a_system_that_does_not_say_has_none_to_spare(text: bytes) -> None:
    spare = SpareCpu(lambda: text)
    assert spare.update(0.0) == spare.update(10.0) == 0.0


def test_it_is_what_was_idle_between_two_readings() -> None:
    readings = [stat(0), stat(round(1.5 * INTERVAL_S / TICK_S)), stat(round(1.5 * INTERVAL_S / TICK_S))]
    spare = SpareCpu(lambda: readings.pop(0))
    assert spare.update(0.0) == 0.0
    assert spare.update(INTERVAL_S / 2) == 0.0
    assert spare.update(INTERVAL_S) == pytest.approx(1.5, abs=0.1)
    assert spare.update(2 * INTERVAL_S) == 0.0
