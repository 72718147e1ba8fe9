"""A refrigerated truck: what its load room's thermometer shows, and what it answers to commands.

The room warms towards the weather, a compressor cools it between two marks around the goal, and at times somebody opens
the door.  Ten times as quick as a real one, so that a minute shows something.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

OUTSIDE_C = 24.0
LEAK_CLOSED = 0.0015
LEAK_OPEN = 0.008
"""Parts of the difference to the outside that come in each second."""
COOLING_C_S = 0.12
HYSTERESIS_C = 0.5
DOOR_INTERVAL_S = 300.0
DOOR_OPEN_S = (10.0, 25.0)
NOISE_C = 0.04
GOALS_C = (-20.0, 2.0, 4.0, 7.0, 12.0)
"""Ice cream, fish, milk, vegetables, wine."""
SETTABLE_C = (-30.0, 20.0)
STEP_S_MAX = 1.0
"""A longer time is gone through in steps, or the compressor would overshoot."""


class Truck:
    """``random`` makes all its surprises: the same seed, the same truck."""

    def __init__(self, name: str, random: Random) -> None:
        self.name = name
        self.goal_c = random.choice(GOALS_C)
        self._random = random
        self._room_c = self.goal_c + random.uniform(-HYSTERESIS_C, HYSTERESIS_C)
        self._cooling = random.random() < 0.5
        self._door_open_s = 0.0

    def measure(self, seconds: float) -> float:
        """The temperature in degrees Celsius, that many seconds after the last time."""
        while seconds > 0.0:
            self._step(min(seconds, STEP_S_MAX))
            seconds -= STEP_S_MAX
        return self._room_c + self._random.gauss(0.0, NOISE_C)

    def obey(self, command: str) -> str:
        """What it answers: ``set 5`` sets the goal, anything else comes back as it is."""
        words = command.split()
        if len(words) != 2 or words[0].lower() != "set":
            return command
        goal_c = _number(words[1])
        low, high = SETTABLE_C
        if goal_c is None or not low <= goal_c <= high:
            return f"can't be set to {words[1]}: between {low:g} and {high:g} °C, please"
        self.goal_c = goal_c
        return f"set to {goal_c:.1f} °C"

    def _step(self, seconds: float) -> None:
        if self._door_open_s > 0.0:
            self._door_open_s -= seconds
        elif self._random.random() < seconds / DOOR_INTERVAL_S:
            self._door_open_s = self._random.uniform(*DOOR_OPEN_S)
        leak = LEAK_OPEN if self._door_open_s > 0.0 else LEAK_CLOSED
        self._room_c += (OUTSIDE_C - self._room_c) * leak * seconds
        if self._cooling:
            self._room_c -= COOLING_C_S * seconds
        if self._room_c > self.goal_c + HYSTERESIS_C:
            self._cooling = True
        elif self._room_c < self.goal_c - HYSTERESIS_C:
            self._cooling = False


def fleet_of(count: int, seed: int) -> Sequence[Truck]:
    """``truck-01`` and so on."""
    width = max(2, len(str(count)))
    return [Truck(f"truck-{number:0{width}}", Random(f"{seed} {number}")) for number in range(1, count + 1)]


def _number(word: str) -> float | None:
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return None
