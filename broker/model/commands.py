"""What an adapter asks of the core.

The commands of one channel take effect in order, and those that are answered are answered in that
order, so that nobody needs a correlation id; confirms and deliveries run free.  Each docstring
ends with the reply.  Any of them may be answered by ``Refuse`` instead.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from broker.model import client_sessions
from broker.model.names import (
    Channel,
    ConsumerTag,
    DeliveryTag,
    ExchangeName,
    QueueName,
    UserName,
    VhostName,
)
from broker.model.scram import ClientFirst
from broker.model.topology import Arguments, BindingSpec, ExchangeSpec, QueueSpec
from kernel import MessageRun

NO_TAG = DeliveryTag(0)


class Outcome(enum.IntEnum):
    """How a delivery ended.  The numbers are the log's."""

    ACCEPTED = 0
    REJECTED = 1
    REQUEUED = 2


class Authenticate(msgspec.Struct, frozen=True, gc=False, tag=True):
    """-> Authenticated, or Refuse LOGIN_REFUSED."""

    user: UserName
    password: bytes
    loopback: bool

    def __repr__(self) -> str:
        """A password is never shown."""
        return f"Authenticate({self.user!r}, loopback={self.loopback})"


class BeginScram(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The first message of a SCRAM-SHA-256 login -> ScramChallenge, whether there is such a user or not.

    ``user``: whom the protocol takes the message's user name for.
    """

    user: UserName
    client_first: ClientFirst
    loopback: bool


class ContinueScram(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The client's last message, after ScramChallenge -> Authenticated, or Refuse LOGIN_REFUSED.

    Who has logged in may do so again, as the same user.
    """

    data: bytes

    def __repr__(self) -> str:
        """Passwords can be tried on a proof."""
        return "ContinueScram(...)"


class OpenVhost(msgspec.Struct, frozen=True, gc=False, tag=True):
    """-> VhostOpened."""

    vhost: VhostName


class OpenChannel(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Not answered."""

    channel: Channel


class CloseChannel(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Requeues what is unsettled; once all earlier settles are committed -> ChannelClosed."""

    channel: Channel


class CloseSession(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The client said goodbye; once all earlier settles are committed -> SessionClosed."""


class DeclareExchange(msgspec.Struct, frozen=True, tag=True):
    """-> Done."""

    channel: Channel
    spec: ExchangeSpec
    passive: bool = False


class DeleteExchange(msgspec.Struct, frozen=True, tag=True):
    """-> Done."""

    channel: Channel
    name: ExchangeName
    if_unused: bool = False


class Bind(msgspec.Struct, frozen=True, tag=True):
    """-> Done."""

    channel: Channel
    spec: BindingSpec


class Unbind(msgspec.Struct, frozen=True, tag=True):
    """-> Done."""

    channel: Channel
    spec: BindingSpec


class DeclareQueue(msgspec.Struct, frozen=True, tag=True):
    """-> QueueDeclared."""

    channel: Channel
    spec: QueueSpec
    passive: bool = False


class DeleteQueue(msgspec.Struct, frozen=True, tag=True):
    """-> QueueDeleted."""

    channel: Channel
    name: QueueName
    if_unused: bool = False
    if_empty: bool = False


class PurgeQueue(msgspec.Struct, frozen=True, tag=True):
    """-> QueuePurged."""

    channel: Channel
    name: QueueName


class Publish(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A run of messages from one publisher, in order; those that are mandatory and unroutable come back as Return.

    With ``first_tag`` (from 1): every message's tag, counted on from there, comes back once in a
    Confirm or a Reject.
    """

    channel: Channel
    messages: MessageRun
    first_tag: int = 0


class Consume(msgspec.Struct, frozen=True, tag=True):
    """-> ConsumerStarted; deliveries follow as credit allows.

    ``credit``: how many may be unsettled at a time (None: no bound).  A consumer with ``no_ack``
    settles by being delivered to and needs no credit.  An empty tag asks for one of the broker's making.
    """

    channel: Channel
    consumer_tag: ConsumerTag
    queue: QueueName
    no_ack: bool = False
    exclusive: bool = False
    no_local: bool = False
    credit: int | None = None
    arguments: Arguments = {}


class SetChannelCredit(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Bounds what all of a channel's consumers hold unsettled together (basic.qos global; None: no bound).

    Not answered.
    """

    channel: Channel
    credit: int | None


class Cancel(msgspec.Struct, frozen=True, gc=False, tag=True):
    """-> ConsumerCancelled, also for an unknown tag.  What was delivered stays to be settled."""

    channel: Channel
    consumer_tag: ConsumerTag


class Get(msgspec.Struct, frozen=True, gc=False, tag=True):
    """-> Got or GotNothing."""

    channel: Channel
    queue: QueueName
    no_ack: bool = False


class Settle(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Settles the deliveries ``first`` to ``last`` of a channel; ``first`` 0 is "all so far through ``last``",
    and both 0 "all so far".  Not answered unless refused (PRECONDITION_FAILED, unknown delivery tag)."""

    channel: Channel
    first: DeliveryTag
    last: DeliveryTag
    outcome: Outcome


class Recover(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Requeues everything unsettled of a channel -> Done."""

    channel: Channel


class CommitTransaction(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Publishes and settles all of this, or nothing -> Done once that is committed, or Refuse and nothing has happened.

    ``publishes``: runs of one origin, in order; mandatory messages that are unroutable come back as Return before Done.
    ``settlements`` may be of other channels of the session, and are looked at in turn.  What the channel says after
    it follows it.  There are at most ``committing.TRANSACTION_ACTION_COUNT_MAX`` messages and settlements, of
    ``TRANSACTION_SIZE_MAX`` bytes.
    """

    channel: Channel
    publishes: Sequence[MessageRun]
    settlements: Sequence[Settle]


Command: TypeAlias = (
    Publish
    | Settle
    | Authenticate
    | BeginScram
    | ContinueScram
    | OpenVhost
    | OpenChannel
    | CloseChannel
    | CloseSession
    | DeclareExchange
    | DeleteExchange
    | Bind
    | Unbind
    | DeclareQueue
    | DeleteQueue
    | PurgeQueue
    | Consume
    | SetChannelCredit
    | Cancel
    | Get
    | Recover
    | CommitTransaction
    | client_sessions.AuthenticateAnonymous
    | client_sessions.AttachSession
    | client_sessions.DetachSession
    | client_sessions.Subscribe
    | client_sessions.Unsubscribe
    | client_sessions.PublishOnce
    | client_sessions.Release
    | client_sessions.Acknowledge
)
