"""A witness that counts: rates and the time of confirms, over the last seconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from broker.demo.cluster.witness import Life, id_in

WINDOW_S = 5.0
"""What rates and times are taken over."""


class Figures:
    """Of the whole load."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.confirmed_count = self.delivered_count = self.unknown_count = 0
        self.complaints: list[str] = []
        self._clock = clock
        self._begun_at = clock()
        self._lock = threading.Lock()
        self._ids = 0
        self._sent: dict[int, float] = {}
        """What waits for its confirm."""
        self._confirms: deque[tuple[float, float]] = deque()
        """(when, after how many seconds)"""
        self._deliveries: deque[float] = deque()

    def publish(self, place: str, publisher: str) -> int:
        with self._lock:
            self._ids += 1
            self._sent[self._ids] = self._clock()
            return self._ids

    def confirm(self, id: int) -> None:
        with self._lock:
            now = self._clock()
            self.confirmed_count += 1
            self._confirms.append((now, now - self._sent.pop(id)))

    def refuse(self, id: int) -> None:
        self.lose(id)

    def lose(self, id: int) -> None:
        with self._lock:
            self.unknown_count += 1
            self._sent.pop(id, None)

    def resend(self, id: int) -> None:
        """Of no interest here."""

    def deliver(self, life: Life, place: str, body: bytes, again: bool) -> int | None:
        with self._lock:
            self.delivered_count += 1
            self._deliveries.append(self._clock())
        return id_in(body)

    def settle(self, life: Life, ids: Sequence[int]) -> None:
        """Of no interest here."""

    def settled(self, life: Life) -> None:
        """Of no interest here."""

    def end(self, life: Life) -> None:
        """Of no interest here."""

    def complain(self, what: str) -> None:
        with self._lock:
            self.complaints.append(what)

    def rates(self) -> tuple[float, float]:
        """Confirmed and delivered per second."""
        with self._lock:
            self._forget()
            over_s = min(max(self._clock() - self._begun_at, 1.0), WINDOW_S)
            return len(self._confirms) / over_s, len(self._deliveries) / over_s

    def confirm_s(self, share: float) -> float | None:
        """So many confirms took this long at most; None: there were none."""
        with self._lock:
            self._forget()
            taken = sorted(seconds for _, seconds in self._confirms)
        return taken[min(int(len(taken) * share), len(taken) - 1)] if taken else None

    def oldest_s(self) -> float:
        """How long the publish waits that waits longest."""
        with self._lock:
            return self._clock() - min(self._sent.values(), default=self._clock())

    def _forget(self) -> None:
        since = self._clock() - WINDOW_S
        while self._confirms and self._confirms[0][0] < since:
            self._confirms.popleft()
        while self._deliveries and self._deliveries[0] < since:
            self._deliveries.popleft()
