"""What is in flight between an MQTT client and us, both ways, against models that keep plain lists."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kernel import Inflight, PacketIds, Receipts

PUBACK, PUBREC, PUBCOMP = 4, 5, 7
ID_COUNT = 65535


def id_of(sequence: int) -> int:
    return 1 + sequence % ID_COUNT


def messages_of(ranges: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Queue and sequence of each; they are merged."""
    assert all(before[0] != after[0] or before[2] + 1 < after[1] for before, after in pairwise(ranges))
    return [(queue, sequence) for queue, first, last in ranges for sequence in range(first, last + 1)]


class InflightMachine(RuleBasedStateMachine):
    """A session: sequences ascend, those not settled come again after a reconnect."""

    def __init__(self) -> None:
        super().__init__()
        self.inflight = Inflight()
        self.next = 65_530
        """The identifiers wrap soon."""
        self.unsent: list[int] = []
        """Sent before the reconnect, and to be sent again."""
        self.sent: list[int] = []
        self.owed: list[int] = []
        self.foreign: dict[int, tuple[int, int]] = {}
        """Identifier to queue and sequence."""
        self.foreign_next = 0

    def used(self) -> set[int]:
        return {*map(id_of, self.sent), *map(id_of, self.owed), *self.foreign}

    @rule(count=st.integers(1, 8))
    def send(self, count: int) -> None:
        sequences = self.unsent[:count] or list(range(self.next, self.next + count))
        self.next = max(self.next, sequences[-1] + 1)
        del self.unsent[:count]
        assert self.inflight.room(sequences[0]) >= len(sequences)
        ids = self.inflight.push([(sequence, sequence) for sequence in sequences])
        assert ids.to_list() == [id_of(sequence) for sequence in sequences]
        self.sent += sequences

    @rule(queue=st.integers(1, 2), counts=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def send_foreign(self, queue: int, counts: list[int]) -> None:
        """Each gets the identifier that the session's next sequences come to last of those that are free."""
        next_sequence = self.unsent[0] if self.unsent else self.next
        ranges = []
        for count in counts:
            ranges.append((self.foreign_next, self.foreign_next + count - 1))
            self.foreign_next += count + 1
        messages = [(queue, sequence) for first, last in ranges for sequence in range(first, last + 1)]
        behind = (id_of(next_sequence + ID_COUNT - step) for step in range(1, ID_COUNT + 1))
        used = self.used()
        free = [id for id, _ in zip((id for id in behind if id not in used), messages, strict=False)]
        assert self.inflight.push_foreign(queue, ranges, next_sequence).to_list() == free
        self.foreign |= zip(free, messages, strict=True)

    @rule(kind=st.sampled_from([PUBACK, PUBREC, PUBCOMP]), data=st.data())
    def acknowledge(self, kind: int, data: st.DataObject) -> None:
        known = st.sampled_from([*sorted(self.used()), 9999])
        ids = data.draw(st.lists(known, max_size=6))
        settled, foreign, unknown = [], [], []
        for id in ids:
            if kind == PUBACK and id in self.foreign:
                foreign.append(self.foreign.pop(id))
                continue
            sent = [sequence for sequence in self.sent if id_of(sequence) == id]
            owed = [sequence for sequence in self.owed if id_of(sequence) == id]
            if sent and kind != PUBCOMP:
                self.sent.remove(sent[0])
                settled.append(sent[0])
                self.owed += sent if kind == PUBREC else []
            elif owed and kind == PUBCOMP:
                self.owed.remove(owed[0])
            elif not (owed and kind == PUBREC):
                unknown.append(id)
        ranges, others, strangers = self.inflight.acknowledge(PacketIds.of(ids), kind)
        assert [sequence for first, last in ranges for sequence in range(first, last + 1)] == sorted(settled)
        assert messages_of(others) == sorted(foreign)
        assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))
        assert strangers == unknown

    @rule()
    def reconnect(self) -> None:
        ranges, others = self.inflight.take_sent()
        assert messages_of(others) == sorted(self.foreign.values())
        self.foreign = {}
        assert [sequence for first, last in ranges for sequence in range(first, last + 1)] == sorted(self.sent)
        self.unsent = sorted([*self.unsent, *self.sent])
        self.sent = []

    @rule()
    def restart(self) -> None:
        """Only what is owed was stored."""
        self.reconnect()
        owed = self.inflight.owed()
        self.inflight = Inflight()
        self.inflight.restore_owed(owed)
        ids = PacketIds.of([id_of(sequence) for sequence in self.owed])
        assert self.inflight.acknowledge(ids, PUBCOMP) == ([], [], [])
        self.owed = []

    @precondition(lambda self: (self.sent or self.owed) and not self.foreign)
    @rule(ahead=st.integers(0, 200_000))
    def ask_for_room(self, ahead: int) -> None:
        oldest = min([*self.sent, *self.owed])
        assert self.inflight.room(self.next + ahead) == max(0, ID_COUNT - (self.next + ahead - oldest))

    @precondition(lambda self: self.foreign)
    @rule(ahead=st.integers(0, 200_000))
    def ask_for_room_beside_others(self, ahead: int) -> None:
        """What is in the way is met as one counts up."""
        sequence = self.next + ahead
        oldest = min([*self.sent, *self.owed], default=sequence)
        distance = min((id - id_of(sequence)) % ID_COUNT for id in self.foreign)
        assert self.inflight.room(sequence) == min(distance, max(0, ID_COUNT - (sequence - oldest)))

    @rule(data=st.data())
    def push_what_is_in_use(self, data: st.DataObject) -> None:
        used = [*self.sent, *self.owed]
        if used:
            sequence = data.draw(st.sampled_from(used)) + ID_COUNT
            with pytest.raises(ValueError, match="in use"):
                self.inflight.push([(sequence - 1, sequence)])

    @invariant()
    def counts_agree(self) -> None:
        assert self.inflight.outstanding == len(self.sent) + len(self.owed) + len(self.foreign)
        assert len(self.used()) == self.inflight.outstanding
        assert self.inflight.owed().to_list() == [id_of(sequence) for sequence in self.owed]


InflightMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestInflight = InflightMachine.TestCase


class ReceiptsMachine(RuleBasedStateMachine):
    """Whatever order tags are settled in, packets are acknowledged in the order they came."""

    def __init__(self) -> None:
        super().__init__()
        self.receipts = Receipts()
        self.waiting: list[tuple[int, int]] = []
        """Tag and identifier."""
        self.reasons: dict[int, int] = {}
        self.next_tag = 1

    @rule(skipped=st.integers(0, 2), ids=st.lists(st.integers(1, 65535), max_size=5))
    def push(self, skipped: int, ids: list[int]) -> None:
        first = self.next_tag + skipped
        self.receipts.push(first, PacketIds.of(ids))
        self.waiting += zip(range(first, first + len(ids)), ids, strict=True)
        self.next_tag = first + len(ids)

    @rule(back=st.integers(0, 12), count=st.integers(1, 8), reason=st.sampled_from([0, 0, 0x10, 0x87]))
    def settle(self, back: int, count: int, reason: int) -> None:
        first = max(0, self.next_tag - back)
        for tag, _ in self.waiting:
            if first <= tag < first + count:
                self.reasons.setdefault(tag, reason)
        due: list[tuple[int, list[int]]] = []
        while self.waiting and self.waiting[0][0] in self.reasons:
            tag, id = self.waiting.pop(0)
            if due and due[-1][0] == self.reasons[tag]:
                due[-1][1].append(id)
            else:
                due.append((self.reasons[tag], [id]))
        got = self.receipts.settle(first, first + count - 1, reason)
        assert [(reason, ids.to_list()) for reason, ids in got] == due

    @rule()
    def push_a_tag_again(self) -> None:
        if self.next_tag > 1:
            with pytest.raises(ValueError, match="tags ascend"):
                self.receipts.push(self.next_tag - 1, PacketIds.of([1]))

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.receipts) == len(self.waiting)


ReceiptsMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestReceipts = ReceiptsMachine.TestCase


def test_calls_that_make_no_sense_are_errors() -> None:
    inflight = Inflight()
    with pytest.raises(ValueError, match="a range is"):
        inflight.push([(2, 1)])
    with pytest.raises(ValueError, match="more than there are"):
        inflight.push([(0, 2**64 - 1)])
    with pytest.raises(ValueError, match="a range is"):
        inflight.push_foreign(1, [(2, 1)], 0)
    with pytest.raises(ValueError, match="more than there are"):
        inflight.push_foreign(1, [(0, 2**64 - 1)], 0)
    with pytest.raises(ValueError, match="no packet identifier is 0"):
        inflight.restore_owed(PacketIds.of([0]))
    with pytest.raises(ValueError, match="a subscriber acknowledges"):
        inflight.acknowledge(PacketIds.of([1]), 6)
    assert inflight.outstanding == 0
