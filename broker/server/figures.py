"""What a running server tells of itself, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kernel import Histogram
from protocols.adapter import Adapter


class ServerFigures:
    """Given to ``serve``, which fills it in."""

    def __init__(self) -> None:
        self.adapters: Callable[[], Iterable[Adapter]] = tuple
        """Of all connections."""
        self.round_times = Histogram()
        """Microseconds of each round, without the wait for it."""
        self.stopping = False
