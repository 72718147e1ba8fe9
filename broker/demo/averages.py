"""Moving averages, one for each name."""

from __future__ import annotations

from collections import OrderedDict, deque

NAMES_MAX = 10_000
"""Beyond it, the name that was silent for longest is forgotten."""


class MovingAverages:
    """Over the last ``window`` values of a name."""

    def __init__(self, window: int) -> None:
        assert window > 0
        self._window = window
        self._values: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, name: str, value: float) -> float:
        """The average with this value."""
        values = self._values.setdefault(name, deque(maxlen=self._window))
        self._values.move_to_end(name)
        if len(self._values) > NAMES_MAX:
            self._values.popitem(last=False)
        values.append(value)
        return sum(values) / len(values)
