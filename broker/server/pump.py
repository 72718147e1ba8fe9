"""Who is read, who is waited for, who is hung up on: decided at one place, for sockets and streams alike.

Pure.  The engine tells the pump what happened to each connection's output and what its core session
says, and once a round has it ``settle``; what comes of that is done by the engine.

Laws (``tests/server/test_pump.py``):

- A connection is read if and only if there is no reason against it, whatever order reasons come and go in.
- A session that was handed deliveries, or whose output was written, gets its room back at the end of the
  round in which no more than ``OUTPUT_SIZE_LOW`` is left: no wake-up is lost, and none depends on there
  having been output (deliveries to a channel just closed leave none).
- Output that makes no progress for ``WRITE_TIMEOUT_S`` ends the connection; output that makes any doesn't.
- After its last words a connection is freed within ``LAST_WORDS_TIMEOUT_S``, whatever its peer does.
"""

from __future__ import annotations

import enum
import math

import msgspec

OUTPUT_SIZE_LOW = 256 << 10
"""Bytes left of a connection's output at which its session gets its room for deliveries back, and
reading goes on.  One send's worth: the socket need not run dry meanwhile."""
OUTPUT_SIZE_HIGH = 4 << 20
"""Bytes left at which a connection is read no more.  Deliveries are held back long before (the core's
``ROOM`` of 1 MiB), so only answers and confirms come here.  It isn't less because many clients publish
in one thread with blocking writes and look at their input later: not to read them would be a deadlock."""
WRITE_TIMEOUT_S = 30.0
"""As RabbitMQ's send_timeout: a peer that took nothing for so long reads no more."""
LAST_WORDS_TIMEOUT_S = 5.0
"""For the last words to leave."""
LINGER_TIMEOUT_S = 1.0
"""For the peer to hang up too, once they have left.  Closing with its bytes unread would reset the
connection, and the last words might be lost with it."""


class Pause(enum.IntEnum):
    """Why a connection isn't read: bits of ``Flow.reasons`` (an IntFlag costs a microsecond a use)."""

    OUTPUT = 1
    """It doesn't read what it is sent."""
    CORE = 2
    """Its session has enough to do, or publishers wait for the disk or for memory."""
    MEMORY = 4
    """The node's budget of connection buffers is used up, and this one holds a part of it."""


class FlowState(enum.Enum):
    OPEN = enum.auto()
    HANGING_UP = enum.auto()
    """It has said its last words."""
    CLOSED = enum.auto()


class Flow:
    """One connection, as the pump knows it."""

    __slots__ = ("blocked", "deadline", "left", "owing", "paused", "reasons", "state", "token")

    def __init__(self, token: int) -> None:
        self.token = token
        self.left = 0
        """Bytes of output not written."""
        self.blocked = False
        """The socket took less than there was."""
        self.owing = False
        """Its session may wait for room."""
        self.reasons = 0
        self.paused = False
        self.state = FlowState.OPEN
        self.deadline = math.inf
        """When it is ended for not reading, or for not hanging up."""


class Orders(msgspec.Struct):
    """What one round comes to."""

    pause: list[Flow]
    resume: list[Flow]
    drained: list[Flow]
    """Their sessions get their room back."""


