"""The seam between a connection's bytes and the core: what every protocol's adapter looks like.

An adapter is one connection's worth of one protocol.  It is pure: no socket, clock or random number
inside, time is given in (seconds of a monotonic clock, as trio.current_time()).  It holds protocol
state and never input: unread bytes are its decoder's.  It catches ``ProtocolViolation`` at one place,
writes its own last words and sets ``closing``; whatever else is raised out of it is a bug of ours.

Laws, tested for each with hypothesis: however the bytes are cut, the commands and the output are the
same; and no bytes whatever raise anything out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from broker.model.commands import Command
from broker.model.replies import Reply
from kernel import (
    Acks,
    AmqpDecoder,
    Chunk,
    Control,
    Data,
    Eols,
    Heartbeat,
    MessageRun,
    Method,
    MqttDecoder,
    Packet,
    ProtocolHeader,
    Publishes,
    Sends,
    Settlement,
    StompDecoder,
    StompFrame,
    Violation,
    WebDecoder,
)

Decoder: TypeAlias = AmqpDecoder | MqttDecoder | StompDecoder | WebDecoder
"""A connection's bytes to frames; shared by its adapter, which resumes it, and whoever reads."""

Frame: TypeAlias = (
    MessageRun
    | Settlement
    | Method
    | ProtocolHeader
    | Heartbeat
    | Publishes
    | Acks
    | Packet
    | Sends
    | StompFrame
    | Eols
    | Data
    | Control
    | Violation
)
"""What a kernel decoder makes of bytes."""

Output: TypeAlias = bytes | Chunk
"""A chunk is shared kernel memory: a fan-out is encoded once."""


class Ready(msgspec.Struct):
    """What an adapter wants done, all of it since the last one was taken.

    Its owner submits ``commands``, writes ``output``, hangs up after that if ``closing``, in that
    order, and else calls ``receive_timeout`` once ``deadline`` has come.  Commands go first, so that a
    peer slow to read doesn't hold its own publishes back.
    """

    output: list[Output] = []
    commands: list[Command] = []
    deadline: float | None = None
    """The next one, not one more: it replaces what was asked for before.  None: no deadline."""
    closing: bool = False
    resumed: bool = False
    """The decoder had stopped and may go on: its owner resumes it, and what comes of that are the next frames."""


class Adapter(Protocol):
    """One connection's worth of one protocol."""

    @property
    def protocol(self) -> str:
        """What is spoken: "amqp", "mqtt", ...; figures are told by it."""

    def receive_data(self, data: bytes, now: float) -> None:
        """The decoder and ``receive_frames`` in a row, resuming as needed; for streams and tests."""

    def receive_frames(self, frames: Sequence[Frame], now: float) -> None:
        """What the connection's decoder made of the bytes that came, in order.

        No frames: bytes came that complete none, or the connection isn't read at present; in either case
        the peer is not to be taken for silent.
        """

    def receive_replies(self, replies: Sequence[Reply], now: float) -> None:
        """What the core says, in order."""

    def receive_timeout(self, now: float) -> None:
        """The deadline of the last Ready has come."""

    def receive_end(self, now: float) -> None:
        """The peer hung up, or the connection is lost: nothing more will come and nothing can be written."""

    def take_ready(self) -> Ready:
        """All that became due since the last call."""
