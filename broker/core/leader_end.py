"""What other nodes' fronts do at the shards that are led here: they say commands, consume, and ask.

A foreign consumer is a consumer of its queue like any other; its outlet sends what it is handed to its node, which
grants how much that may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from broker.core import forward_words as w
from broker.core.agent import Agent
from broker.core.consumer import UNBOUNDED, Consumer
from broker.core.declarations import in_exclusive_use
from broker.core.held_ranges import HeldRanges
from broker.core.numbered import Numbered, SenderId
from broker.core.outcomes import Refused
from broker.core.queue import Queue
from broker.core.relaying import RelayGuests
from broker.core.replicated_shard import ReplicatedShard
from broker.core.shard import Shard
from broker.core.shard_commands import MoveRun, PublishRun
from broker.model.names import ConsumerTag, ShardId
from kernel import DeliveryRun

if TYPE_CHECKING:
    from broker.core.back import Back

Send = Callable[[int, w.ForwardWord], None]
"""To a peer; dropped if it can't be reached."""
NO_TAG = ConsumerTag("")


class ForeignConsumer:
    """The outlet of a consumer on another node."""

    def __init__(self, guest: Guest, spec: w.ConsumerSpec) -> None:
        self._guest = guest
        self.key = spec.key
        self.consumer = Consumer(
            self, 0, 0, NO_TAG, spec.queue_id, spec.no_ack, spec.exclusive, None, spec.priority, spec.fence
        )
        self.consumer.holds = spec.holds
        self._count = 0
        self._size = 0
        self._allowed_count = spec.count
        self._allowed_size = spec.size

    def allow(self, count: int, size: int) -> None:
        self._allowed_count, self._allowed_size = count, size

    @property
    def room(self) -> int:
        return self._allowed_size - self._size

    def channel_credit(self, consumer: Consumer) -> int:
        return UNBOUNDED if consumer.no_ack else max(self._allowed_count - self._count, 0)

    def deliver(
        self, consumer: Consumer, deliveries: DeliveryRun, sequences: list[tuple[int, int]], count: int, size: int
    ) -> None:
        self._count += count
        self._size += size
        self._guest.deliver(self, deliveries, sequences, count, size)

    def starve(self, consumer: Consumer) -> None:
        """Its node says so when there is room."""

    def lose_consumer(self, consumer: Consumer) -> None:
        """Its node sees by itself that the queue is gone."""


class Guest:
    """One node's fronts at one shard that is led here."""

    def __init__(self, shard: ReplicatedShard, sender: SenderId, send: Send) -> None:
        self.shard = shard
        self.sender = sender
        self.consumers: dict[int, ForeignConsumer] = {}
        self.held = HeldRanges()
        self.told_through = 0
        self.early = False
        """Something was said whose publisher is to be told when it is on the disk here."""
        self.send = send

    @property
    def peer(self) -> int:
        return self.sender[0]

    def release(self, queue_id: int, first: int, last: int) -> list[tuple[int, int]]:
        """What of it these fronts hold, and hold no more."""
        return self.held.remove(queue_id, first, last)

    def deliver(
        self,
        foreign: ForeignConsumer,
        deliveries: DeliveryRun,
        sequences: list[tuple[int, int]],
        count: int,
        size: int,
    ) -> None:
        shard = self.shard
        queue_id, no_ack, fence = foreign.consumer.queue_id, foreign.consumer.no_ack, foreign.consumer.fence
        if not no_ack:
            for first, last in sequences:
                self.held.add(queue_id, first, last)
        word = w.Delivered(
            shard.id, shard.term, foreign.key, queue_id, no_ack, sequences, count, size, deliveries, fence
        )
        self.send(self.peer, word)


