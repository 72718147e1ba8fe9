"""What the core tells an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from broker.model import client_sessions
from broker.model.names import Channel, ConsumerTag, DeliveryTag, QueueName
from broker.model.refusals import Refusal
from kernel import DeliveryRun, MessageRun

TagRange: TypeAlias = tuple[int, int]
"""First and last, both included."""


class Authenticated(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The user is who it says.  ``data``: what the client is to be told then, in SCRAM the server's own proof."""

    data: bytes = b""


class ScramChallenge(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The server's first message."""

    data: bytes


class VhostOpened(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The session is in its vhost."""


class Done(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The oldest unanswered command of the channel took effect."""

    channel: Channel


class ChannelClosed(msgspec.Struct, frozen=True, gc=False, tag=True):
    channel: Channel


class SessionClosed(msgspec.Struct, frozen=True, gc=False, tag=True):
    """All that the session settled is committed; it may hang up."""


class QueueDeclared(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Counts are of ready messages and of consumers."""

    channel: Channel
    name: QueueName
    message_count: int
    consumer_count: int


class QueueDeleted(msgspec.Struct, frozen=True, gc=False, tag=True):
    channel: Channel
    message_count: int


class QueuePurged(msgspec.Struct, frozen=True, gc=False, tag=True):
    channel: Channel
    message_count: int


class ConsumerStarted(msgspec.Struct, frozen=True, gc=False, tag=True):
    channel: Channel
    consumer_tag: ConsumerTag


class ConsumerCancelled(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Answers Cancel."""

    channel: Channel
    consumer_tag: ConsumerTag


class ConsumerLost(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The broker cancelled the consumer: its queue is gone."""

    channel: Channel
    consumer_tag: ConsumerTag


class Deliver(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Messages for one consumer; their delivery tags count on from ``first_tag``."""

    channel: Channel
    consumer_tag: ConsumerTag
    first_tag: DeliveryTag
    deliveries: DeliveryRun


class Got(msgspec.Struct, frozen=True, gc=False, tag=True):
    """One message; ``message_count`` more are ready in the queue."""

    channel: Channel
    tag: DeliveryTag
    deliveries: DeliveryRun
    message_count: int


class GotNothing(msgspec.Struct, frozen=True, gc=False, tag=True):
    channel: Channel


class Return(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Messages that could not be routed; they come before their Confirm."""

    channel: Channel
    refusal: Refusal
    detail: str
    messages: MessageRun


class Confirm(msgspec.Struct, frozen=True, gc=False, tag=True):
    """These publishes are safe: for a persistent message, committed."""

    channel: Channel
    tags: Sequence[TagRange]


class Reject(msgspec.Struct, frozen=True, gc=False, tag=True):
    """These publishes were not taken: by at least one queue, or for another reason."""

    channel: Channel
    tags: Sequence[TagRange]
    refusal: Refusal = Refusal.RESOURCE_ERROR


class Refuse(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The broker's no to the oldest unanswered command of the channel, or to one that has no answer.

    What is held back behind it on its channel, but CloseChannel and CloseSession, comes to nothing.  ``tag``: of the
    message that is refused, if it is a Publish; 0: it has none.
    """

    channel: Channel
    refusal: Refusal
    detail: str
    tag: int | None = None


class Block(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The broker can't take publishes at present."""

    reason: str


class Unblock(msgspec.Struct, frozen=True, gc=False, tag=True):
    """It can again."""


class CloseConnection(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The broker ends the connection: shutdown, or an operator."""

    detail: str


Reply: TypeAlias = (
    Deliver
    | Confirm
    | Reject
    | Return
    | Refuse
    | Done
    | Authenticated
    | ScramChallenge
    | VhostOpened
    | ChannelClosed
    | SessionClosed
    | QueueDeclared
    | QueueDeleted
    | QueuePurged
    | ConsumerStarted
    | ConsumerCancelled
    | ConsumerLost
    | Got
    | GotNothing
    | Block
    | Unblock
    | CloseConnection
    | client_sessions.SessionAttached
    | client_sessions.SessionTaken
    | client_sessions.Subscribed
    | client_sessions.Unsubscribed
    | client_sessions.Released
    | client_sessions.ReleaseDue
    | client_sessions.DeliverPublishes
)
