"""A client that is connected: its frames to commands, the core's replies to frames.

What a frame does stands in one table (``COMMANDS``), what a reply does in another (``REPLIES``).  Messages and
acknowledgements pass in runs; nothing here loops over one.

What must take effect in order is asked on one channel of the core, ``CONNECTION``: queues are made and bound, messages
sent, transactions committed.  So a SEND behind a SUBSCRIBE to the same topic reaches it.  Consuming and settling have a
channel for each subscription.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from broker.model import commands, replies
from broker.model.commands import Command, Outcome
from broker.model.names import Channel, QueueName
from broker.model.topology import QueueSpec
from kernel import (
    DESTINATION_AMQ_QUEUE,
    DESTINATION_QUEUE,
    FLAG_HAS_USER_ID,
    MessageRun,
    Sends,
    SettleKind,
    Settlement,
    StompFrame,
    encode_messages,
    replace_reply_to,
)
from protocols.stomp.headers import Headers, boolean, read_headers
from protocols.stomp.outbox import Outbox
from protocols.stomp.queue_parameters import queue_spec
from protocols.stomp.receipts import OwedReceipts
from protocols.stomp.refusals import ERRORS
from protocols.stomp.settings import DECLARED_MAX, StompSettings
from protocols.stomp.subscribing import (
    PRIVATE_PREFIX,
    SUBSCRIBE,
    TEMP_PREFIX,
    is_durable,
    read_id,
    read_subscribe,
    subscription_key,
    temp_queue,
)
from protocols.stomp.subscriptions import Subscription, Subscriptions
from protocols.stomp.transactions import Transactions
from protocols.stomp.version import Version
from protocols.stomp.violation import ProtocolViolation, missing_header

CONNECTION = Channel(0)
SEND, UNSUBSCRIBE, COMMIT = "SEND", "UNSUBSCRIBE", "COMMIT"
REPLY_QUEUE_PREFIX = b"/reply-queue/"


class Owed(msgspec.Struct, frozen=True):
    """An answer of the core's on ``CONNECTION``: whose it is, and what follows from it."""

    command: str
    receipt_id: bytes
    answer: Callable[[], None]
    tag: int = 0
    """Of the SEND that it is for, which may have a receipt id."""


def _nothing() -> None:
    """Of several commands it is the last whose answer counts."""


