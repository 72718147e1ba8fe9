"""What real clients know of their messages, and what it forbids.

As ``tests/simulation/ledger.py``, with threads and real time: every message is published once, goes to one place, and
what a client on an undisturbed node says or holds counts until its life ends.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence

import msgspec

from broker.demo.cluster.witness import Life, id_in

TOLD_MAX = 20
"""Violations that are written out."""


class Entry(msgspec.Struct):
    """A message."""

    place: str
    publisher: str
    sent_at: float
    confirmed: bool = False
    refused: bool = False
    resent: bool = False
    seen_count: int = 0
    holder: Life | None = None
    settler: Life | None = None
    settled: bool = False
    """For good: the broker said good-bye after it."""


class Watch:
    """For each place, when the first message was confirmed that was sent after a moment."""

    def __init__(self, after: float) -> None:
        self.after = after
        self.first_s: dict[str, float] = {}

    def receive(self, entry: Entry, now: float) -> None:
        if entry.sent_at >= self.after:
            self.first_s.setdefault(entry.place, now - self.after)


class Ledger:
    """A ``broker.demo.cluster.witness.Witness``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.confirmed_count = self.refused_count = self.doubled_count = self.strange_count = 0
        self.again_count = 0
        """Deliveries that were flagged, and were none the first time."""
        self.odd_count = 0
        """Of those, by nodes that nobody had disturbed.  Allowed, since a busy machine disturbs nodes, too."""
        self.entries: list[Entry] = []
        self.broken: list[str] = []
        self.odd: list[str] = []
        self.exactly_once: Container[str] = ()
        """Places of QoS 2."""
        self._clock = clock
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._awaited: set[int] = set()
        """Confirmed, and not seen."""
        self._disturbed: Counter[str] = Counter()
        """How often each node was."""

    # ---- what happens to the nodes

    def disturb(self, node: str) -> None:
        """About to be killed or stopped: what its clients hold may come to others."""
        with self._lock:
            self._disturbed[node] += 1

    def watch_from_now(self) -> Watch:
        with self._lock:
            self._watch = Watch(self._clock())
            return self._watch

    # ---- what clients do and see

    def publish(self, place: str, publisher: str) -> int:
        with self._lock:
            self.entries.append(Entry(place, publisher, self._clock()))
            return len(self.entries) - 1

    def confirm(self, id: int) -> None:
        with self._lock:
            entry, now = self.entries[id], self._clock()
            if entry.confirmed or entry.refused:
                self._break(f"message {id} of {entry.publisher} was answered twice")
            entry.confirmed = True
            self.confirmed_count += 1
            if not entry.seen_count:
                self._awaited.add(id)
            if self._watch is not None:
                self._watch.receive(entry, now)

    def refuse(self, id: int) -> None:
        """Of an outcome that is known to be bad: it may be seen or not."""
        with self._lock:
            self.entries[id].refused = True
            self.refused_count += 1

    def lose(self, id: int) -> None:
        """Its outcome is unknown: it may be seen once, or not."""

    def resend(self, id: int) -> None:
        """By QoS 1 it may be two messages."""
        with self._lock:
            self.entries[id].resent = True

    def deliver(self, life: Life, place: str, body: bytes, again: bool) -> int | None:
        with self._lock:
            id = id_in(body)
            entry = self.entries[id] if id is not None and id < len(self.entries) else None
            if entry is None or entry.place != place:
                self.strange_count += 1
                self._break(f"{life.name} got {body[:40]!r}, which nobody sent to {place}")
                return None
            assert id is not None
            if life.mark is None:
                life.mark = self._disturbed[life.node]
            if entry.seen_count:
                self._check_again(life, id, entry, again)
            entry.seen_count += 1
            entry.holder = life
            self._awaited.discard(id)
            return id

    def _check_again(self, life: Life, id: int, entry: Entry, again: bool) -> None:
        why = ""
        if entry.place in self.exactly_once:
            why = "came a second time by QoS 2"
        elif entry.settled:
            why = "came again after its settle was acknowledged"
        elif not (again or entry.resent):
            why = "came a second time without a flag"
        elif entry.holder is life:
            why = "came again while it was held"
        if why:
            self.doubled_count += 1
            self._break(f"message {id} {why}; to {life.name} at {life.node}")
            return
        self.again_count += 1
        settler = entry.settler
        if settler is not None and not settler.ended and settler.mark == self._disturbed[settler.node]:
            self.odd_count += 1
            self._note(self.odd, f"message {id} came again after {settler.name} at {settler.node} settled it")

    def settle(self, life: Life, ids: Sequence[int]) -> None:
        with self._lock:
            for id in ids:
                entry = self.entries[id]
                entry.holder, entry.settler = None, life

    def settled(self, life: Life) -> None:
        with self._lock:
            for entry in self.entries:
                if entry.settler is life:
                    entry.settled, entry.settler = True, None

    def end(self, life: Life) -> None:
        with self._lock:
            life.ended = True

    def complain(self, what: str) -> None:
        with self._lock:
            self._break(what)

    def _break(self, what: str) -> None:
        self._note(self.broken, what)

    @staticmethod
    def _note(notes: list[str], what: str) -> None:
        if len(notes) < TOLD_MAX:
            notes.append(what)

    # ---- what is asked of it

    def awaited(self) -> list[int]:
        """Confirmed and not seen."""
        with self._lock:
            return sorted(self._awaited)
