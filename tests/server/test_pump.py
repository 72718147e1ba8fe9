"""The pump against a model of sockets and sessions: nothing is lost, nothing hangs, no wake-up is lost."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.server.pump import (
    LAST_WORDS_TIMEOUT_S,
    LINGER_TIMEOUT_S,
    OUTPUT_SIZE_HIGH,
    OUTPUT_SIZE_LOW,
    WRITE_TIMEOUT_S,
    Flow,
    FlowState,
    Pump,
)

ROOM = 1 << 20
SIZES = st.sampled_from([1, OUTPUT_SIZE_LOW, ROOM, OUTPUT_SIZE_HIGH, 2 * OUTPUT_SIZE_HIGH])


class Far:
    """A connection with its session, its socket and its peer."""

    def __init__(self, token: int) -> None:
        self.flow = Flow(token)
        self.backlog = 0
        """Bytes that the session's queues hold for it."""
        self.room = ROOM
        self.starved = False
        self.queued = 0
        """Bytes in the connection's output."""
        self.blocked = False
        """The socket is asked to tell when it takes more."""
        self.capacity = 0
        """Bytes that the socket would take."""
        self.arrived = 0
        self.sent = 0
        self.read = True
        self.full = False
        self.exceeded = False
        self.progress_at = 0.0

    def write(self, now: float) -> int:
        size = min(self.queued, self.capacity)
        self.queued -= size
        self.capacity -= size
        self.arrived += size
        if size:
            self.progress_at = now
        return size


class PumpMachine(RuleBasedStateMachine):
    """Rounds are made only where the engine would: something came, or the core has something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pump = Pump()
        self.fars = [Far(0), Far(1)]

    fars_drawn = st.integers(0, 1)

    def round(self, answers: dict[Far, int]) -> None:
        """What the engine does; ``answers``: output that isn't deliveries."""
        again = True
        while again:
            for far in self.fars:
                if far.flow.state is FlowState.OPEN:
                    self.submit(far, answers.pop(far, 0))
            self.flush()
            for far in list(self.fars):
                self.pump.receive_full(far.flow, far.full)
            again = self.obey()

    def submit(self, far: Far, answer: int) -> None:
        size = far.backlog if far.room > 0 else 0
        far.starved = far.starved or size < far.backlog
        far.backlog -= size
        far.room -= size
        if size:
            self.pump.receive_deliveries(far.flow)
        if size + answer:
            self.pump.queue(far.flow, size + answer)
            far.queued += size + answer
            far.sent += size + answer

    def flush(self) -> None:
        for far in self.fars:
            if far.queued and not far.blocked:
                far.write(self.now)
                far.blocked = far.queued > 0
                if far.blocked:
                    far.progress_at = self.now
                    self.pump.receive_blocked(far.flow, far.queued, self.now)
        self.pump.receive_flushed(self.now)

    def obey(self) -> bool:
        """Says whether the core has something to do at once."""
        orders = self.pump.settle()
        again = False
        for far in self.fars:
            if far.flow in orders.drained:
                assert far.queued <= OUTPUT_SIZE_LOW
                far.room = ROOM
                again = again or far.starved
                far.starved = False
            assert (far.flow in orders.pause) <= far.read
            assert (far.flow in orders.resume) <= (not far.read)
            if far.flow in orders.pause or far.flow in orders.resume:
                far.read = not far.read
        return again

    @rule(index=fars_drawn, size=SIZES, deliveries=st.booleans())
    def output_comes(self, index: int, size: int, deliveries: bool) -> None:
        far = self.fars[index]
        if deliveries:
            far.backlog += size
            self.round({})
        else:
            self.round({far: size})

    @rule(index=fars_drawn)
    def deliveries_come_to_nothing(self, index: int) -> None:
        """As when their channel was closed meanwhile: they took room, and leave no output."""
        far = self.fars[index]
        if far.flow.state is FlowState.OPEN and far.room > 0:
            far.room -= ROOM
            self.pump.receive_deliveries(far.flow)
            self.round({})

    @rule(index=fars_drawn, size=SIZES)
    def peer_reads(self, index: int, size: int) -> None:
        far = self.fars[index]
        if far.flow.state is FlowState.CLOSED:
            return
        far.capacity += size
        if far.blocked and far.write(self.now):
            far.blocked = far.queued > 0
            self.pump.receive_unblocked(far.flow, far.queued, self.now)
            self.round({})

    @rule(index=fars_drawn, full=st.booleans())
    def session_is_full(self, index: int, full: bool) -> None:
        self.fars[index].full = full
        self.round({})

    @rule(index=fars_drawn, exceeded=st.booleans())
    def buffers_are_exceeded(self, index: int, exceeded: bool) -> None:
        far = self.fars[index]
        far.exceeded = exceeded
        self.pump.receive_memory(far.flow, exceeded)
        self.round({})

    @rule(seconds=st.sampled_from([0.5, LINGER_TIMEOUT_S, LAST_WORDS_TIMEOUT_S, WRITE_TIMEOUT_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for far in self.fars:
            if far.flow.deadline <= self.now:
                self.end(far)

    def end(self, far: Far) -> None:
        if far.flow.state is FlowState.OPEN:
            assert far.queued
            assert far.progress_at + WRITE_TIMEOUT_S <= self.now
        self.pump.close(far.flow)

    @rule(index=fars_drawn, size=SIZES)
    def last_words_are_said(self, index: int, size: int) -> None:
        far = self.fars[index]
        if far.flow.state is FlowState.OPEN and self.now > 0:
            self.submit(far, size)
            self.pump.hang_up(far.flow, self.now)
            assert far.flow.deadline <= self.now + LAST_WORDS_TIMEOUT_S
            self.round({})

    @invariant()
    def a_connection_is_read_unless_there_is_a_reason(self) -> None:
        for far in self.fars:
            if far.flow.state is FlowState.OPEN:
                known = far.full or far.exceeded
                assert far.read is (not far.flow.reasons)
                assert not (known or far.queued > OUTPUT_SIZE_HIGH) or not far.read
                assert far.read or known or far.queued > OUTPUT_SIZE_LOW

    @invariant()
    def what_is_left_is_known_and_has_its_time(self) -> None:
        for far in self.fars:
            if far.flow.state is FlowState.OPEN:
                assert far.flow.left == far.queued
                assert far.flow.deadline == (far.progress_at + WRITE_TIMEOUT_S if far.queued else math.inf)
            elif far.flow.state is FlowState.HANGING_UP:
                assert far.flow.deadline <= self.now + LAST_WORDS_TIMEOUT_S
                assert far.queued or far.flow.deadline <= self.now + LINGER_TIMEOUT_S

    @invariant()
    def nobody_starves_with_an_empty_output(self) -> None:
        for far in self.fars:
            if far.flow.state is FlowState.OPEN and far.queued <= OUTPUT_SIZE_LOW:
                assert far.room > 0
                assert far.backlog == 0

    def teardown(self) -> None:
        for index, far in enumerate(self.fars):
            for _ in range(100):
                self.peer_reads(index, OUTPUT_SIZE_HIGH)
            if far.flow.state is FlowState.OPEN:
                assert far.backlog == far.queued == 0
                assert far.arrived == far.sent


TestPump = PumpMachine.TestCase
TestPump.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
