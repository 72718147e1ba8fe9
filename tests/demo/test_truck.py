from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.demo.truck import OUTSIDE_C, SETTABLE_C, Truck, fleet_of

QUIET_C = 1.5
"""How far a room is from its goal at most while the door is closed."""


@given(st.integers(), st.lists(st.floats(0.01, 30.0), min_size=1, max_size=100))
def test_a_room_is_never_warmer_than_outside_nor_far_below_its_goal(seed: int, waits: list[float]) -> None:
    truck = Truck("truck", Random(seed))
    for seconds in waits:
        assert truck.goal_c - QUIET_C < truck.measure(seconds) < OUTSIDE_C + QUIET_C


@given(st.integers())
@example(21_925_408_147_676_348)
def test_most_readings_of_a_fleet_are_near_the_goal(seed: int) -> None:
    """Of one truck, whose door may be opened again and again, some ten minutes have few such."""
    random = Random(seed)
    trucks = [Truck(f"truck{number}", random) for number in range(20)]
    near = [abs(truck.measure(1.0) - truck.goal_c) < QUIET_C for _ in range(600) for truck in trucks]
    assert sum(near) > len(near) / 2


@given(st.floats(-30.0, 20.0))
def test_it_goes_where_it_is_set(goal_c: float) -> None:
    truck = Truck("truck", Random(1))
    assert truck.obey(f"set {goal_c:.1f}") == f"set to {float(f'{goal_c:.1f}'):.1f} °C"
    readings = [truck.measure(1.0) for _ in range(3600)]
    assert any(abs(reading - goal_c) < QUIET_C for reading in readings)


@given(st.text())
def test_any_text_is_answered_and_no_goal_is_beyond_its_bounds(command: str) -> None:
    truck = Truck("truck", Random(1))
    answer = truck.obey(command)
    low, high = SETTABLE_C
    assert low <= truck.goal_c <= high
    assert answer == command or command.split()[0].lower() == "set"


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e9", "-31", "20.1", "warm"])
def test_what_is_no_such_temperature_sets_nothing(word: str) -> None:
    truck = Truck("truck", Random(1))
    before = truck.goal_c
    assert truck.obey(f"set {word}") == f"can't be set to {word}: between -30 and 20 °C, please"
    assert truck.goal_c == before


def test_a_comma_is_a_point() -> None:
    assert Truck("truck", Random(1)).obey("SET 4,5") == "set to 4.5 °C"


def test_the_same_seed_makes_the_same_fleet() -> None:
    one, same, other = ([truck.measure(1.0) for truck in fleet_of(50, seed)] for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize(("count", "first", "last"), [(1, "truck-01", "truck-01"), (1000, "truck-0001", "truck-1000")])
def test_names_are_as_long_as_each_other(count: int, first: str, last: str) -> None:
    names = [truck.name for truck in fleet_of(count, 1)]
    assert (names[0], names[-1], len(set(names))) == (first, last, count)