class Client:
    """What is there between CONNECTED and the end."""

    __slots__ = (
        "_declared",
        "_leaving",
        "_outbox",
        "_outcomes",
        "_owed",
        "_receipts",
        "_settings",
        "_subscriptions",
        "_transactions",
        "_user",
        "_version",
        "leaving",
    )

    def __init__(self, outbox: Outbox, version: Version, user: str, session: str, settings: StompSettings) -> None:
        """``session``: nobody else's; names of queues are made of it."""
        self._outbox = outbox
        self._version = version
        self._user = user.encode()
        self._settings = settings
        self._receipts = OwedReceipts(version)
        self._subscriptions = Subscriptions(session, version, settings.subscriptions_max)
        self._transactions = Transactions(settings)
        self._declared: set[tuple[bytes, tuple[tuple[bytes, bytes], ...]]] = set()
        """Queues that are there, by name and by the parameters that they were asked for with."""
        self._owed: deque[Owed] = deque()
        self._outcomes = {
            SettleKind.ACK: Outcome.ACCEPTED,
            SettleKind.REJECT: Outcome.REJECTED,
            SettleKind.NACK_REQUEUE: Outcome.REQUEUED,
            SettleKind.NACK: Outcome.REQUEUED if settings.default_nack_requeue else Outcome.REJECTED,
        }
        self.leaving = False
        """It said DISCONNECT."""
        self._leaving: int | None = None
        """The receipt that it asked for then."""

    # Frames.

    def receive_frame(self, frame: StompFrame) -> None:
        """Any but SENDs and plain acknowledgements.  Raises ProtocolViolation."""
        headers = read_headers(frame)
        receipt_id = headers.get("receipt", "").encode()
        command = frame.command.decode()
        try:
            COMMANDS[command](self, headers, receipt_id, frame)
        except ProtocolViolation as violation:
            violation.receipt_id = receipt_id
            raise

    def receive_settlement(self, settlement: Settlement) -> None:
        """ACK or NACK, many together.  Raises ProtocolViolation."""
        subscription, last = self._subscriptions.acknowledged(settlement.channel, settlement.last)
        if last >= settlement.first:
            outcome = self._outcomes[settlement.kind]
            self._outbox.commands.append(subscription.settle(settlement.first, last, outcome))
        if last < settlement.last:
            raise _never_sent(last + 1)

    def receive_sends(self, sends: Sends) -> None:
        """SENDs, many together; those before a bad one are published as if they had come alone.

        Raises ProtocolViolation.
        """
        messages = sends.messages
        first_tag = self._receipts.add_sends(sends.receipts, messages.count)
        bad = None
        if messages.flags & FLAG_HAS_USER_ID:
            bad = messages.first_with_other_user(self._user)
        try:
            if sends.transaction:
                self._hold(sends, bad, first_tag)
            elif bad != 0:
                messages = self._prepared(sends, bad, first_tag)
                self._outbox.commands.append(commands.Publish(CONNECTION, messages, first_tag))
        except ProtocolViolation as violation:
            if not violation.receipt_id:
                violation.receipt_id = self._receipt_of(first_tag)
            raise
        if bad is not None:
            detail = f"user-id: it must be the user that is logged in, '{self._user.decode()}'"
            raise ProtocolViolation("Invalid header", detail, self._receipt_of(first_tag and first_tag + bad))

    def _hold(self, sends: Sends, bad: int | None, first_tag: int) -> None:
        """Until COMMIT; a receipt says that it is held."""
        transaction = self._transactions.find(sends.transaction.decode())
        if bad == 0:
            return
        messages = self._prepared(sends, bad, first_tag)
        excess = self._transactions.publish(transaction, messages)
        held = messages.count if excess is None else excess
        if first_tag and held:
            self._receipts.confirm([(first_tag, first_tag + held - 1)])
        if excess is not None:
            violation = self._transactions.exceeded()
            violation.receipt_id = self._receipt_of(first_tag and first_tag + excess)
            raise violation

    def _receipt_of(self, tag: int) -> bytes:
        """What the message of this tag asked as receipt, which it gets in ERROR only."""
        return (self._receipts.reject([(tag, tag)]) or b"") if tag else b""

    def _prepared(self, sends: Sends, end: int | None, first_tag: int) -> MessageRun:
        """The messages before ``end``, once what they need to be there was asked for.  Raises ProtocolViolation."""
        messages = sends.messages if end is None else sends.messages.before(end)
        if sends.kind in (DESTINATION_QUEUE, DESTINATION_AMQ_QUEUE):
            self._declare(sends, messages, first_tag)
        if sends.temp_queue:
            queue = self._temp_queue(sends.temp_queue.decode(), first_tag)
            messages = replace_reply_to(messages, REPLY_QUEUE_PREFIX + queue)
        return messages

    def _declare(self, sends: Sends, messages: MessageRun, first_tag: int) -> None:
        """Queues of /queue/ are made when something is first sent to them; those of /amq/queue/ must be there."""
        parameters = tuple(sends.parameters)
        first = 0
        for place, key in enumerate(messages.keys()):
            name = key[1]
            if (name, parameters) in self._declared:
                continue
            while messages.key(first) != place:
                first += 1  # never back: keys stand in the order in which they first come
            given = {header.decode(): value.decode() for header, value in parameters}
            passive = sends.kind == DESTINATION_AMQ_QUEUE
            queue = QueueName(name.decode())
            spec = QueueSpec(queue) if passive else queue_spec(queue, given, durable=True)
            owed = Owed(SEND, b"", _nothing, first_tag and first_tag + first)
            self._ask(commands.DeclareQueue(CONNECTION, spec, passive), owed)
            self._remember(name, parameters)

    def _remember(self, name: bytes, parameters: tuple[tuple[bytes, bytes], ...]) -> None:
        """Who asks for no parameters takes the queue as it is."""
        if len(self._declared) >= DECLARED_MAX:
            self._declared.clear()
        self._declared |= {(name, parameters), (name, ())}

    def _forget(self, name: bytes) -> None:
        """The queue may be gone."""
        self._declared = {known for known in self._declared if known[0] != name}

    def _temp_queue(self, name: str, tag: int) -> bytes:
        """The queue behind ``/temp-queue/<name>``, made and subscribed to when it is first named."""
        asked = temp_queue(name, self._subscriptions.next_name(TEMP_PREFIX))
        subscription = self._subscriptions.find(asked.key)
        if subscription is None:
            subscription = self._subscriptions.add(asked)
            self._set_up(subscription, SEND, tag)
        return subscription.asked.queue.name.encode()

    # Subscriptions.

    def _subscribe(self, headers: Headers, receipt_id: bytes, frame: StompFrame) -> None:
        private_name = self._subscriptions.next_name(PRIVATE_PREFIX)
        asked = read_subscribe(headers, self._version, self._settings, private_name)
        subscription = self._subscriptions.add(asked)
        subscription.receipt = self._receipts.add(receipt_id)
        subscription.receipt_id = receipt_id
        if asked.exchange is None:
            self._remember(asked.queue.name.encode(), ())
        self._set_up(subscription, SUBSCRIBE)

    def _set_up(self, subscription: Subscription, command: str, tag: int = 0) -> None:
        asked = subscription.asked
        steps: list[Command] = [commands.DeclareQueue(CONNECTION, asked.queue, asked.passive)]
        if asked.binding is not None:
            steps.append(commands.Bind(CONNECTION, asked.binding))
        for step in steps:
            answer = _nothing if step is not steps[-1] else lambda: self._start(subscription)
            self._ask(step, Owed(command, subscription.receipt_id, answer, tag))

    def _start(self, subscription: Subscription) -> None:
        """Its queue is there."""
        if subscription.unsubscribing:
            self._receipts.finish(subscription.receipt)
            self._subscriptions.remove(subscription)
            return
        asked, channel = subscription.asked, subscription.channel
        subscription.started = True
        consume = commands.Consume(
            channel=channel,
            consumer_tag=subscription.consumer_tag,
            queue=asked.queue.name,
            no_ack=not subscription.wants_ack,
            credit=asked.prefetch_count if subscription.wants_ack and asked.prefetch_count else None,
            arguments=asked.arguments,
        )
        self._outbox.commands += [commands.OpenChannel(channel), consume]

    def _unsubscribe(self, headers: Headers, receipt_id: bytes, frame: StompFrame) -> None:
        id = read_id(headers, self._version, UNSUBSCRIBE)
        destination = headers.get("destination", "")
        if id is None and not destination:
            raise missing_header(UNSUBSCRIBE, "id", " or destination")
        subscription = self._subscriptions.find(subscription_key(id, destination))
        if subscription is None:
            detail = f"there is no subscription '{destination if id is None else id}'"
            raise ProtocolViolation("No subscription found", detail)
        asked = subscription.asked
        keeps = boolean(headers, "auto-delete", False) or not is_durable(headers)
        number = self._receipts.add(receipt_id)
        self._subscriptions.unsubscribe(subscription)
        self._forget(asked.queue.name.encode())
        delete = asked.durable and not keeps
        if subscription.started:
            self._outbox.commands.append(commands.CloseChannel(subscription.channel))
        else:
            # Nobody consumed from it, so it doesn't go by itself.
            delete = delete or (asked.queue.exclusive and asked.queue.auto_delete)
        if delete:
            owed = Owed(UNSUBSCRIBE, receipt_id, lambda: self._receipts.finish(number))
            self._ask(commands.DeleteQueue(CONNECTION, asked.queue.name), owed)
        elif subscription.started:
            subscription.unsubscribed = number
        else:
            self._receipts.finish(number)

    def _acknowledge(self, headers: Headers, receipt_id: bytes, frame: StompFrame) -> None:
        """One with a receipt or in a transaction."""
        settlement = frame.settlement
        assert settlement is not None
        subscription, last = self._subscriptions.acknowledged(settlement.channel, settlement.last)
        if last < settlement.last:
            raise _never_sent(settlement.last)
        settle = subscription.settle(settlement.first, last, self._outcomes[settlement.kind])
        name = headers.get("transaction")
        if name is None:
            self._outbox.commands.append(settle)
        else:
            self._transactions.settle(self._transactions.find(name), settle)
        self._receipts.finish(self._receipts.add(receipt_id))

    # Transactions.

    def _begin(self, headers: Headers, receipt_id: bytes, frame: StompFrame) -> None:
        self._transactions.begin(_transaction(headers, "BEGIN"))
        self._receipts.finish(self._receipts.add(receipt_id))

    def _abort(self, headers: Headers, receipt_id: bytes, frame: StompFrame) -> None:
        self._transactions.end(_transaction(headers, "ABORT"))
        self._receipts.finish(self._receipts.add(receipt_id))

    def _commit(self, headers: Headers, receipt_id: bytes, frame: StompFrame) -> None:
        transaction = self._transactions.end(_transaction(headers, COMMIT))
        for settle in transaction.settlements:
            self._subscriptions.acknowledged(settle.channel, settle.last)
        number = self._receipts.add(receipt_id)
        if transaction.action_count:
            commit = commands.CommitTransaction(CONNECTION, transaction.publishes, transaction.settlements)
            self._ask(commit, Owed(COMMIT, receipt_id, lambda: self._receipts.finish(number)))
        else:
            self._receipts.finish(number)

    # The end.

    def _disconnect(self, headers: Headers, receipt_id: bytes, frame: StompFrame) -> None:
        self._leaving = self._receipts.add(receipt_id)
        self.leaving = True

    @property
    def settled(self) -> bool:
        """All that a client that leaves has asked before is done."""
        return not self._owed and len(self._receipts) == (self._leaving is not None)

    def leave(self) -> None:
        """The core has closed the session."""
        self._receipts.finish(self._leaving)

    def write_receipts(self) -> None:
        """Those that are due go out."""
        if len(self._receipts):
            due = self._receipts.take()
            if due:
                self._outbox.output.append(due)

    # Replies.

    def _ask(self, command: Command, owed: Owed) -> None:
        self._outbox.commands.append(command)
        self._owed.append(owed)

    def _receive_answer(self, reply: Any) -> None:
        self._owed.popleft().answer()

    def _receive_delivery(self, reply: replies.Deliver) -> None:
        """What comes behind UNSUBSCRIBE and is to be acknowledged goes back to its queue; the rest is the client's."""
        subscription = self._subscriptions.addressed(reply.channel)
        if subscription is None or (subscription.unsubscribing and subscription.wants_ack):
            return
        subscription.last_tag = reply.first_tag + reply.deliveries.count - 1
        self._outbox.output.append(encode_messages(reply.deliveries, reply.first_tag, subscription.encoder))

    def _receive_started(self, reply: replies.ConsumerStarted) -> None:
        subscription = self._subscriptions.addressed(reply.channel)
        assert subscription is not None, "its channel isn't closed"
        self._receipts.finish(subscription.receipt)
        subscription.consuming = True

    def _receive_closed(self, reply: replies.ChannelClosed) -> None:
        subscription = self._subscriptions.addressed(reply.channel)
        assert subscription is not None, "a channel is closed once"
        self._receipts.finish(subscription.unsubscribed)
        self._subscriptions.remove(subscription)

    def _receive_confirm(self, reply: replies.Confirm) -> None:
        self._receipts.confirm(reply.tags)

    def _receive_reject(self, reply: replies.Reject) -> None:
        receipt_id = self._receipts.reject(reply.tags)
        if receipt_id is not None:
            error = ERRORS[reply.refusal]
            raise ProtocolViolation(error.message, f"SEND: {error.remedy}", receipt_id)

    def _receive_loss(self, reply: replies.ConsumerLost) -> None:
        subscription = self._subscriptions.addressed(reply.channel)
        if subscription is None or subscription.unsubscribing:
            return
        asked = subscription.asked
        detail = f"the queue '{asked.queue.name}' of the subscription to {asked.destination} is gone"
        raise ProtocolViolation("Server cancelled subscription", detail, subscription=asked.id)

    def _receive_refusal(self, reply: replies.Refuse) -> None:
        """The broker's no ends the connection: STOMP has no smaller answer."""
        error = ERRORS[reply.refusal]
        command, receipt_id = self._refused(reply)
        raise ProtocolViolation(error.message, f"{command}: {reply.detail}\n{error.remedy}", receipt_id)

    def _refused(self, reply: replies.Refuse) -> tuple[str, bytes]:
        """Which frame it answers, and what that asked as receipt."""
        if reply.channel != CONNECTION:
            subscription = self._subscriptions.addressed(reply.channel)
            if subscription is not None and not subscription.consuming:
                return SUBSCRIBE, subscription.receipt_id
            return "ACK or NACK", b""
        if reply.tag is not None:
            return SEND, self._receipt_of(reply.tag)
        owed = self._owed.popleft()
        return owed.command, owed.receipt_id or self._receipt_of(owed.tag)

    def receive_reply(self, reply: Any) -> None:
        """Raises ProtocolViolation: what it says ends the connection."""
        REPLIES[type(reply)](self, reply)