class Pump:
    """The flows of all connections."""

    def __init__(self) -> None:
        self._touched: dict[Flow, None] = {}
        self._sent: list[Flow] = []
        self.held_by_core: dict[Flow, None] = {}
        """Those paused for CORE: their sessions are to be asked again each round."""

    def queue(self, flow: Flow, size: int) -> None:
        """``size`` bytes of output were handed to the connection; a flush follows."""
        assert flow.state is FlowState.OPEN
        flow.left += size
        flow.owing = True
        self._sent.append(flow)
        self._touched[flow] = None

    def receive_deliveries(self, flow: Flow) -> None:
        """Its adapter got replies from the core, whatever it makes of them."""
        flow.owing = True
        self._touched[flow] = None

    def receive_blocked(self, flow: Flow, left: int, now: float) -> None:
        """The flush left ``left`` bytes of it, more than none."""
        if flow.state is FlowState.CLOSED:
            return
        flow.left = left
        self._touched[flow] = None
        if not flow.blocked:
            flow.blocked = True
            self._extend(flow, now)

    def receive_unblocked(self, flow: Flow, left: int, now: float) -> None:
        """Blocked output made progress outside of a flush; ``left`` bytes of it are left."""
        if flow.state is FlowState.CLOSED:
            return
        flow.left = left
        flow.blocked = left > 0
        self._touched[flow] = None
        self._extend(flow, now)

    def receive_flushed(self, now: float) -> list[Flow]:
        """The flush is done: who queued output and isn't blocked has got rid of it.

        Gives those whose deadline is nearer now: their last words are gone.
        """
        nearer: list[Flow] = []
        for flow in self._sent:
            if not flow.blocked and flow.state is not FlowState.CLOSED:
                flow.left = 0
                if flow.state is FlowState.HANGING_UP:
                    self._extend(flow, now)
                    nearer.append(flow)
        self._sent.clear()
        return nearer

    def receive_full(self, flow: Flow, full: bool) -> None:
        """Whether the session wants no more input for now."""
        if full:
            self.held_by_core[flow] = None
            self._give(flow, Pause.CORE)
        elif flow in self.held_by_core:
            del self.held_by_core[flow]
            self._lift(flow, Pause.CORE)

    def receive_memory(self, flow: Flow, exceeded: bool) -> None:
        """Whether it must wait for the node's buffers to empty."""
        if exceeded:
            self._give(flow, Pause.MEMORY)
        else:
            self._lift(flow, Pause.MEMORY)

    def hang_up(self, flow: Flow, now: float) -> None:
        """Its last words are queued; nothing more will be."""
        assert flow.state is FlowState.OPEN
        flow.state = FlowState.HANGING_UP
        flow.deadline = now + (LAST_WORDS_TIMEOUT_S if flow.left else LINGER_TIMEOUT_S)

    def close(self, flow: Flow) -> None:
        """It is gone."""
        flow.state = FlowState.CLOSED
        flow.left = 0
        flow.blocked = False
        flow.deadline = math.inf
        self._touched.pop(flow, None)
        self.held_by_core.pop(flow, None)

    def settle(self) -> Orders:
        """Ends a round, after its flush: who is paused or resumed, and whose session gets room."""
        pause: list[Flow] = []
        resume: list[Flow] = []
        drained: list[Flow] = []
        for flow in self._touched:
            if flow.state is not FlowState.OPEN:
                continue
            if flow.left <= OUTPUT_SIZE_LOW:
                if flow.reasons:
                    flow.reasons &= ~Pause.OUTPUT
                if flow.owing:
                    flow.owing = False
                    drained.append(flow)
            elif flow.left > OUTPUT_SIZE_HIGH:
                flow.reasons |= Pause.OUTPUT
            paused = flow.reasons != 0
            if paused is not flow.paused:
                flow.paused = paused
                (pause if paused else resume).append(flow)
        self._touched.clear()
        return Orders(pause, resume, drained)

    def _give(self, flow: Flow, reason: Pause) -> None:
        if not flow.reasons & reason:
            flow.reasons |= reason
            self._touched[flow] = None

    def _lift(self, flow: Flow, reason: Pause) -> None:
        if flow.reasons & reason:
            flow.reasons &= ~reason
            self._touched[flow] = None

    def _extend(self, flow: Flow, now: float) -> None:
        """Output made progress: another while to go on."""
        if flow.state is FlowState.OPEN:
            flow.deadline = now + WRITE_TIMEOUT_S if flow.left else math.inf
        elif flow.left == 0:
            flow.deadline = min(flow.deadline, now + LINGER_TIMEOUT_S)
