"""This node's fronts at replicated shards: who consumes, who asks, and who leads what.

While a shard is led here its queues know the consumers themselves; while it is led elsewhere its leader does, and sends
what they are handed.  After a change of leader all of it is said again (log-and-shards.md section 8).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from broker.core import forward_words as w
from broker.core.consumer import Consumer
from broker.core.declarations import in_exclusive_use, not_found
from broker.core.numbered import Numbered
from broker.core.outcomes import Refused
from broker.core.queue import Queue
from broker.core.relaying import RelayFronts
from broker.core.replicated_shard import ReplicatedShard
from broker.core.resources import exchange_resource, queue_resource
from broker.model import commands as c
from broker.model import replies as r
from broker.model.commands import Outcome
from broker.model.names import SessionId, ShardId, UserName, VhostName

if TYPE_CHECKING:
    from broker.core.back import Back
    from broker.core.leader_end import Send

ALLOWED_AGAIN = 2
"""A consumer is allowed more once less than one part in so many of what it was allowed is left."""
WORD_SIZE_MAX = 1 << 20
"""Bytes of commands in one word."""
Claim: TypeAlias = tuple[int, int, int]
Answered = Callable[[w.AskedReply, list[Claim]], None]
Consuming = Callable[[Refused | None], None]


class FarLeader:
    """The way to a leader elsewhere; what is said in a round goes together."""

    def __init__(self, peer: int, term: int, due: dict[FarLeader, None]) -> None:
        self.peer = peer
        self.term = term
        self.said: list[Numbered] = []
        self.shard = ShardId(0)
        self._due = due

    def send(self, shard: ShardId, numbered: Iterable[Numbered]) -> None:
        self.shard = shard
        self.said.extend(numbered)
        self._due[self] = None


def _parts(said: list[Numbered]) -> Iterator[list[Numbered]]:
    """So much of it that a word is not too large, unless one command is."""
    part: list[Numbered] = []
    size = 0
    for numbered in said:
        if part and size + numbered.command.cost > WORD_SIZE_MAX:
            yield part
            part, size = [], 0
        part.append(numbered)
        size += numbered.command.cost
    if part:
        yield part


class FrontConsumer:
    """A consumer of a session here."""

    __slots__ = ("_allowed_count", "_allowed_size", "_count", "_size", "consumer", "key", "shard")

    def __init__(self, key: int, shard: ReplicatedShard, consumer: Consumer) -> None:
        self.key = key
        self.shard = shard
        self.consumer = consumer
        self._count = self._size = 0
        self._allowed_count = self._allowed_size = 0

    def spec(self) -> w.ConsumerSpec:
        """For a leader that knows nothing of it."""
        self._count = self._size = 0
        consumer = self.consumer
        self._allowed_count, self._allowed_size = self._wanted()
        return w.ConsumerSpec(
            self.key,
            consumer.queue_id,
            consumer.no_ack,
            consumer.exclusive,
            consumer.priority,
            self._allowed_count,
            self._allowed_size,
            consumer.fence,
            consumer.holds,
        )

    def _wanted(self) -> tuple[int, int]:
        consumer = self.consumer
        outlet = consumer.outlet
        if outlet.room <= 0:  # by whatever other consumers were given
            outlet.starve(consumer)
        credit = min(consumer.credit, outlet.channel_credit(consumer))
        return self._count + max(credit, 0), self._size + max(outlet.room, 0)

    def receive(self, word: w.Delivered) -> None:
        self._count += word.count
        self._size += word.size
        consumer = self.consumer
        consumer.fence = word.fence
        if not consumer.no_ack:
            consumer.credit -= word.count
        consumer.outlet.deliver(consumer, word.deliveries, list(word.sequences), word.count, word.size)

    def allowance(self) -> tuple[int, int, int] | None:
        """What the leader is to be told anew, if it is worth it."""
        count, size = self._wanted()
        less = count < self._allowed_count
        few = self._low(self._allowed_count - self._count, count - self._count)
        little = self._low(self._allowed_size - self._size, size - self._size)
        if not (less or few or little):
            return None
        self._allowed_count, self._allowed_size = count, size
        return self.key, count, size

    @staticmethod
    def _low(left: int, wanted: int) -> bool:
        return wanted > left and left < wanted - wanted // ALLOWED_AGAIN


class Asked(NamedTuple):
    """A question that is not answered."""

    session: SessionId
    user: UserName
    vhost: VhostName
    command: w.AskedCommand
    answer: Answered


def _of_nothing(asked: Asked) -> w.AskedReply:
    """The answer of a node that is gone, and what was asked about with it."""
    command = asked.command
    assert not isinstance(command, w.LookUpRetained | w.AwaitMoves), "a logged shard's leader is asked"
    if isinstance(command, c.DeleteQueue):
        return r.QueueDeleted(command.channel, 0)
    if isinstance(command, c.DeleteExchange | c.Unbind):
        return r.Done(command.channel)
    if isinstance(command, c.Bind):
        refused = not_found(exchange_resource(asked.vhost, command.spec.source))
    else:
        match command:
            case c.Get():
                name = command.queue
            case c.DeclareQueue():
                name = command.spec.name
            case _:
                name = command.name
        refused = not_found(queue_resource(asked.vhost, name))
    return r.Refuse(command.channel, refused.refusal, refused.detail)


class FrontEnd:
    """Part of the back: it finds queues' leaders for the sessions here."""

    def __init__(
        self,
        back: Back,
        send: Send,
        claims: Callable[[ReplicatedShard], list[Claim]],
        holds: Callable[[Consumer], bool],
    ) -> None:
        """``claims``: what the sessions here hold of a shard's queues; ``holds``: whether one consumer does."""
        self._back = back
        self._send = send
        self._claims = claims
        self._holds = holds
        self._leaders: dict[ShardId, tuple[int, int]] = {}
        self._attaches: dict[ShardId, int] = {}
        """The number of the last Attach to who leads: who says twice that it does answers twice, too."""
        self.relays = RelayFronts(back, send, self._leaders)
        self._due: dict[FarLeader, None] = {}
        self._numbers = itertools.count(1)
        self._consumers: dict[int, FrontConsumer] = {}
        self._by_queue: dict[int, dict[Consumer, FrontConsumer]] = {}
        self._beginning: dict[int, Consuming] = {}
        """Consumers whose leader has not answered yet, by key."""
        self._asked: dict[ShardId, dict[int, Asked]] = {}
        self._changed: dict[int, None] = {}
        """Queues some of whose consumers may have other allowances."""

    # ---- who leads

    def leader(self, shard: ReplicatedShard) -> int:
        """The peer that leads it; 0: none is known."""
        return self._leaders.get(shard.id, (0, 0))[0]

    def leader_and_term(self, shard: ReplicatedShard) -> tuple[int, int] | None:
        return self._leaders.get(shard.id)

    def is_leader(self, peer: int, shard: ReplicatedShard, term: int) -> bool:
        return self._leaders.get(shard.id) == (peer, term)

    def receive_leading(self, peer: int, shard: ReplicatedShard, word: w.Leading) -> None:
        """Of one that is known already: it didn't hear this node for a while, and ended what was here of it."""
        known = self._leaders.get(shard.id)
        if shard.leading or (known is not None and word.term < known[1]):
            return
        shard.lose_leader()
        self.relays.lose_leader(shard)
        self._leaders[shard.id] = (peer, word.term)
        self._back.forget_all_routes()
        shard.forget_give_backs()
        consumers = [each.spec() for each in self._of_shard(shard) if each.key not in self._beginning]
        number = self._attaches[shard.id] = next(self._numbers)
        self._send(peer, w.Attach(shard.id, word.term, self._claims(shard), consumers, shard.unsettled, number))

    def receive_attached(self, peer: int, shard: ReplicatedShard, word: w.Attached) -> None:
        if self._leaders.get(shard.id) != (peer, word.term) or word.number not in (0, self._attaches[shard.id]):
            return
        shard.attach(FarLeader(peer, word.term, self._due), word.through)
        for front in self._consumers.values():
            if front.shard is shard:
                self._changed[front.consumer.queue_id] = None  # what is other than it was told was not told
        for key in self._beginning:
            if self._consumers[key].shard is shard:
                self._send(peer, w.Consume(shard.id, word.term, self._consumers[key].spec()))
        for number, asked in self._asked.get(shard.id, {}).items():
            self._ask(shard, number, asked)

    def lead_here(self, shard: ReplicatedShard) -> None:
        """Its queues are new, and know nobody yet."""
        self._leaders.pop(shard.id, None)
        self._attaches.pop(shard.id, None)
        self.relays.lose_leader(shard)
        shard.forget_give_backs()
        for claim in self._claims(shard):
            shard.hold_own(*claim)
        accepted = shard.kernel.accepted_through(*shard.sender)
        for number, queue_id, first, last in shard.unsettled:
            if number > accepted:
                shard.hold_own(queue_id, first, last)
        shard.attach_here()
        for each in self._of_shard(shard):
            self._serve_here(each)
        for number, asked in list(self._asked.get(shard.id, {}).items()):
            self._ask(shard, number, asked)

    def lose_leader(self, shard: ReplicatedShard) -> None:
        self._leaders.pop(shard.id, None)
        self._attaches.pop(shard.id, None)
        shard.lose_leader()
        self.relays.lose_leader(shard)
        if not shard.logged:  # what was there is gone
            for asked in self._asked.pop(shard.id, {}).values():
                asked.answer(_of_nothing(asked), [])

    def receive_peer_down(self, peer: int, shards: Iterable[ReplicatedShard]) -> None:
        for shard in shards:
            if self.leader(shard) == peer:
                self.lose_leader(shard)

    @property
    def has_words(self) -> bool:
        return bool(self._due or self._changed or self.relays.due)

    def flush(self) -> None:
        """What was said in a round goes."""
        if self._changed:
            self._allow()
        if self.relays.due:
            self.relays.flush()
        if not self._due:
            return
        due = list(self._due)
        self._due.clear()
        for link in due:
            said, link.said = link.said, []
            if self._leaders.get(link.shard) == (link.peer, link.term):
                for part in _parts(said):
                    self._send(link.peer, w.Commands(link.shard, link.term, part))

    # ---- consumers

    def _of_shard(self, shard: ReplicatedShard) -> list[FrontConsumer]:
        """For a leader that knows nothing of them."""
        of_shard = [each for each in self._consumers.values() if each.shard is shard]
        for each in of_shard:
            if each.consumer.fence:
                each.consumer.holds = self._holds(each.consumer)
        return of_shard

    def consume(self, shard: ReplicatedShard, consumer: Consumer, answer: Consuming) -> None:
        """Answers once the queue's leader has it, or will not have it."""
        front = FrontConsumer(next(self._numbers), shard, consumer)
        self._consumers[front.key] = front
        self._by_queue.setdefault(consumer.queue_id, {})[consumer] = front
        self._beginning[front.key] = answer
        if shard.leading:
            self._serve_here(front)
        elif shard.reachable:
            peer, term = self._leaders[shard.id]
            self._send(peer, w.Consume(shard.id, term, front.spec()))

    def _serve_here(self, front: FrontConsumer) -> None:
        shard, consumer = front.shard, front.consumer

        def begin() -> None:
            queue = shard.queues.get(consumer.queue_id)
            if self._consumers.get(front.key) is not front or not isinstance(queue, Queue):
                return
            answer = self._beginning.pop(front.key, None)
            refused = None
            if queue.excludes(consumer.exclusive):
                refused = in_exclusive_use(queue.vhost, queue.name)
            if refused is None:
                queue.add_consumer(consumer)
                shard.dirty[queue.id] = None
            else:
                self._forget(consumer)
            if answer is not None:
                answer(refused)
            elif refused is not None:
                consumer.outlet.lose_consumer(consumer)

        if front.key in self._beginning:
            shard.when_claimed(begin)
        else:
            begin()

    def receive_consuming(self, shard: ReplicatedShard, word: w.Consuming) -> None:
        """Of one that has begun: it came again after another had taken its place."""
        answer = self._beginning.pop(word.key, None)
        front = self._consumers.get(word.key)
        if word.refused is not None and front is not None:
            self._forget(front.consumer)
            if answer is None:
                front.consumer.outlet.lose_consumer(front.consumer)
        if answer is not None:
            answer(word.refused)

    def receive_delivered(self, shard: ReplicatedShard, word: w.Delivered) -> None:
        front = self._consumers.get(word.key)
        if front is not None:
            front.receive(word)
            self._changed[word.queue_id] = None
        elif not word.no_ack:  # it was on its way when its consumer left
            for first, last in word.sequences:
                shard.settle(word.queue_id, first, last, Outcome.REQUEUED)

    def leave(self, consumer: Consumer) -> None:
        """The consumer is gone."""
        front = self._forget(consumer)
        if front is None:  # a client session's own queue knows its consumer without us
            self._back.leave_queue(consumer)
            return
        shard = front.shard
        if shard.leading:
            self._back.leave_queue(consumer)
        elif shard.id in self._leaders:  # who is told of it already, though it has not answered yet
            peer, term = self._leaders[shard.id]
            self._send(peer, w.Cancel(shard.id, term, front.key))

    def _forget(self, consumer: Consumer) -> FrontConsumer | None:
        of_queue = self._by_queue.get(consumer.queue_id, {})
        front = of_queue.pop(consumer, None)
        if front is None:
            return None
        if not of_queue:
            del self._by_queue[consumer.queue_id]
        del self._consumers[front.key]
        self._beginning.pop(front.key, None)
        return front

    def take_dropped(self, queue: Queue) -> list[Consumer]:
        """The queue is gone: its consumers.  Who still waits to be one is told that there is none."""
        fronts = self._by_queue.pop(queue.id, {})
        lost = []
        for front in fronts.values():
            del self._consumers[front.key]
            answer = self._beginning.pop(front.key, None)
            if answer is None:
                lost.append(front.consumer)
            else:
                answer(not_found(queue_resource(queue.vhost, queue.name)))
        return lost

    def receive_changed(self, queue_id: int) -> None:
        """Credit or room of some consumer of the queue."""
        if queue_id in self._by_queue:
            self._changed[queue_id] = None

    def _allow(self) -> None:
        changed, self._changed = self._changed, {}
        by_shard: dict[ReplicatedShard, list[tuple[int, int, int]]] = {}
        for queue_id in changed:
            for front in self._by_queue.get(queue_id, {}).values():
                if front.shard.leading or not front.shard.reachable:
                    continue
                allowance = front.allowance()
                if allowance is not None:
                    by_shard.setdefault(front.shard, []).append(allowance)
        for shard, allowances in by_shard.items():
            peer, term = self._leaders[shard.id]
            self._send(peer, w.Allow(shard.id, term, allowances))

    # ---- questions

    def ask(
        self,
        shard: ReplicatedShard,
        session: SessionId,
        user: UserName,
        vhost: VhostName,
        command: w.AskedCommand,
        answer: Answered,
    ) -> None:
        """Asks whoever leads, again after each change of leader, until there is an answer."""
        number = next(self._numbers)
        asked = Asked(session, user, vhost, command, answer)
        self._asked.setdefault(shard.id, {})[number] = asked
        if shard.reachable:
            self._ask(shard, number, asked)

    def _ask(self, shard: ReplicatedShard, number: int, asked: Asked) -> None:
        if shard.leading:
            from broker.core.agent import Agent

            def answer(reply: w.AskedReply, sequences: list[Claim]) -> None:
                self._receive_answer(shard, number, reply, sequences)

            agent = Agent(self._back, asked.session, asked.user, asked.vhost, answer)
            shard.when_claimed(lambda: agent.do(asked.command))
            return
        peer, term = self._leaders[shard.id]
        index = self._back.meta_index
        self._send(
            peer,
            w.Ask(shard.id, term, number, asked.session, asked.user, asked.vhost, index, asked.command),
        )

    def receive_answer(self, shard: ReplicatedShard, word: w.Answer) -> None:
        self._receive_answer(shard, word.number, word.reply, list(word.sequences))

    def _receive_answer(self, shard: ReplicatedShard, number: int, reply: w.AskedReply, sequences: list[Claim]) -> None:
        asked = self._asked.get(shard.id, {}).pop(number, None)
        if asked is not None:
            asked.answer(reply, sequences)
        else:
            for queue_id, first, last in sequences:
                shard.settle(queue_id, first, last, Outcome.REQUEUED)
