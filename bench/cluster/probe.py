"""A publisher that keeps the time of each confirm: when confirms stop and flow again, and how long each took."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import msgspec
from pamqp import commands

from bench.client import Client, ClientError

INTERVAL_S = 0.005
# It gives up on a broker that confirms nothing for so long.
SILENCE_S = 60.0


class Confirm(msgspec.Struct, frozen=True):
    """One persistent message: where it went, and when, on the monotonic clock."""

    queue: str
    published: float
    confirmed: float


def resumed_after(confirms: Sequence[Confirm], queues: Sequence[str], at: float) -> float | None:
    """Seconds from ``at`` until each queue has confirmed what was published afterwards; None: not each has."""
    first: dict[str, float] = {}
    for confirm in confirms:
        if confirm.published > at:
            first[confirm.queue] = min(confirm.confirmed, first.get(confirm.queue, confirm.confirmed))
    return max(first.values()) - at if first.keys() >= set(queues) else None


def latencies(confirms: Sequence[Confirm], begin: float, end: float) -> list[float]:
    """Microseconds to the confirm, ascending, of the messages that were published in that time."""
    return sorted((c.confirmed - c.published) * 1e6 for c in confirms if begin <= c.published < end)


def percentile(ascending: Sequence[float], share: float) -> float:
    """The value that ``share`` of them are at most."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


class Unconfirmed:
    """What was published on a channel and isn't confirmed yet, by its delivery tag."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[str, float]] = {}
        self._next = 1
        self.refused = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def publish(self, queue: str, at: float) -> None:
        self._waiting[self._next] = (queue, at)
        self._next += 1

    def take(self, tag: int, multiple: bool) -> list[tuple[str, float]]:
        """What an answer with that tag is about."""
        tags = [waiting for waiting in self._waiting if waiting <= tag] if multiple else [tag]
        return [self._waiting.pop(waiting) for waiting in tags if waiting in self._waiting]

    def confirm(self, tag: int, multiple: bool, now: float) -> list[Confirm]:
        return [Confirm(queue, at, now) for queue, at in self.take(tag, multiple)]

    def refuse(self, tag: int, multiple: bool) -> None:
        self.refused += len(self.take(tag, multiple))


class Probe:
    """Publishes to ``queues`` in turn, one message each ``interval_s``, in a thread of its own while entered.

    It waits for no confirm before it publishes on.  What the broker refuses (nack) isn't sent again: it doesn't count
    as confirmed.
    """

    def __init__(self, port: int, queues: Sequence[str], size: int, interval_s: float = INTERVAL_S) -> None:
        self._client = Client(port)
        self._queues = queues
        self._interval_s = interval_s
        self._body = bytes(size)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="probe")
        self._error: Exception | None = None
        self._unconfirmed = Unconfirmed()
        self.confirms: list[Confirm] = []
        """As they came; only appended to."""

    @property
    def refused(self) -> int:
        return self._unconfirmed.refused

    def __enter__(self) -> Probe:
        self._client.select_confirms()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._client.close()

    def check(self) -> None:
        """ClientError if the broker hung up, closed the channel, or confirmed nothing for long."""
        if self._error is not None:
            raise ClientError(f"the probe: {self._error}") from self._error

    def _work(self) -> None:
        try:
            self._publish_on()
        except (ClientError, OSError) as error:
            self._error = error

    def _publish_on(self) -> None:
        due = heard = time.monotonic()
        number = 0
        while not self._ending.is_set():
            now = time.monotonic()
            while due <= now:
                queue = self._queues[number % len(self._queues)]
                self._unconfirmed.publish(queue, time.monotonic())
                self._client.publish(queue, self._body)
                number += 1
                due += self._interval_s
            confirmed = self._receive(due - time.monotonic())
            heard = time.monotonic() if confirmed or not self._unconfirmed else heard
            if time.monotonic() - heard > SILENCE_S:
                raise ClientError(f"no confirm for {SILENCE_S:.0f} s")

    def _receive(self, timeout_s: float) -> bool:
        """Takes in what comes in that time; whether a confirm was among it."""
        known = len(self.confirms)
        for answer in self._client.answers(max(timeout_s, 0)):
            if isinstance(answer, commands.Basic.Ack):
                tag, multiple = answer.delivery_tag or 0, bool(answer.multiple)
                self.confirms += self._unconfirmed.confirm(tag, multiple, time.monotonic())
            elif isinstance(answer, commands.Basic.Nack):
                self._unconfirmed.refuse(answer.delivery_tag or 0, bool(answer.multiple))
        return len(self.confirms) > known
