"""A load in a thread of its own, beside what is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bench.load import Load, put
from kernel.generator import LoadError


class Background:
    """Puts one load after another on a broker while entered; ``load`` makes the next, each of a second or two."""

    def __init__(self, load: Callable[[], Load]) -> None:
        self._load = load
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="load")
        self._error: Exception | None = None

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def check(self) -> None:
        """LoadError if one has failed."""
        if self._error is not None:
            raise LoadError(f"the load beside it: {self._error}") from self._error

    def _work(self) -> None:
        try:
            while not self._ending.is_set():
                put(self._load())
        except (LoadError, OSError) as error:
            self._error = error