class LeaderEnd:
    """All guests at the shards that are led here."""

    def __init__(self, back: Back, send: Send, when_topology: Callable[[int, Callable[[], None]], None]) -> None:
        """``when_topology``: once the topology here is that of this index of the meta shard."""
        self._back = back
        self._send = send
        self._when_topology = when_topology
        self._guests: dict[ShardId, dict[int, Guest]] = {}
        self.relays = RelayGuests(back, send)

    # ---- who comes and goes

    def begin(self, shard: ReplicatedShard) -> None:
        self._guests[shard.id] = {}

    def end(self, shard: ReplicatedShard) -> None:
        """It is led here no more: who was here attaches elsewhere."""
        self._guests.pop(shard.id, None)
        self.relays.end(shard)

    def receive_attach(self, sender: SenderId, shard: ReplicatedShard, word: w.Attach) -> None:
        self._lose(shard, sender[0])
        self._forget_senders(shard, sender)
        guest = self._guests[shard.id][sender[0]] = Guest(shard, sender, self._send)
        kernel = shard.kernel
        guest.told_through = kernel.applied_through(*sender) if shard.logged else kernel.accepted_through(*sender)
        # What is applied already is not settled again, so it must not be held for that.
        accepted = kernel.accepted_through(*sender)
        unsettled = [(queue, first, last) for number, queue, first, last in word.unsettled if number > accepted]
        claimed = {id for id in {claim[0] for claim in word.claims} if self._may_claim(shard, id)}
        held = [claim for claim in word.claims if claim[0] in claimed]
        held += [each for each in unsettled if each[0] in shard.queues]
        for queue_id, first, last in shard.receive_claims(sender[0], held):
            guest.held.add(queue_id, first, last)
        refusals = [(spec.key, self._add(guest, spec)) for spec in word.consumers]
        self._send(sender[0], w.Attached(shard.id, shard.term, guest.told_through, word.number))
        for key, refused in refusals:  # its queue is another's alone by now
            if refused is not None:
                self._send(sender[0], w.Consuming(shard.id, shard.term, key, refused))

    def _forget_senders(self, shard: ReplicatedShard, sender: SenderId) -> None:
        """Of earlier starts of the node, which say nothing any more."""
        if shard.logged:
            for peer, incarnation in shard.kernel.senders():
                if peer == sender[0] and incarnation < sender[1]:
                    shard.forget_sender((peer, incarnation))

    def receive_peer_down(self, peer: int) -> None:
        self.relays.receive_peer_down(peer)
        for guests in self._guests.values():
            guest = guests.get(peer)
            if guest is not None:
                self._lose(guest.shard, peer)

    def _lose(self, shard: ReplicatedShard, peer: int) -> None:
        """Its consumers leave, and what its clients held comes back."""
        guest = self._guests[shard.id].pop(peer, None)
        if guest is None:
            return
        shard.lose_sender(guest.sender)
        for foreign in guest.consumers.values():
            self._back.leave_queue(foreign.consumer)
        self._give_back(shard, guest.held)

    @staticmethod
    def _give_back(shard: ReplicatedShard, held: Iterable[tuple[int, int, int]]) -> None:
        for queue_id, first, last in held:
            if queue_id in shard.queues:
                shard.kernel.give_back(queue_id, first, last)
                shard.dirty[queue_id] = None

    def receive_dropped(self, shard: ReplicatedShard, queue_id: int) -> None:
        """The queue is gone."""
        for guest in self._guests.get(shard.id, {}).values():
            guest.held.drop(queue_id)
            gone = [key for key, each in guest.consumers.items() if each.consumer.queue_id == queue_id]
            for key in gone:
                del guest.consumers[key]

    def _guest(self, shard: ReplicatedShard, peer: int) -> Guest | None:
        return self._guests.get(shard.id, {}).get(peer)

    # ---- what they say

    def receive_commands(self, sender: SenderId, shard: ReplicatedShard, numbered: Iterable[Numbered]) -> None:
        guest = self._guest(shard, sender[0])
        if guest is None:
            return
        numbered = tuple(numbered)
        for _, command in numbered:
            if type(command) is PublishRun and command.early:
                guest.early = True
                shard.kernel.tell_synced()
        if not shard.logged:
            self._open_queues(shard, numbered)
        if not shard.take_in(sender, numbered, guest.release):
            # Something on the way was lost, so it must attach anew.
            self._send(sender[0], w.Leading(shard.id, shard.term))

    def _open_queues(self, shard: ReplicatedShard, numbered: Iterable[Numbered]) -> None:
        """Clients' volatile queues are made when something is first routed to them, wherever that came from."""
        for _, command in numbered:
            if isinstance(command, PublishRun | MoveRun):
                for queue_id in {target[0] for route in command.routes for target in route.targets}:
                    if queue_id not in shard.queues:
                        self._back.clients.open_queue(queue_id)

    def receive_applied(self, shard: ReplicatedShard, applied: Iterable[tuple[int, int, int]]) -> None:
        """Tells whoever said it: (peer, incarnation, through)."""
        for peer, incarnation, through in applied:
            guest = self._guest(shard, peer)
            if guest is not None and guest.sender == (peer, incarnation):
                guest.told_through = through
                rejected = shard.take_rejected(guest.sender, through)
                self._send(peer, w.Applied(shard.id, shard.term, through, rejected))

    def receive_synced(self, shard: ReplicatedShard, synced: Iterable[tuple[int, int, int]]) -> None:
        """The same of what is on the disk here, to whoever asked for it."""
        for peer, incarnation, through in synced:
            guest = self._guest(shard, peer)
            if guest is not None and guest.early and guest.sender == (peer, incarnation):
                guest.early = False
                rejected = shard.take_rejected(guest.sender, through)
                self._send(peer, w.Synced(shard.id, shard.term, through, rejected))

    def tell_volatile(self, shard: Shard) -> None:
        """A volatile shard applies as it proposes, and tells nobody by itself."""
        guests = self._guests.get(shard.id)
        if not guests:
            return
        kernel = shard.kernel
        for guest in guests.values():
            through = kernel.applied_through(*guest.sender)
            if through > guest.told_through:
                guest.told_through = through
                rejected = guest.shard.take_rejected(guest.sender, through)
                self._send(guest.peer, w.Applied(shard.id, guest.shard.term, through, rejected))

    def receive_consume(self, peer: int, shard: ReplicatedShard, spec: w.ConsumerSpec) -> None:
        guest = self._guest(shard, peer)
        if guest is None:
            return

        def begin() -> None:
            if self._guest(shard, peer) is not guest:
                return
            refused = self._add(guest, spec)
            self._send(peer, w.Consuming(shard.id, shard.term, spec.key, refused))

        shard.when_claimed(begin)

    @staticmethod
    def _may_claim(shard: ReplicatedShard, queue_id: int) -> bool:
        """What was held of a queue is held again, unless it is another's alone by now."""
        queue = shard.queues.get(queue_id)
        if not isinstance(queue, Queue):
            return queue is not None
        return queue.active is None and not queue.in_exclusive_use

    def _add(self, guest: Guest, spec: w.ConsumerSpec) -> Refused | None:
        queue = guest.shard.queues.get(spec.queue_id)
        if not isinstance(queue, Queue):
            return None  # it is gone, and its node sees that by itself
        if spec.key in guest.consumers:
            return None  # said again; a second one of the key would stay when the first is cancelled
        if queue.excludes(spec.exclusive):
            return in_exclusive_use(queue.vhost, queue.name)
        foreign = guest.consumers[spec.key] = ForeignConsumer(guest, spec)
        queue.add_consumer(foreign.consumer)
        guest.shard.dirty[queue.id] = None
        return None

    def receive_allow(self, peer: int, shard: ReplicatedShard, allowances: Iterable[tuple[int, int, int]]) -> None:
        guest = self._guest(shard, peer)
        if guest is None:
            return
        for key, count, size in allowances:
            foreign = guest.consumers.get(key)
            if foreign is not None:
                foreign.allow(count, size)
                shard.dirty[foreign.consumer.queue_id] = None

    def receive_cancel(self, peer: int, shard: ReplicatedShard, key: int) -> None:
        guest = self._guest(shard, peer)
        foreign = None if guest is None else guest.consumers.pop(key, None)
        if foreign is not None:
            self._back.leave_queue(foreign.consumer)

    def receive_ask(self, peer: int, shard: ReplicatedShard, word: w.Ask) -> None:
        """Answered once this node knows the topology that it was asked by, and claims are in."""
        guest = self._guest(shard, peer)
        if guest is None:
            return

        def answer(reply: w.AskedReply, sequences: list[tuple[int, int, int]]) -> None:
            if self._guest(shard, peer) is guest:
                for each in sequences:
                    guest.held.add(*each)
                self._send(peer, w.Answer(shard.id, shard.term, word.number, reply, sequences))
            elif shard.leading and shard.term == word.term:
                self._give_back(shard, sequences)  # it was read from the disk meanwhile, and the node was lost

        def begin() -> None:
            if self._guest(shard, peer) is guest:
                Agent(self._back, word.session, word.user, word.vhost, answer).do(word.command)

        self._when_topology(word.meta_index, lambda: shard.when_claimed(begin))
