"""What must hold of the nodes themselves (I1, I2, I3, I18 and the like), whatever clients see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Kind
from broker.core.numbered import SenderId
from broker.core.replicated_shard import ReplicatedShard
from tests.simulation.ledger import Broken

if TYPE_CHECKING:
    from broker.core.back import Back
    from tests.simulation.cluster.process import Process

VOTE_GIVEN = b"\x08\x06"
"""How a Raft message begins that answers a request for a vote (eraftpb's msg_type 6)."""
HASHED = 8
"""States are compared at entries whose index is a multiple of this."""
TERM, REJECT, TO, FROM = 4, 10, 2, 3
"""Fields of eraftpb's Message."""


class Invariants:
    """Of all groups of a cluster."""

    def __init__(self, leader_of: Callable[[int], Process | None]) -> None:
        """``leader_of`` a shard, as far as there is one."""
        self._leader_of = leader_of
        self._leaders: dict[tuple[int, int], int] = {}
        """By (shard, term)."""
        self._votes: dict[tuple[int, int, int], int] = {}
        """By (shard, term, who gave it)."""
        self._hashes: dict[tuple[int, int], tuple[int, str]] = {}
        """By (shard, index): the state's, and of whom."""
        self._terms: dict[tuple[int, int], int] = {}
        """By (peer, shard): the last one in which it answered a candidate."""
        self._holders: dict[tuple[int, int], tuple[SenderId, int]] = {}
        """By (queue, fence): its node's start, and the consumer's number there."""
        self.leader_count = 0
        self.compared_count = 0

    def check(self, process: Process) -> list[str]:
        """After each round; what is to be told."""
        told = []
        applied_before, led = process.applied, process.led
        for shard, kernel in enumerate(process.kernels):
            if kernel.leading and (term := kernel.term) != led.get(shard):
                led[shard] = term
                if self._take_leader(process, shard, term):
                    told.append(f"{process.name} leads shard {shard} in term {term}")
            applied = kernel.applied_index
            before = applied_before.get(shard, 0)
            if applied == before:
                continue
            if applied < before:
                if not self._was_let_go(process, shard):
                    raise Broken("I3", f"{process.name} went back from entry {before} of shard {shard} to {applied}")
                told.append(f"{process.name} forgets its replica of shard {shard}")
            applied_before[shard] = applied
            if applied % HASHED == 0:
                self.compare(process, shard)
        if process.broker is not None:
            self._check_fences(process.broker.back)
        return told

    def _was_let_go(self, process: Process, shard: int) -> bool:
        """It began anew as one that its group does not count on."""
        leader, departures = self._leader_of(shard), process.cluster.departures
        assert departures is not None
        if leader is not None and leader.kernels[shard].term < process.kernels[shard].term:
            leader = None  # it has not heard yet that it leads no more
        counted = () if leader is None else leader.kernels[shard].conf()[:2]
        process.departed += 1
        return process.departed == departures.count and not any(process.machine.peer in voters for voters in counted)

    def _check_fences(self, back: Back) -> None:
        """I18: no two consumers are made single active ones by the same number, by whichever leaders."""
        forwarding, shard = back.forwarding, back.meta_shard
        assert forwarding is not None
        assert isinstance(shard, ReplicatedShard)
        for queue, consumers in forwarding.front._by_queue.items():
            for consumer, front in consumers.items():
                if consumer.fence:
                    self._take_holder(queue, consumer.fence, (shard.sender, front.key))
        for guests in forwarding.leader._guests.values():
            for guest in guests.values():
                if not guest.consumers:
                    continue
                for key, foreign in guest.consumers.items():
                    if foreign.consumer.fence:
                        self._take_holder(foreign.consumer.queue_id, foreign.consumer.fence, (guest.sender, key))

    def _take_holder(self, queue: int, fence: int, holder: tuple[SenderId, int]) -> None:
        known = self._holders.setdefault((queue, fence), holder)
        if known != holder:
            raise Broken("I18", f"fence {fence} of queue {queue} is held by {known} and by {holder}")

    def _take_leader(self, process: Process, shard: int, term: int) -> bool:
        """Whether the term had none so far."""
        peer = process.machine.peer
        leader = self._leaders.get((shard, term))
        if leader is None:
            self._leaders[shard, term] = peer
            self.leader_count += 1
            return True
        if leader != peer:
            raise Broken("I1", f"shard {shard} has two leaders in term {term}: {leader} and {peer}")
        return False

    def compare(self, process: Process, shard: int) -> None:
        """I2: who has applied the same has the same state."""
        kernel = process.kernels[shard]
        key = (shard, kernel.applied_index)
        found = (kernel.state_hash(), process.name)
        known = self._hashes.setdefault(key, found)
        self.compared_count += 1
        if known[0] != found[0]:
            raise Broken("I2", f"shard {shard} is another at entry {key[1]} on {process.name} than on {known[1]}")

    def receive_terms(self, process: Process) -> None:
        """At a start: what was said in a term is not said in an earlier one."""
        for shard, kernel in enumerate(process.kernels):
            before = self._terms.get((process.machine.peer, shard), 0)
            if kernel.term < before:
                raise Broken("I1", f"{process.name} came back to term {kernel.term} of shard {shard} after {before}")

    def receive_sent(self, process: Process, frames: Sequence[Frame]) -> None:
        """What a node says to another of its groups."""
        for frame in frames:
            if frame.kind == Kind.RAFT and frame.body.startswith(VOTE_GIVEN):
                self._receive_vote(process, frame)

    def _receive_vote(self, process: Process, frame: Frame) -> None:
        shard = frame.head[0]
        fields = _numbers(frame.body)
        term, candidate = fields.get(TERM, 0), fields.get(TO, 0)
        peer = process.machine.peer
        self._terms[peer, shard] = max(self._terms.get((peer, shard), 0), term)
        if fields.get(REJECT):
            return
        voted = self._votes.setdefault((shard, term, fields.get(FROM, 0)), candidate)
        if voted != candidate:
            raise Broken("I1", f"{process.name} voted for {voted} and {candidate} in term {term} of shard {shard}")


def _numbers(message: bytes) -> dict[int, int]:
    """A protobuf message's fields that are numbers; those of other types are passed over."""
    fields: dict[int, int] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            fields[key >> 3], at = _varint(message, at)
        elif key & 7 == 2:
            size, at = _varint(message, at)
            at += size
        else:
            break
    return fields


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
