"""An adapter and a core that send everybody's messages back, and a client for them: to test what lies between.

The protocol is AMQP's frames with other meanings.  A ``HANDSHAKE``, in which the decoder stops four times, asks for
``hello``; messages are published and come back as their bodies; a persistent run is confirmed by ``!`` once it is
synced; a heartbeat asks for ``pong``; any other method ends the connection with ``bye``; a violation with ``bad``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import Channel, ConsumerTag, DeliveryTag, UserName
from broker.server.connection import Opened
from kernel import AmqpDecoder, Chunk, DeliveryRun, Heartbeat, MessageRun, Method, ProtocolHeader, Violation
from protocols.adapter import Frame, Output, Ready


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return bytes([kind]) + channel.to_bytes(2) + len(payload).to_bytes(4) + payload + b"\xce"


START_OK = frame(1, 0, b"\x00\x0a\x00\x0b" + bytes(4) + b"\x05PLAIN" + bytes(4) + b"\x05en_US")
TUNE_OK = frame(1, 0, b"\x00\x0a\x00\x1f\x07\xff\x00\x00\x20\x00\x00\x00")
OPEN = frame(1, 0, b"\x00\x0a\x00\x28\x01/\x00\x00")
HANDSHAKE = b"AMQP\x00\x00\x09\x01" + START_OK + TUNE_OK + OPEN
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
CLOSE_OK = frame(1, 0, b"\x00\x0a\x00\x33")
HANDSHAKE_METHODS = (11, 31, 40)
SILENCE_S_MAX = 60.0
CLOSE_TIMEOUT_S = 3.0
ROOM = 1 << 20


def publish(body: bytes, persistent: bool = False) -> bytes:
    """The frames of one message."""
    method = b"\x00\x3c\x00\x28\x00\x00\x00\x01q\x00"
    properties = b"\x10\x00\x02" if persistent else b"\x00\x00"
    header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8) + properties
    bodies = [frame(3, 1, body[at : at + 8000]) for at in range(0, len(body), 8000)]
    return frame(1, 1, method) + frame(2, 1, header) + b"".join(bodies)


class EchoAdapter:
    """Speaks the protocol above."""

    protocol = "echo"

    def __init__(self, decoder: AmqpDecoder, now: float) -> None:
        self.decoder = decoder
        self.deadline = now + SILENCE_S_MAX
        self.output: list[Output] = []
        self.commands: list[c.Command] = []
        self.closing = False
        self.resumed = False
        self.told_to_close = False
        self.ended = False

    def receive_data(self, data: bytes, now: float) -> None:
        raise AssertionError("the owner decodes")

    def receive_frames(self, frames: Sequence[Frame], now: float) -> None:
        assert not self.ended
        if not self.told_to_close:
            self.deadline = now + SILENCE_S_MAX
        for each in frames:
            if isinstance(each, MessageRun):
                self.commands.append(c.Publish(Channel(1), each))
            elif isinstance(each, ProtocolHeader):
                self.resumed = True
            elif isinstance(each, Method) and each.method_id in HANDSHAKE_METHODS:
                self.receive_handshake(each.method_id)
            elif isinstance(each, Heartbeat):
                self.output.append(b"pong")
            else:
                self.output.append(b"bad" if isinstance(each, Violation) else b"bye")
                self.closing = True

    def receive_handshake(self, method_id: int) -> None:
        if method_id == HANDSHAKE_METHODS[0]:
            self.commands.append(c.Authenticate(UserName("guest"), b"guest", True))
            return
        if method_id == HANDSHAKE_METHODS[-1]:
            self.output.append(b"hello")
        self.resumed = True

    def receive_replies(self, replies: Sequence[r.Reply], now: float) -> None:
        assert not self.ended
        for reply in replies:
            if isinstance(reply, r.Deliver):
                run = reply.deliveries
                self.output += [Chunk(run.body(index)) for index in range(run.count)]
            elif isinstance(reply, r.Authenticated):
                self.resumed = True
            elif isinstance(reply, r.Confirm):
                self.output.append(b"!")
            elif isinstance(reply, r.CloseConnection):
                self.output.append(reply.detail.encode())
                self.told_to_close = True
                self.deadline = now + CLOSE_TIMEOUT_S

    def receive_timeout(self, now: float) -> None:
        if now >= self.deadline:
            self.closing = True

    def receive_end(self, now: float) -> None:
        self.ended = self.closing = True

    def take_ready(self) -> Ready:
        ready = Ready(self.output, self.commands, self.deadline, self.closing, self.resumed)
        self.output, self.commands, self.resumed = [], [], False
        return ready


def opened(now: float) -> Opened:
    decoder = AmqpDecoder()
    return Opened(EchoAdapter(decoder, now), decoder)


class DrawnSyncs:
    """A journal whose syncs end when the test says so."""

    def __init__(self) -> None:
        self.submitted = 0
        self.synced = 0
        self.pressure: str | None = None


class EchoSession:
    """Sends back what it gets, as far as there is room."""

    def __init__(self, core: EchoCore) -> None:
        self.core = core
        self.backlog: list[MessageRun] = []
        self.room = ROOM
        self.waiting: list[int] = []
        """The syncs that its persistent runs wait for."""
        self.replies: list[r.Reply] = []
        self.closed = False

    def receive_protocol(self, name: str) -> None:
        assert name == "echo"

    @property
    def full(self) -> bool:
        return len(self.waiting) > 8 or self.core.congested

    def submit(self, commands: Sequence[c.Command]) -> None:
        assert not self.closed
        for command in commands:
            if isinstance(command, c.Publish):
                self.backlog.append(command.messages)
                if command.messages.persistent:
                    self.core.syncs.submitted += 1
                    self.waiting.append(self.core.syncs.submitted)
            else:
                self.say(r.Authenticated())
        self.core.dirty[self] = None

    def say(self, reply: r.Reply) -> None:
        self.replies.append(reply)
        self.core.busy[self] = None

    def take_replies(self) -> Sequence[r.Reply]:
        replies, self.replies = self.replies, []
        return replies

    def receive_drained(self) -> None:
        self.room = ROOM
        if self.backlog:
            self.core.dirty[self] = None

    def step(self, synced: int) -> None:
        while self.backlog and self.room > 0:
            deliveries = DeliveryRun.of(self.backlog[0], 0, self.backlog.pop(0).count, False)
            self.room -= deliveries.size
            self.say(r.Deliver(Channel(1), ConsumerTag("t"), DeliveryTag(1), deliveries))
        while self.waiting and self.waiting[0] <= synced:
            self.waiting.pop(0)
            self.say(r.Confirm(Channel(1), [(1, 1)]))


class EchoCore:
    """Every session is a queue of its own."""

    def __init__(self, syncs: DrawnSyncs) -> None:
        self.syncs = syncs
        self.sessions: dict[EchoSession, None] = {}
        self.dirty: dict[EchoSession, None] = {}
        self.busy: dict[EchoSession, None] = {}
        self.congested = False
        self.disk_alarm: str | None = None
        self.reads: list[Callable[[], object]] = []

    @property
    def pending(self) -> bool:
        return bool(self.dirty)

    @property
    def holding(self) -> bool:
        return False

    def open_session(self) -> EchoSession:
        session = EchoSession(self)
        self.sessions[session] = None
        return session

    def close_session(self, session: EchoSession) -> None:
        session.closed = True
        del self.sessions[session]
        self.dirty.pop(session, None)
        self.busy.pop(session, None)

    def begin_round(self, now: float) -> None: ...

    def step(self, now: float, now_ms: int) -> None:
        for session in self.dirty:
            session.step(self.syncs.synced)
        self.dirty.clear()

    def receive_synced(self, write: int) -> None:
        for session in self.sessions:
            if session.waiting:
                self.dirty[session] = None

    def take_busy(self) -> Sequence[EchoSession]:
        busy = list(self.busy)
        self.busy.clear()
        return busy

    def take_wanted_reads(self) -> Sequence[Callable[[], object]]:
        reads, self.reads = self.reads, []
        return reads

    def next_deadline(self, now: float, now_ms: int) -> float | None:
        return None
