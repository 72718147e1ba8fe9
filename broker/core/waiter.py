"""A completion that calls back."""

from __future__ import annotations

from collections.abc import Callable


class Waiter:
    """Told when a command was applied."""

    __slots__ = ("_finish",)

    def __init__(self, finish: Callable[[], None]) -> None:
        self._finish = finish

    def applied(self) -> None:
        self._finish()
