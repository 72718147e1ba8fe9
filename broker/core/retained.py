"""A vhost's retained messages: each topic's last, kept in a queue of one shard, and sent to new subscriptions.

The queue is fed like any other, by the routes of messages that are to be retained.  A subscription's messages are
looked up by pages, and go through the session's own queues, a page when the one before has been delivered: whoever
subscribes to everything delays nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from broker.core.client_session import ClientSession
from broker.core.forward_words import RetainedPage
from broker.core.publishing import ALL, PERSISTENT, TRANSIENT
from broker.core.shard import Shard
from broker.core.waiter import Waiter
from broker.model.client_sessions import SubscriptionSpec
from kernel import MessageRun, RetainedIndex, Route

RETAINED_BASE = (1 << 62) + (1 << 61)
"""Queue ids of retained messages: above every id that is given to a queue, and above outboxes'."""
FOUND_MAX = 65_536
"""Sequences that a lookup finds before it fetches them in the order in which they lie in the log: topics come in
another order, and what is not in memory would be read again for every page."""
FIND_COUNT = 4096
"""Topics found in one go."""
PAGE = 1024
"""Messages fetched in one go."""
QUEUED_MAX = 64
"""Messages that wait in a session's queue when its next page is fetched."""
ASKED_COUNT = 256
"""Topics in a page for another node, at most."""
ASKED_SIZE = 1 << 20
"""Bytes beyond which such a page has fewer."""
PACE_MS = 5
"""How long a lookup waits that found its session's queues full."""


Answer = Callable[[RetainedPage], None]


class RetainedLimits(msgspec.Struct, frozen=True):
    """Of a vhost's retained messages, and bytes of their bodies: on new topics beyond nothing is retained."""

    count: int = 10_000_000
    size: int = 16 << 30


class Lookup:
    """One new subscription's."""

    __slots__ = ("client", "fetched", "filter", "finding", "place", "qos", "sequences")

    def __init__(self, client: ClientSession, spec: SubscriptionSpec) -> None:
        self.client = client
        self.filter = spec.filter.encode()
        self.qos = spec.qos
        self.place: bytes | None = b""
        """Where to go on; None: nowhere."""
        self.finding: list[int] = []
        self.sequences: list[int] = []
        """Found; those from ``fetched`` on are to be fetched."""
        self.fetched = 0


