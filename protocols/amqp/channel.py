"""One channel: its states, its publishes and settlements, and the answers it owes.

Law: a channel's synchronous answers leave in the order they were asked for, those that the core gives and those that
the adapter knows by itself (basic.qos-ok) alike.  Deliveries, confirms and returns run free of that order.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from broker.model import commands, replies
from broker.model.commands import Command, Outcome, Publish, Settle
from broker.model.names import Channel as ChannelNumber
from broker.model.names import DeliveryTag, QueueName
from kernel import (
    FLAG_BAD_EXPIRATION,
    FLAG_HAS_USER_ID,
    MessageRun,
    SettleKind,
    Settlement,
    Violation,
    encode_deliveries,
    encode_returns,
)
from kernel import Method as MethodFrame
from protocols.adapter import Frame, Output
from protocols.amqp.confirms import Confirms
from protocols.amqp.content_header import EXPIRATION, USER_ID, property_text
from protocols.amqp.method_codec import encode_method
from protocols.amqp.methods import (
    METHOD_IDS,
    BasicAck,
    BasicCancel,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    Method,
    MethodId,
)
from protocols.amqp.outbox import Outbox
from protocols.amqp.refusals import REPLY_CODES
from protocols.amqp.reply_codes import ReplyCode, reply_text
from protocols.amqp.violation import ProtocolViolation

PUBLISH_ID = METHOD_IDS[BasicPublish]
ACK_ID = METHOD_IDS[BasicAck]
CHECKED_FLAGS = FLAG_HAS_USER_ID | FLAG_BAD_EXPIRATION

HELD_FRAMES_MAX = 256
"""Of a channel; see ``Channel.hold``."""
HELD_SIZE_MAX = 1 << 20
"""Bytes of all of a connection's channels."""

OUTCOMES: dict[SettleKind, Outcome] = {
    SettleKind.ACK: Outcome.ACCEPTED,
    SettleKind.NACK: Outcome.REJECTED,
    SettleKind.REJECT: Outcome.REJECTED,
    SettleKind.NACK_REQUEUE: Outcome.REQUEUED,
    SettleKind.REJECT_REQUEUE: Outcome.REQUEUED,
}

Answer: TypeAlias = Callable[[Any], Output | None]
"""Makes the output of the reply that answers a command; None where the client does not want to hear of it."""


class ChannelState(enum.Enum):
    """A channel that is not there has none."""

    OPEN = "open"
    CLOSING = "closing"
    """We sent channel.close: everything is discarded until close-ok."""
    CLOSED = "closed"
    """The client sent close-ok: the number is free again."""
    FINISHING = "finishing"
    """The client sent channel.close: close-ok follows once the core has finished what the channel asked for."""


class Owed(msgspec.Struct, frozen=True):
    """An answer that a client waits for."""

    asked: MethodId
    answer: Answer | None = None
    """None: it is ``ready``, and waits only for the answers before it."""
    ready: Output = b""


class Client(msgspec.Struct, frozen=True):
    """What a connection's channels know of who is at the other end."""

    user_id: bytes
    cancel_notify: bool
    """It understands a basic.cancel from the server."""


