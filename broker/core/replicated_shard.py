"""A shard with replicas on several nodes: this node's fronts number what they say and keep it until it is applied.

Whoever leads, here or elsewhere, takes each number in once; after a change of leader what is not applied is said
again from there, and no client sees it (log-and-shards.md section 4).  A leader that begins hands nothing out before
the fronts of every live node have said what their clients still hold, or ``CLAIM_S`` has passed (section 8).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from broker.core.channel import Publication
from broker.core.held_ranges import HeldRanges
from broker.core.numbered import HeldUp, Numbered, Release, SenderId
from broker.core.queue import Queue
from broker.core.shard import Completion, Shard
from broker.core.shard_commands import (
    AcceptRun,
    Barrier,
    CommitRun,
    MoveRun,
    Propose,
    PublishRun,
    SettleRange,
    ShardCommand,
)
from broker.model.commands import Outcome
from broker.model.names import ShardId
from kernel import MessageRun, Route
from kernel import Shard as KernelShard

CLAIM_S = 2.0
"""What no front claims within it comes back (log-and-shards.md section 8)."""

FENCE_BITS = 32
"""Room for changes of a queue's single active consumer within a term."""

Target: TypeAlias = tuple[int, int | None, int | None, int, tuple[int, int] | None]


class LeaderLink(Protocol):
    """The way to a leader on another node."""

    def send(self, shard: ShardId, numbered: Sequence[Numbered]) -> None:
        """In order; what it can't bring will be said again to the next leader."""