def _transaction(headers: Headers, command: str) -> str:
    name = headers.get("transaction")
    if not name:
        raise missing_header(command, "transaction")
    return name


def _never_sent(tag: int) -> ProtocolViolation:
    return ProtocolViolation("Message not found", f"its subscription was sent no message {tag} yet")


COMMANDS: Mapping[str, Callable[[Client, Headers, bytes, StompFrame], None]] = {
    "SUBSCRIBE": Client._subscribe,
    "UNSUBSCRIBE": Client._unsubscribe,
    "ACK": Client._acknowledge,
    "NACK": Client._acknowledge,
    "BEGIN": Client._begin,
    "COMMIT": Client._commit,
    "ABORT": Client._abort,
    "DISCONNECT": Client._disconnect,
}
"""What a frame does once the client is connected; SENDs, and ACKs and NACKs without headers of their own, come in
runs."""

REPLIES: Mapping[type, Callable[[Client, Any], None]] = {
    replies.Deliver: Client._receive_delivery,
    replies.Confirm: Client._receive_confirm,
    replies.Reject: Client._receive_reject,
    replies.Done: Client._receive_answer,
    replies.QueueDeclared: Client._receive_answer,
    replies.QueueDeleted: Client._receive_answer,
    replies.ConsumerStarted: Client._receive_started,
    replies.ConsumerLost: Client._receive_loss,
    replies.ChannelClosed: Client._receive_closed,
    replies.Refuse: Client._receive_refusal,
}
"""What a reply of the core does then."""
