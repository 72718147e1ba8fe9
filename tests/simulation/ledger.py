"""What clients know, and what it forbids: the checkers (invariants I10 to I16, I19 and I21 of the plan).

A *copy* is a message in a queue.  A *life* is one channel of one connection, from open to whatever ends it.
The ledger hears of everything at the moment a client does it or sees it; it never asks the broker.
"""

from __future__ import annotations

import enum

import msgspec

from tests.simulation.plan import DEAD, Plan


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


class Outcome(enum.Enum):
    ACK = enum.auto()
    REJECT = enum.auto()
    REQUEUE = enum.auto()


class Message(msgspec.Struct):
    """A publish."""

    id: int
    body: bytes
    publisher: str
    """The life that sent it."""
    place: int
    """Its place among what that life sent."""
    persistent: bool
    expiration_ms: int | None
    queues: tuple[str, ...]
    restarts: int
    """How often the node had started when it was sent."""
    sent_ms: int
    confirmed: bool = False
    refused: bool = False


class Life:
    """One channel, from open to end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ended = False
        self.held: dict[tuple[str, int, str], Copy] = {}
        self.settling: list[Copy] = []
        """Settled on the wire, and not known to be committed."""
        self.places: dict[tuple[str, str], int] = {}
        """Of the last unflagged delivery, by (consumer, publisher)."""
        self.blind: set[str] = set()
        """Queues it consumes without acks."""


class Copy(msgspec.Struct):
    """A message in a queue, as far as clients saw it."""

    message: Message
    queue: str
    source: str
    """The queue it died in, if this is a dead letter."""
    seen_count: int = 0
    holder: Life | None = None
    settler: Life | None = None
    settler_restarts: int = 0
    acked: bool = False
    rejected: bool = False
    settled: bool = False
    """For good: the broker answered a goodbye after it."""

    @property
    def text(self) -> str:
        return f"message {self.message.id} of {self.queue}" + (f" (died in {self.source})" if self.source else "")


class Ledger:
    """Everything all clients of one simulation know."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.messages: dict[int, Message] = {}
        self.copies: dict[tuple[str, int, str], Copy] = {}
        self.restarts = 0
        self.disturbed: set[str] = set()
        """Queues in which something may have come back."""
        self.blind_losses: set[str] = set()
        """Queues of which something may have been on its way to a client that is gone and would not have acked."""

    # ---- publishing

    def publish(self, message: Message) -> None:
        self.messages[message.id] = message

    def confirm(self, message: Message) -> None:
        if message.confirmed or message.refused:
            raise Broken("I10", f"message {message.id} was answered twice")
        message.confirmed = True

    def refuse(self, message: Message) -> None:
        if message.confirmed or message.refused:
            raise Broken("I10", f"message {message.id} was answered twice")
        if not any(self.plan.queues[queue].refuses for queue in message.queues):
            raise Broken("I10", f"message {message.id} was refused by queues without a bound")
        message.refused = True

    # ---- delivering

    def deliver(
        self, life: Life, consumer: str, queue: str, body: bytes, source: str, redelivered: bool, blind: bool
    ) -> Copy:
        """A client sees a message."""
        message = self._message(queue, body, source)
        key = (queue, message.id, source)
        copy = self.copies.get(key)
        if copy is None:
            copy = self.copies[key] = Copy(message, queue, source)
        self._check_delivery(copy, redelivered)
        if not redelivered and queue != DEAD:
            self._check_order(life, consumer, copy)
        copy.seen_count += 1
        copy.rejected = False
        if blind:
            copy.acked = True
            copy.settler, copy.settler_restarts = life, self.restarts
        else:
            copy.holder = life
            copy.settler = None
            life.held[key] = copy
        return copy

    def _message(self, queue: str, body: bytes, source: str) -> Message:
        number = body.split(b":", 1)[0]
        message = self.messages.get(int(number)) if number.isdigit() else None
        if message is None:
            raise Broken("I11", f"{queue} delivered {body[:40]!r}, which nobody sent")
        if message.body != body:
            raise Broken("I11", f"{queue} delivered message {message.id} with another body")
        if (source or queue) not in message.queues:
            raise Broken("I11", f"{queue} delivered message {message.id}, which was sent to {message.queues}")
        if source and not self.plan.queues[source].dead_letters:
            raise Broken("I11", f"message {message.id} died in {source}, which has no dead-letter exchange")
        return message

    def _check_delivery(self, copy: Copy, redelivered: bool) -> None:
        if copy.settled:
            raise Broken("I16", f"{copy.text} came back after its settle was acknowledged")
        if copy.seen_count and not redelivered:
            raise Broken("I15", f"{copy.text} came a second time without the redelivered flag")
        if redelivered and not copy.seen_count and copy.queue not in self.disturbed:
            raise Broken("I15", f"{copy.text} is flagged as redelivered, and nothing ever came back there")
        if copy.holder is not None and not copy.holder.ended:
            raise Broken("I12", f"{copy.text} came again while {copy.holder.name} held it")
        settler = copy.settler
        if settler is not None and not settler.ended and copy.settler_restarts == self.restarts:
            raise Broken("I16", f"{copy.text} came again after {settler.name} settled it")
        if not copy.source and (DEAD, copy.message.id, copy.queue) in self.copies:
            raise Broken("I21", f"{copy.text} came again after it was seen among the dead letters")

    def _check_order(self, life: Life, consumer: str, copy: Copy) -> None:
        key = (f"{consumer} of {copy.queue}", copy.message.publisher)
        if life.places.get(key, -1) >= copy.message.place:
            raise Broken("I14", f"{copy.text} came out of order to {life.name}/{consumer}")
        life.places[key] = copy.message.place

    def check_expired(self, copy: Copy, now_ms: int) -> None:
        """A dead letter that says it expired (I19)."""
        message, plan = copy.message, self.plan.queues[copy.source]
        ttls = [ttl for ttl in (message.expiration_ms, plan.ttl_ms) if ttl is not None]
        if not ttls:
            raise Broken("I19", f"{copy.text} expired and had no time to live")
        if now_ms < message.sent_ms + min(ttls):
            raise Broken("I19", f"{copy.text} expired early")

    # ---- settling

    def settle(self, life: Life, copy: Copy, outcome: Outcome) -> None:
        """A client says so on the wire."""
        del life.held[copy.queue, copy.message.id, copy.source]
        copy.holder = None
        if outcome is Outcome.REQUEUE:
            self.disturbed.add(copy.queue)
            return
        copy.acked |= outcome is Outcome.ACK
        copy.rejected |= outcome is Outcome.REJECT
        copy.settler, copy.settler_restarts = life, self.restarts
        life.settling.append(copy)

    def receive_settled(self, copies: list[Copy]) -> None:
        """A channel.close-ok or basic.cancel-ok came: what was settled before it was asked for stays settled."""
        for copy in copies:
            copy.settled = True

    def end(self, life: Life) -> None:
        """The channel is closed or lost: what it held comes back."""
        if life.ended:
            return
        life.ended = True
        for copy in (*life.held.values(), *life.settling):
            self.disturbed.add(copy.queue)
            copy.holder = None
        life.held.clear()
        life.settling.clear()
        self.blind_losses |= life.blind

    def disturb(self, queue: str) -> None:
        """Something may have been on its way to a consumer that is gone."""
        self.disturbed.add(queue)

    def restart(self) -> None:
        """The node started anew."""
        self.restarts += 1
        self.disturbed.update(self.plan.queues)

    # ---- the end

    def finish(self) -> None:
        """After everything was drained: nothing that was confirmed is missing (I10)."""
        for message in self.messages.values():
            if message.confirmed:
                for queue in message.queues:
                    self._check_found(message, queue)

    def _check_found(self, message: Message, queue: str) -> None:
        plan = self.plan.queues[queue]
        copy = self.copies.get((queue, message.id, ""))
        dead = (DEAD, message.id, queue) in self.copies
        if copy is not None and copy.settled and copy.acked and not copy.rejected and dead:
            raise Broken("I21", f"{copy.text} was acked for good and died")
        if dead or plan.loses or (copy is not None and (copy.acked or (copy.rejected and not plan.dead_letters))):
            return
        restarted = message.restarts != self.restarts
        if (restarted and not (message.persistent and plan.durable)) or queue in self.blind_losses:
            return
        seen = "never seen" if copy is None else f"seen {copy.seen_count} times, rejected: {copy.rejected}"
        raise Broken("I10", f"message {message.id} was confirmed and is lost from {queue} ({seen})")

    @property
    def confirmed_count(self) -> int:
        return sum(message.confirmed for message in self.messages.values())

    @property
    def seen_count(self) -> int:
        return sum(copy.seen_count for copy in self.copies.values())
