"""What clients of a cluster know, and what it forbids.

Beside what holds for one node: a message that a client holds, or has settled, may come again only to somebody who is
flagged, and only if the node of the one or the other was out of reach of a living node, or stood still: in *trouble*.
A change of leaders alone gives nothing back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from protocols.amqp.methods import Method
from tests.simulation.client import Channel, Client
from tests.simulation.ledger import Broken, Copy, Ledger, Life, Outcome
from tests.simulation.link import Link
from tests.simulation.plan import DEAD, Plan
from tests.simulation.wire import Received

SLACK_US = 15_000_000
"""What was on its way when trouble began arrives so late at most."""
JOIN_US = 1_000_000
"""Who comes is heard by the others within it, if nothing is between them."""
SKEWS = 2
"""The leader's clock, and the publisher's node's."""


class ClusterLife(Life):
    """A channel, and the node that it is at."""

    def __init__(self, name: str, node: str) -> None:
        super().__init__(name)
        self.node = node


class ClusterLedger(Ledger):
    """Everything all clients know, and who was in trouble."""

    def __init__(self, plan: Plan, now_us: Callable[[], int], skew_ms: Callable[[], int]) -> None:
        super().__init__(plan)
        self._now_us = now_us
        self._skew_ms = skew_ms
        self._cut: set[frozenset[str]] = set()
        """Nodes that live and don't hear each other any more."""
        self._apart: dict[frozenset[str], int] = {}
        """Nodes of which one came and doesn't hear the other yet, since when."""
        self._trouble_us: dict[str, int] = {}
        self._leaving: set[str] = set()
        """Nodes that said goodbye: what their clients hold comes back, who may not have read it yet."""
        self._seen: dict[int, tuple[int, str]] = {}
        """By copy: when it was delivered last, and by which node."""
        self._settled: dict[int, tuple[int, str]] = {}
        """By copy: when it was settled last, and by a client of which node."""
        self._loose: set[int] = set()
        """Copies that were settled by somebody whose node was in trouble."""
        self._rejected_late = False
        """What is being delivered was rejected by such a one."""

    # ---- trouble

    def shake(self) -> None:
        """Somebody fell, or another leads: what was handed out may be flagged."""
        self.disturbed.update(self.plan.queues)

    def fall(self) -> None:
        """A node's process is gone."""
        self.restart()
        self._lose_blind()

    def trouble(self, *names: str) -> None:
        """It is over, or begins."""
        self.shake()
        self._lose_blind()
        for name in names:
            self._trouble_us[name] = self._now_us()

    def come(self, name: str, living: Iterable[str]) -> None:
        """Its process is new."""
        self._apart.update((frozenset((name, other)), self._now_us()) for other in living if other != name)

    def cut(self, one: str, other: str) -> None:
        """The one does not hear the other, which lives."""
        self._cut.add(frozenset((one, other)))
        self.trouble(one, other)

    def join(self, one: str, other: str) -> None:
        pair = frozenset((one, other))
        came_us = self._apart.pop(pair, None)
        if pair in self._cut or (came_us is not None and self._now_us() - came_us > JOIN_US):
            self._cut.discard(pair)
            self.trouble(one, other)

    def leave(self, name: str) -> None:
        """It says goodbye to its clients."""
        self._leaving.add(name)

    def forget(self, name: str) -> None:
        """Its process is gone, and with it what it didn't hear."""
        self._leaving.discard(name)
        for pair in [pair for pair in self._apart if name in pair]:
            del self._apart[pair]
        gone = [pair for pair in self._cut if name in pair]
        for pair in gone:
            self._cut.discard(pair)
            self.trouble(*sorted(pair))

    def _lose_blind(self) -> None:
        self.blind_losses.update(queue.name for queue in self.plan.queues.values() if queue.blind)

    def was_in_trouble(self, name: str, since_us: int) -> bool:
        return self._trouble_us.get(name, -SLACK_US - 1) >= since_us - SLACK_US or any(
            name in pair for pair in (*self._cut, *self._apart)
        )

    # ---- deliveries

    def deliver(
        self, life: Life, consumer: str, queue: str, body: bytes, source: str, redelivered: bool, blind: bool
    ) -> Copy:
        assert isinstance(life, ClusterLife)
        self._deliverer = life.node
        copy = super().deliver(life, consumer, queue, body, source, redelivered, blind)
        copy.rejected |= self._rejected_late
        self._seen[id(copy)] = (self._now_us(), life.node)
        return copy

    def _check_delivery(self, copy: Copy, redelivered: bool) -> None:
        if redelivered and not copy.seen_count and copy.queue not in self.disturbed:
            raise Broken("I15", f"{copy.text} is flagged as redelivered, and nothing ever came back there")
        seen_us, node = self._seen.get(id(copy), (0, ""))
        # A settle is valid whoever holds the message by then (log-and-shards.md section 8), and is heard late if the
        # node of who said it was in trouble, or came to be just after.
        self._rejected_late = copy.rejected and (id(copy) in self._loose or self.was_in_trouble(node, seen_us))
        if self.was_in_trouble(self._deliverer, seen_us):
            return
        if copy.settled:
            raise Broken("I16", f"{copy.text} came back after its settle was acknowledged")
        if copy.seen_count and not redelivered:
            raise Broken("I15", f"{copy.text} came a second time without the redelivered flag")
        if not copy.source and (DEAD, copy.message.id, copy.queue) in self.copies:
            raise Broken("I21", f"{copy.text} came again after it was seen among the dead letters")
        if not copy.seen_count or self.was_in_trouble(node, seen_us):
            return
        if copy.holder is not None and not self._has_ended(copy.holder):
            raise Broken("I12", f"{copy.text} came again while {copy.holder.name} held it")
        # Without acks a message is settled as it is handed out, and comes again if its leader falls before all know.
        if copy.settler is None or self.plan.queues[copy.queue].blind:
            return
        settled_us, settlers = self._settled[id(copy)]
        if not self._has_ended(copy.settler) and not self.was_in_trouble(settlers, settled_us):
            raise Broken("I16", f"{copy.text} came again after {copy.settler.name} settled it")

    def _has_ended(self, life: Life) -> bool:
        assert isinstance(life, ClusterLife)
        return life.ended or life.node in self._leaving

    def settle(self, life: Life, copy: Copy, outcome: Outcome) -> None:
        life.held.setdefault((copy.queue, copy.message.id, copy.source), copy)  # it may have come twice
        super().settle(life, copy, outcome)
        assert isinstance(life, ClusterLife)
        if outcome is not Outcome.REQUEUE:
            self._settled[id(copy)] = (self._now_us(), life.node)
        seen_us, node = self._seen[id(copy)]
        if self.was_in_trouble(node, seen_us) or self.was_in_trouble(life.node, seen_us):
            self._loose.add(id(copy))

    def receive_settled(self, copies: list[Copy]) -> None:
        for copy in copies:
            seen_us, node = self._seen[id(copy)]
            if id(copy) not in self._loose and not self.was_in_trouble(node, seen_us):
                copy.settled = True

    def check_expired(self, copy: Copy, now_ms: int) -> None:
        super().check_expired(copy, now_ms + SKEWS * self._skew_ms())


class ClusterClient(Client):
    """A client that tells the ledger where it is, and goes elsewhere when nobody answers."""

    node = ""
    waits_since_us = 0
    waits_to_act = True
    """It does nothing while it waits for an answer."""

    def begin(self, link: Link) -> None:
        super().begin(link)
        # The end of a connection that was given up before is none of this one's.
        link.cut_off = lambda: self._receive_cut() if self.link is link else None

    def open(self, number: int) -> Generator[tuple[type[Method], ...], Received, Channel]:
        channel = yield from super().open(number)
        channel.life = ClusterLife(channel.life.name, self.node)
        return channel

    @property
    def wants_link(self) -> bool:
        return super().wants_link and not self.world.drained

    @property
    def waits(self) -> bool:
        """For an answer."""
        return self._waiting is not None