class ReplicatedShard(Shard):
    """One shard of a cluster.  Where this node has no replica, ``kernel`` is a stand-in that leads nothing."""

    def __init__(self, kernel: KernelShard, sender: SenderId, id: ShardId | None = None) -> None:
        super().__init__(kernel, id)
        self.sender = sender
        self.leading = self.hands_out = False
        self.term = 0
        """That it is led in here."""
        self.window_size = 0
        """Bytes said and not applied."""
        self._number = 0
        self._window: deque[Numbered] = deque()
        self._link: LeaderLink | None = None
        self._here = False
        """Its leader is here and has heard all that was said."""
        self._early: deque[tuple[int, Completion]] = deque()
        """Who waits for the leader's disk alone."""
        self._rejecting: dict[int, Publication] = {}
        self._places: dict[int, list[int]] = {}
        """Of a run of which only a part was said, where that stands in it."""
        self._rejected: dict[SenderId, dict[int, list[int]]] = {}
        """At the leader: what queues rejected, until it is answered."""
        self.open_wanted: Callable[[int], None] = lambda queue_id: None
        """Something comes for a queue that is not here, where it is led: it may be one to be made."""
        self._held_up: dict[SenderId, HeldUp] = {}
        """At the leader: whose rejection waits for the disk, and all that he said after it with it."""
        self._held_twice = HeldRanges()
        """What two sessions here hold, at the leader: it comes back when the second gives it back."""
        self._claiming: set[int] = set()
        self._claim_until = -math.inf
        self._when_claimed: list[Callable[[], None]] = []

    @property
    def fence(self) -> int:
        return self.term << FENCE_BITS  # the term is given by an entry, and higher than any before

    @property
    def rejects_later(self) -> bool:
        return not self._here or self.sender in self._held_up

    # ---- what fronts say

    def _say(self, command: ShardCommand) -> tuple[int, list[int] | None]:
        self._number += 1
        numbered = Numbered(self._number, command)
        self._window.append(numbered)
        self.window_size += command.cost
        rejected = None
        if self._here:
            if self.sender not in self._held_up:
                rejected = self._take_in_said(numbered)
        elif self._link is not None:
            self._link.send(self.id, (numbered,))
        return self._number, rejected

    def publish(
        self, messages: MessageRun, routes: Sequence[Route], turns: Sequence[int] = (), early: bool = False
    ) -> tuple[int, list[int] | None]:
        reaching = [] if self._here else [key for key, route in enumerate(routes) if not route.empty]
        if not reaching or len(reaching) == len(routes):
            return self._say(PublishRun(messages, routes, turns, early))
        # Of a run for several shards each leader is sent its own part only, as the kernel here keeps its own.
        part = messages.select(reaching)
        said = self._say(
            PublishRun(
                part, [routes[key] for key in reaching], [turns[key] for key in reaching] if turns else (), early
            )
        )
        if any(routes[key].bounded for key in reaching):
            self._places[said[0]] = messages.places(reaching)
        return said

    def barrier(self, urgent: bool = True) -> int:
        return self._say(Barrier(urgent))[0]

    def propose_command(self, data: bytes) -> int:
        return self._say(Propose(data))[0]

    def note_command(self, data: bytes) -> None:
        self._say(Propose(data, urgent=False))

    def accept(self, messages: MessageRun, outbox: int, command: bytes) -> int:
        return self._say(AcceptRun(messages, outbox, command))[0]

    def decide(self, command: bytes) -> int:
        if self.leading:
            self.kernel.note_command(command)
        return self.barrier()

    def decide_with(self, messages: MessageRun, outbox: int, command: bytes) -> int:
        if self.leading:
            self.kernel.append_with_command(messages, outbox, command)
        return self.barrier()

    def commit(
        self,
        messages: MessageRun | None,
        routes: Sequence[Route],
        turns: Sequence[int],
        settled: Sequence[tuple[int, int, int, int]],
        command: bytes | None,
    ) -> int:
        return self._say(CommitRun(messages, routes, turns, settled, command))[0]

    def move(
        self,
        messages: MessageRun,
        routes: Sequence[Route],
        turns: Sequence[int],
        sender: tuple[int, int],
        first: int,
        last: int,
    ) -> int | None:
        return self._say(MoveRun(messages, routes, turns, sender, first, last))[0]

    def settle(self, queue_id: int, first: int, last: int, outcome: Outcome) -> None:
        self._say(SettleRange(queue_id, first, last, outcome))

    def when_applied(self, number: int, completion: Completion) -> None:
        super().when_applied(number, completion)
        if type(completion) is Publication:
            self._rejecting[number] = completion

    def when_synced(self, number: int, completion: Completion) -> None:
        self._early.append((number, completion))
        self.kernel.tell_synced()
        if type(completion) is Publication:
            self._rejecting[number] = completion

    def receive_synced_through(self, through: int) -> None:
        """All that this node said through this number is on the leader's disk."""
        early = self._early
        while early and early[0][0] <= through:
            early.popleft()[1].applied()

    def complete(self, through: int) -> None:
        self.receive_synced_through(through)
        window = self._window
        while window and window[0].number <= through:
            number, command = window.popleft()
            self.window_size -= command.cost
            self._rejecting.pop(number, None)
            self._places.pop(number, None)
        super().complete(through)

    def receive_rejected(self, rejected: Iterable[tuple[int, Sequence[int]]]) -> None:
        """Of these publishes queues rejected these records."""
        for number, records in rejected:
            completion = self._rejecting.pop(number, None)
            if completion is not None:
                self._reject(number, completion, records)

    def _reject(self, number: int, completion: Publication, records: Sequence[int]) -> None:
        """``records``: of what was said; its publisher said perhaps more."""
        places = self._places.get(number)
        completion.reject(records if places is None else [places[each] for each in records if each < len(places)])

    def receive_applied(self, through: int, rejected: Iterable[tuple[int, Sequence[int]]]) -> None:
        """A leader elsewhere has applied all through this number, less these records."""
        self.receive_rejected(rejected)
        self.complete(through)

    def _receive_through(self, through: int) -> None:
        if self._here:
            self.complete(through)  # a leader elsewhere tells by itself, along with what it rejected

    def propose(self, now: float, now_ms: int) -> None:
        if not self.leading:
            return
        if not self.hands_out:
            self._bury(now_ms)
        super().propose(now, now_ms)

    def _bury(self, now_ms: int) -> None:
        """What was rejected goes as soon as it is read, though nothing is handed out yet."""
        for queue_id in tuple(self.dirty):
            queue = self.queues.get(queue_id)
            if isinstance(queue, Queue):
                queue.bury(now_ms)

    def leave(self, why: str) -> None:
        """Its replica here takes part in nothing any more."""
        self.kernel.leave(why)

    def forget_give_backs(self) -> None:
        """A give-back is not logged: who leads next hands out whatever nobody claims, so it needn't be said again; and
        must not be, as it may have been handed out here anew since."""
        nothing = Barrier(urgent=False)
        self._window = deque(
            each._replace(command=nothing)
            if type(each.command) is SettleRange and each.command.outcome is Outcome.REQUEUED
            else each
            for each in self._window
        )

    @property
    def unsettled(self) -> list[tuple[int, int, int, int]]:
        """Settles that are said and not applied, (number, queue, first, last): to be claimed from who leads next."""
        return [
            (number, command.queue_id, command.first, command.last)
            for number, command in self._window
            if type(command) is SettleRange
        ]

    # ---- who leads

    def attach(self, link: LeaderLink, through: int) -> None:
        """A leader elsewhere takes what this node says; it has applied all through this number."""
        self._reject_unknown(through)
        self.complete(through)
        self._give_up()
        self._link, self._here = link, False
        if self._window:
            link.send(self.id, tuple(self._window))

    def attach_here(self) -> None:
        """The same, here.  Whoever is told may say more, which comes after all that was said before."""
        self._link, self._here = None, False
        through = self.kernel.accepted_through(*self.sender)
        self._reject_unknown(through)
        self.complete(through)
        self._give_up()
        self._take_in_window(through)

    def _take_in_window(self, through: int) -> None:
        """All of it after this number.  Whoever is told may say more, which comes after all that was said before."""
        self._here = False
        while due := [each for each in self._window if each.number > through]:
            for numbered in due:
                rejected = self._take_in_said(numbered)
                through = numbered.number
                if rejected:
                    self.receive_rejected(((through, rejected),))
                if self.sender in self._held_up:
                    self._here = True
                    return
        self._here = True

    def _reject_unknown(self, through: int) -> None:
        """What queues rejected of what is applied only that leader knew whom nobody hears any more; a publisher who
        is told no, though a message is in, may send it twice, but who is told yes loses one that is not."""
        for number, command in self._window:
            if number > through:
                return
            publication = self._rejecting.get(number)
            if publication is None or type(command) is not PublishRun:
                continue
            bounded = {key for key, route in enumerate(command.routes) if route.bounded}
            if bounded:
                messages = command.messages
                full = [index for index in range(messages.count) if messages.key(index) in bounded]
                self._reject(number, publication, full)

    def _give_up(self) -> None:
        """What a client left here that publishes it again itself is not said to another leader: it may have done so
        elsewhere, and gone on, and what it published then must not be followed by this."""
        nothing = Barrier()
        for place, (number, command) in enumerate(self._window):
            publication = self._rejecting.get(number)
            if type(command) is PublishRun and publication is not None and publication.session.given_up:
                self._window[place] = Numbered(number, nothing)
                self.window_size -= command.cost - nothing.cost

    def lose_leader(self) -> None:
        """What is said is kept until there is one again."""
        self._link, self._here = None, False

    @property
    def reachable(self) -> bool:
        """There is a leader that hears what this node says."""
        return self._here or self._link is not None

    # ---- the leader's end

    def create_queue(self, queue_id: int) -> None:
        self.kernel.begin_queue(queue_id)

    def drop_queue(self, queue_id: int) -> None:
        self.kernel.end_queue(queue_id)

    def begin_leading(self, term: int, awaited: Iterable[int], now: float) -> None:
        """``awaited``: peers whose fronts may hold something."""
        self.leading, self.term = True, term
        self.dirty = dict.fromkeys(self.queues)
        self._claiming = set(awaited)
        self._claim_until = now + CLAIM_S
        self.hands_out = not self._claiming

    def end_leading(self) -> None:
        self.leading = self.hands_out = False
        self._held_twice = HeldRanges()
        self.dirty = {}
        self.flush_at = None
        self._rejected.clear()
        self._held_up.clear()
        self._when_claimed.clear()

    def receive_claims(self, peer: int, ranges: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """What clients of that node hold: (queue, first, last); what of it nobody else holds.  It says no more."""
        self._claiming.discard(peer)
        return [(queue, *held) for queue, first, last in ranges for held in self.kernel.hold(queue, first, last)]

    def end_claims(self, now: float, live: Container[int]) -> None:
        """Begins to hand out, if all have claimed who live, or their time is over."""
        if self.hands_out or not self.leading:
            return
        self._claiming = {peer for peer in self._claiming if peer in live}
        if self._claiming and now < self._claim_until:
            return
        self._claiming.clear()
        self.hands_out = True
        waiting, self._when_claimed = self._when_claimed, []
        for go_on in waiting:
            go_on()

    @property
    def claim_deadline(self) -> float | None:
        return self._claim_until if self.leading and not self.hands_out else None

    def when_claimed(self, go_on: Callable[[], None]) -> None:
        """Once it hands out; dropped if it ceases to lead before."""
        if self.hands_out:
            go_on()
        else:
            self._when_claimed.append(go_on)

    def take_in(self, sender: SenderId, numbered: Iterable[Numbered], release: Release) -> bool:
        """What another node says.  What came before is not taken again; False: something before it is missing.

        ``release``: of what is settled, the ranges that the node holds, which it holds no more.
        """
        held_up = self._held_up.get(sender)
        if held_up is not None:
            return held_up.add(numbered, release)
        kernel = self.kernel
        through = kernel.accepted_through(*sender)
        numbered = iter(numbered)
        for number, command in numbered:
            if number <= through:
                continue
            if number != through + 1:
                return False
            through = number
            rejected = self._take_in_of(command, release)
            if self._is_burying(command):
                return self._hold_up(sender, Numbered(number, command)).add(numbered, release)
            kernel.take_in(*sender, number, command.urgent)
            if rejected:
                self._rejected.setdefault(sender, {})[number] = rejected
        self.look_again()
        return True

    def _is_burying(self, command: ShardCommand) -> bool:
        """It rejected what has to be read first.  Were its number in the log before what is done of it, and this leader
        lost, nobody would do it."""
        if type(command) is not SettleRange or command.outcome is not Outcome.REJECTED:
            return False
        queue = self.queues.get(command.queue_id)
        return isinstance(queue, Queue) and queue.is_burying

    def _hold_up(self, sender: SenderId, numbered: Numbered) -> HeldUp:
        number, command = numbered
        assert type(command) is SettleRange
        queue = self.queues[command.queue_id]
        assert isinstance(queue, Queue)
        held_up = self._held_up[sender] = HeldUp(number)

        def go_on() -> None:
            if self._held_up.get(sender) is not held_up:
                return  # it is led by others since, or the sender is forgotten
            del self._held_up[sender]
            self.kernel.take_in(*sender, number, command.urgent)
            if sender == self.sender:
                self._take_in_window(number)
            else:
                self.take_in(sender, held_up.waiting, held_up.release)
            self.look_again()

        queue.when_buried(go_on)
        return held_up

    def lose_sender(self, sender: SenderId) -> None:
        """Its node is not heard any more: what it said and was not taken in is said again, or by nobody."""
        if sender in self._held_up:
            self._held_up[sender].forget()

    def forget_sender(self, sender: SenderId) -> None:
        """It says nothing any more."""
        self._held_up.pop(sender, None)
        self.kernel.forget_sender(*sender)

    def _take_in_of(self, command: ShardCommand, release: Release) -> list[int] | None:
        """Of another node's front."""
        if type(command) is SettleRange:
            held = release(command.queue_id, command.first, command.last)
            if command.outcome is Outcome.REQUEUED:
                for first, last in held:  # what somebody else holds by now doesn't come back
                    self.settle_here(command.queue_id, first, last, command.outcome)
                return None
        elif type(command) is CommitRun:
            for queue_id, first, last, _ in command.settled:
                release(queue_id, first, last)
        return self._take_in(command)

    def take_rejected(self, sender: SenderId, through: int) -> list[tuple[int, list[int]]]:
        """What is to be told along with "applied through"."""
        of_sender = self._rejected.get(sender)
        if not of_sender:
            return []
        told = [(number, records) for number, records in of_sender.items() if number <= through]
        for number, _ in told:
            del of_sender[number]
        return told

    def hold_own(self, queue_id: int, first: int, last: int) -> None:
        """A session here holds these: whoever had them before, and was out of reach, may be another one here."""
        twice = HeldRanges()
        twice.add(queue_id, first, last)
        for held in self.kernel.hold(queue_id, first, last):
            twice.remove(queue_id, *held)
        for each in twice:
            self._held_twice.remove(*each)
            self._held_twice.add(*each)

    def _take_in_said(self, numbered: Numbered) -> list[int] | None:
        """Of this node's front, unless it is held up."""
        rejected = self._take_in_own(numbered.command)
        if self._is_burying(numbered.command):
            self._hold_up(self.sender, numbered)
        else:
            self.kernel.take_in(*self.sender, numbered.number, numbered.command.urgent)
        return rejected

    def _take_in_own(self, command: ShardCommand) -> list[int] | None:
        if type(command) is not SettleRange or command.outcome is not Outcome.REQUEUED or not self._held_twice:
            return self._take_in(command)
        alone = HeldRanges()
        alone.add(command.queue_id, command.first, command.last)
        for twice in self._held_twice.remove(command.queue_id, command.first, command.last):
            alone.remove(command.queue_id, *twice)
        for queue_id, first, last in alone:
            self.settle_here(queue_id, first, last, command.outcome)
        return None

    def _take_in(self, command: ShardCommand) -> list[int] | None:
        return TAKEN_IN[type(command)](self, command)

    def _take_publish(self, command: PublishRun) -> list[int] | None:
        return self.kernel.append(command.messages, self._with_room(command.routes), command.turns)

    def _with_room(self, routes: Sequence[Route]) -> Sequence[Route]:
        """With the room that there is now in queues that reject: the front that found the routes may not know it."""
        if not any(route.bounded for route in routes):
            return routes
        return [Route([self._room_of(target) for target in route.targets]) for route in routes]

    def _room_of(self, target: Target) -> Target:
        queue = self.queues.get(target[0])
        if target[2] is None or not isinstance(queue, Queue):
            return target
        return (target[0], target[1], queue.room(), target[3], target[4])

    def _take_move(self, command: MoveRun) -> None:
        through = self.kernel.accepted_through(*command.sender)
        if through > command.last:
            return
        part = command.messages if through <= command.first else command.messages.after(through - command.first)
        routes = self._with_room(command.routes)
        self.kernel.receive_move(part, routes, command.sender, command.last + 1, command.turns)

    def _take_settle(self, command: SettleRange) -> None:
        self.settle_here(command.queue_id, command.first, command.last, command.outcome)

    def _take_proposal(self, command: Propose) -> None:
        self.kernel.note_command(command.data)

    def _take_barrier(self, command: Barrier) -> None:
        """It is applied, no more."""

    def _take_commit(self, command: CommitRun) -> None:
        for queue_id in {target[0] for route in command.routes for target in route.targets}:
            if queue_id not in self.queues:
                self.open_wanted(queue_id)
        self.kernel.append_part(command.messages, command.routes, command.turns, command.settled, command.command)

    def _take_accept(self, command: AcceptRun) -> None:
        self.kernel.append_with_command(command.messages, command.outbox, command.command)


TAKEN_IN: dict[type[ShardCommand], Callable[[ReplicatedShard, Any], list[int] | None]] = {
    PublishRun: ReplicatedShard._take_publish,
    MoveRun: ReplicatedShard._take_move,
    SettleRange: ReplicatedShard._take_settle,
    Propose: ReplicatedShard._take_proposal,
    Barrier: ReplicatedShard._take_barrier,
    CommitRun: ReplicatedShard._take_commit,
    AcceptRun: ReplicatedShard._take_accept,
}


ReplicaChanged = Callable[[ReplicatedShard, Sequence[tuple[int, int, int]], tuple[bool, int, int] | None, float], None]


def unchanged(
    shard: ReplicatedShard,
    applied: Sequence[tuple[int, int, int]],
    standing: tuple[bool, int, int] | None,
    now: float,
) -> None:
    """A node alone has nobody to tell.

    ``applied``: (peer, incarnation, through).  ``standing``: (serving, leader, term), if that changed.
    """