class Channel:
    """The protocol state of one open channel; its methods stand in ``channel_methods``."""

    def __init__(self, number: int, outbox: Outbox, client: Client) -> None:
        self.number = ChannelNumber(number)
        self.outbox = outbox
        self.state = ChannelState.OPEN
        self.core_closed = False
        """The core has answered our CloseChannel; what it says of this number afterwards is of the next channel."""
        self.confirms: Confirms | None = None
        self.prefetch_count: int | None = None
        """For the consumers to come; None: no bound."""
        self.last_queue: QueueName | None = None
        """What an empty queue name stands for."""
        self._naming: object | None = None
        """Stands for the queue.declare, not answered yet, whose queue the broker names and an empty name will mean."""
        self._client = client
        self._owed: deque[Owed] = deque()
        self._held: deque[Frame] = deque()
        self._held_size = 0
        self._unanswered_id = PUBLISH_ID
        """The method that a Refuse is taken to answer when nothing is owed."""

    # What the client sends.

    def publish(self, run: MessageRun) -> None:
        """Hands a run of messages to the core; those before a bad one are published, as if they had come alone."""
        if self.state is not ChannelState.OPEN:
            self.refuse_late(PUBLISH_ID)
        elif self._held:
            self.hold(run)
        elif run.flags & CHECKED_FLAGS:
            self._publish_checked(run)
        else:
            self._publish(run)

    def _publish(self, run: MessageRun) -> None:
        confirms = self.confirms
        first_tag = 0 if confirms is None else confirms.take_tags(run.count)
        self._unanswered_id = PUBLISH_ID
        self.outbox.commands.append(Publish(self.number, run, first_tag))

    def _publish_checked(self, run: MessageRun) -> None:
        other_user = run.first_with_other_user(self._client.user_id)
        bad_expiration = run.first_with_flag(FLAG_BAD_EXPIRATION)
        bad = min((index for index in (other_user, bad_expiration) if index is not None), default=None)
        if bad is None:
            self._publish(run)
            return
        if bad:
            self._publish(run.before(bad))
        if bad == other_user:
            user = self._client.user_id.decode()
            given = property_text(run.properties(bad), USER_ID)
            detail = f"user_id property set to '{given}' but authenticated user was '{user}'"
        else:
            detail = f"invalid expiration '{property_text(run.properties(bad), EXPIRATION)}'"
        raise ProtocolViolation(ReplyCode.PRECONDITION_FAILED, detail, *PUBLISH_ID)

    def settle(self, settlement: Settlement) -> None:
        """Hands acknowledgements to the core."""
        if self.state is not ChannelState.OPEN:
            self.refuse_late(ACK_ID)
            return
        if self._held:
            self.hold(settlement)
            return
        first, last = DeliveryTag(settlement.first), DeliveryTag(settlement.last)
        self._unanswered_id = ACK_ID
        self.outbox.commands.append(Settle(self.number, first, last, OUTCOMES[settlement.kind]))

    def receive_violation(self, violation: Violation) -> None:
        """The decoder found something that ends the channel only."""
        method_id = (violation.class_id, violation.method_id)
        if self.state is not ChannelState.OPEN:
            self.refuse_late(method_id)
        elif self._held:
            self.hold(violation)
        else:
            raise ProtocolViolation(ReplyCode(violation.code), violation.text, *method_id)

    def ask(self, command: Command, asked: type[Method], answer: Answer) -> None:
        """Gives the core a command, and remembers what to say to the client once it is answered."""
        self.outbox.commands.append(command)
        self._owed.append(Owed(METHOD_IDS[asked], answer))

    def tell(self, command: Command) -> None:
        """Gives the core a command that has no answer."""
        self.outbox.commands.append(command)

    def answer_now(self, asked: type[Method], method: Method) -> None:
        """Answers as soon as everything that was asked before is answered."""
        if self._owed:
            self._owed.append(Owed(METHOD_IDS[asked], ready=encode_method(self.number, method)))
        else:
            self.outbox.send(self.number, method)

    def refuse_late(self, method_id: MethodId) -> None:
        """Something came on a channel that is not open any more: discarded if we closed it, else a violation."""
        if self.state is ChannelState.FINISHING:
            raise ProtocolViolation(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'", *method_id)

    # Names that are not known yet.

    def declare_named(self, queue: QueueName) -> None:
        """From now on an empty name stands for this queue."""
        self._naming = None
        self.last_queue = queue

    def declare_unnamed(self) -> Callable[[QueueName], None]:
        """From now on an empty name stands for the queue whose name the returned function is told."""
        naming = self._naming = object()

        def receive_name(queue: QueueName) -> None:
            if self._naming is naming:
                self.declare_named(queue)

        return receive_name

    @property
    def naming(self) -> bool:
        """An empty name stands for a queue whose name the broker has not told yet."""
        return self._naming is not None

    @property
    def holding(self) -> bool:
        """Frames wait, so that whatever comes now waits behind them."""
        return bool(self._held)

    def hold(self, frame: Frame) -> None:
        """Keeps a frame until the broker has named a queue.

        A client may declare a queue without a name and use it in the same breath; the answer with the name is a round
        away, so that little can gather here.  Who sends more than a round's worth behind it is told to wait for names.
        """
        size = _held_size(frame)
        if len(self._held) == HELD_FRAMES_MAX or self.outbox.held_size + size > HELD_SIZE_MAX:
            detail = "too much sent while a queue.declare without a name is not answered"
            raise ProtocolViolation(ReplyCode.RESOURCE_ERROR, detail)
        self._held.append(frame)
        self._held_size += size
        self.outbox.held_size += size

    def take_held(self) -> list[Frame]:
        """What waited, once the name is known."""
        frames = [] if self.naming else list(self._held)
        if frames:
            self._release()
        return frames

    def _release(self) -> None:
        self._held.clear()
        self.outbox.held_size -= self._held_size
        self._held_size = 0

    # What the core says.

    def receive_reply(self, reply: Any) -> None:
        """A reply to this channel, other than Refuse and ChannelClosed; what comes after the end is dropped."""
        if self.state is ChannelState.OPEN:
            _REPLIES[type(reply)](self, reply)

    def _receive_delivery(self, reply: replies.Deliver) -> None:
        outbox = self.outbox
        tag = reply.consumer_tag.encode()
        chunk = encode_deliveries(reply.deliveries, self.number, tag, reply.first_tag, outbox.frame_size_max)
        outbox.output.append(chunk)

    def receive_confirm(self, reply: replies.Confirm) -> None:
        assert self.confirms is not None, "nothing to confirm"
        self.outbox.output.append(self.confirms.settle(reply.tags, nack=False))

    def _receive_reject(self, reply: replies.Reject) -> None:
        assert self.confirms is not None, "nothing to reject"
        self.outbox.output.append(self.confirms.settle(reply.tags, nack=True))

    def _receive_return(self, reply: replies.Return) -> None:
        code = REPLY_CODES[reply.refusal]
        text = reply_text(code, reply.detail).encode()
        frames = encode_returns(reply.messages, self.number, code, text, self.outbox.frame_size_max)
        self.outbox.output.append(frames)

    def _receive_loss(self, reply: replies.ConsumerLost) -> None:
        if self._client.cancel_notify:
            self.outbox.send(self.number, BasicCancel(reply.consumer_tag, no_wait=True))

    def _receive_answer(self, reply: Any) -> None:
        """The oldest command is answered, and with it what the adapter can answer by itself behind it."""
        owed = self._owed.popleft()
        assert owed.answer is not None, f"{reply} answers nothing"
        output = owed.answer(reply)
        if output is not None:
            self.outbox.output.append(output)
        while self._owed and self._owed[0].answer is None:
            self.outbox.output.append(self._owed.popleft().ready)

    # The end.

    def refused_id(self) -> MethodId:
        """The method that a Refuse answers."""
        return self._owed[0].asked if self._owed else self._unanswered_id

    def close(self, code: ReplyCode, detail: str, method_id: MethodId) -> None:
        """Says channel.close; the core puts back what is not settled."""
        assert self.state is ChannelState.OPEN
        self.state = ChannelState.CLOSING
        self._forget()
        self.outbox.send(self.number, ChannelClose(code, reply_text(code, detail), *method_id))
        self.tell(commands.CloseChannel(self.number))

    def finish(self) -> None:
        """The client said channel.close."""
        self.state = ChannelState.FINISHING
        self._forget()
        self.tell(commands.CloseChannel(self.number))

    def finished(self) -> None:
        """The core has closed a channel that the client wanted closed."""
        self.outbox.send(self.number, ChannelCloseOk())

    def _forget(self) -> None:
        self._owed.clear()
        self._release()


def _held_size(frame: Frame) -> int:
    if isinstance(frame, MessageRun):
        return frame.payload_size
    return len(frame.arguments) if isinstance(frame, MethodFrame) else 0


_REPLIES: dict[type, Callable[[Channel, Any], None]] = {
    replies.Deliver: Channel._receive_delivery,
    replies.Confirm: Channel.receive_confirm,
    replies.Reject: Channel._receive_reject,
    replies.Return: Channel._receive_return,
    replies.ConsumerLost: Channel._receive_loss,
    replies.Done: Channel._receive_answer,
    replies.QueueDeclared: Channel._receive_answer,
    replies.QueueDeleted: Channel._receive_answer,
    replies.QueuePurged: Channel._receive_answer,
    replies.ConsumerStarted: Channel._receive_answer,
    replies.ConsumerCancelled: Channel._receive_answer,
    replies.Got: Channel._receive_answer,
    replies.GotNothing: Channel._receive_answer,
}
CHANNEL_REPLIES = frozenset(_REPLIES)
"""The replies that ``Channel.receive_reply`` takes."""
