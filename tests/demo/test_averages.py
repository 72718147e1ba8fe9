from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.demo.averages import NAMES_MAX, MovingAverages


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from("ab"), st.floats(-50, 50)), max_size=30))
def test_it_is_the_mean_of_a_names_last_values(window: int, values: list[tuple[str, float]]) -> None:
    averages = MovingAverages(window)
    for number, (name, value) in enumerate(values, 1):
        last = [each for of, each in values[:number] if of == name][-window:]
        assert averages.add(name, value) == pytest.approx(sum(last) / len(last))


def test_who_was_silent_for_longest_is_forgotten() -> None:
    averages = MovingAverages(2)
    averages.add("first", 0.0)
    averages.add("second", 0.0)
    averages.add("first", 0.0)
    for number in range(NAMES_MAX - 1):
        averages.add(str(number), 0.0)
    assert averages.add("first", 2.0) == 1.0
    assert averages.add("second", 2.0) == 2.0