class PageRequest:
    """A page that another node asks for, of a lookup of its own."""

    def __init__(self, filter: bytes, place: bytes, answer: Answer) -> None:
        self.filter = filter
        self.place = place
        self.answer = answer
        self.count = ASKED_COUNT
        self.sequences: list[int] | None = None
        """Found, in the order of the log; None: not yet."""
        self.next: bytes | None = None
        self.runs: list[MessageRun] = []
        self.fetched = 0

    @property
    def too_large(self) -> bool:
        return self.count > 1 and sum(run.size for run in self.runs) > ASKED_SIZE

    def shrink(self) -> None:
        """Begins again with fewer topics."""
        self.count = max(self.count // 4, 1)
        self.sequences, self.runs, self.fetched = None, [], 0

    def page(self) -> RetainedPage:
        return RetainedPage([run for run in self.runs if run.count], self.next)


class Retained:
    """Those of one vhost.  The shard tells it of changes as it tells a queue."""

    def __init__(self, shard: Shard, id: int, limits: RetainedLimits, schedule: Callable[[int], None]) -> None:
        """``schedule`` asks for a dispatch at this wall time."""
        self.shard = shard
        self.id = id
        self.index = RetainedIndex(id, limits.count, limits.size)
        self.refused_count = 0
        """Messages that were over the limits."""
        self._schedule = schedule
        self._timer_ms = 0
        self._lookups: deque[Lookup] = deque()
        self._requests: deque[PageRequest] = deque()

    @property
    def count(self) -> int:
        return len(self.index)

    def look_up(self, client: ClientSession, spec: SubscriptionSpec) -> None:
        """Sends the client what is retained for a subscription that is routed already.

        What was published before and is on its way is waited for: its route did not lead to the client.
        """
        self._when_arrived(lambda: self._lookups.append(Lookup(client, spec)))

    def look_up_page(self, filter: bytes, place: bytes, answer: Answer) -> None:
        """The same for a session that another node leads, a page at a time."""
        self._when_arrived(lambda: self._requests.append(PageRequest(filter, place, answer)))

    def take_lookups(self) -> list[Lookup]:
        """Those that are not over, to be begun again where it is led next."""
        lookups, self._lookups = list(self._lookups), deque()
        return lookups

    def _when_arrived(self, begin: Callable[[], None]) -> None:
        def arrived() -> None:
            begin()
            self.shard.dirty[self.id] = None

        kernel = self.shard.kernel
        if not kernel.has_queue(self.id) or kernel.counts(self.id)[2]:
            self.shard.when_applied(self.shard.barrier(), Waiter(arrived))
        else:
            arrived()

    def dispatch(self, now_ms: int) -> None:
        if not self._collect():
            return  # to be read first: the queue changes again when it was
        if self._timer_ms and self._timer_ms <= now_ms:
            self.index.expire(self.shard.kernel, now_ms)
        if self._lookups:
            self._go_on(now_ms)
        while self._requests and self._answer(self._requests[0], now_ms):
            self._requests.popleft()
        self._set_timer(now_ms)

    def _collect(self) -> bool:
        """Takes in what is new; before it has taken in all there was at the start there are no lookups."""
        kernel, index = self.shard.kernel, self.index
        while kernel.counts(self.id)[0]:
            collected = index.collect(kernel)
            if collected is None:
                return False
            count, over = collected
            self.refused_count += over
            if not count:
                break
        return True

    def _go_on(self, now_ms: int) -> None:
        """A step of each lookup; those that are not over come again, in the next round at the earliest."""
        again_ms = None
        for _ in range(len(self._lookups)):
            lookup = self._lookups.popleft()
            if lookup.client.attachment is None:
                continue  # what it will be sent, it will subscribe to anew
            wait_ms = self._step(lookup, now_ms)
            if wait_ms is not None:
                again_ms = wait_ms if again_ms is None else min(again_ms, wait_ms)
            if lookup.place is not None or lookup.sequences:
                self._lookups.append(lookup)
        if again_ms is not None:
            self._schedule(now_ms + again_ms)

    def _step(self, lookup: Lookup, now_ms: int) -> int | None:
        """When to come again, in ms; None: told when something was read.

        A few messages are found and sent at once: whoever subscribes and then publishes expects them first.
        """
        if not lookup.sequences:
            self._find(lookup)
        if not lookup.sequences:
            return 0
        if not self._has_room(lookup):
            return PACE_MS
        return 0 if self._send_page(lookup, now_ms) else None

    def _find(self, lookup: Lookup) -> None:
        assert lookup.place is not None
        found, lookup.place = self.index.page(lookup.filter, lookup.place, FIND_COUNT)
        lookup.finding += found
        if lookup.place is None or len(lookup.finding) >= FOUND_MAX:
            lookup.finding.sort()
            lookup.sequences, lookup.finding, lookup.fetched = lookup.finding, [], 0

    def _has_room(self, lookup: Lookup) -> bool:
        return lookup.client.queued <= QUEUED_MAX

    def _send_page(self, lookup: Lookup, now_ms: int) -> bool:
        """False: what comes next must be read first."""
        page = lookup.sequences[lookup.fetched : lookup.fetched + PAGE]
        messages, count = self.index.fetch(self.shard.kernel, page, now_ms)
        lookup.fetched += count
        if lookup.fetched == len(lookup.sequences):
            lookup.sequences = []
        if messages.count:
            send_to(lookup.client, messages, lookup.qos)
        return count > 0

    def _answer(self, request: PageRequest, now_ms: int) -> bool:
        """False: something must be read first, and the queue changes when it was."""
        while True:
            if request.sequences is None:
                found, request.next = self.index.page(request.filter, request.place, request.count)
                request.sequences = sorted(found)
            wanted = request.sequences[request.fetched :]
            if not wanted:
                request.answer(request.page())
                return True
            messages, count = self.index.fetch(self.shard.kernel, wanted, now_ms)
            if not count:
                return False
            request.runs.append(messages)
            request.fetched += count
            if request.too_large:
                request.shrink()

    def _set_timer(self, now_ms: int) -> None:
        expires_ms = self.index.expires_ms
        if expires_ms and (self._timer_ms <= now_ms or expires_ms < self._timer_ms):
            self._timer_ms = expires_ms
            self._schedule(expires_ms)


def send_to(client: ClientSession, messages: MessageRun, qos: int) -> None:
    """To this session only, at the QoS it was granted."""
    keys = len(messages.keys())
    if client.attachment is not None:
        transient = client.open_transient()
        route = Route([(transient.id, None, None, TRANSIENT if qos else ALL, None)])
        transient.kernel.publish(messages, [route] * keys)
    if qos:
        route = Route([(client.open_queue().id, None, None, PERSISTENT, None)])
        client.shard.publish(messages, [route] * keys)
