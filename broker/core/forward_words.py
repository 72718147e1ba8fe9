"""What a node's fronts and the leaders of shards on other nodes tell each other: values that travel.

Each names the shard and the term of its leader, so that what was said to one leader, or by one, never passes for
what concerns the next.  A queue's volatile shard is led by its node for as long as that lives: its term is the node's
incarnation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from broker.core.numbered import Numbered
from broker.core.outcomes import Refused
from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ClientSessionId, SessionId, ShardId, UserName, VhostName
from kernel import DeliveryRun, Grant, MessageRun, PacketIds


class LookUpRetained(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A page of the retained messages whose topics match, from a place on -> RetainedPage."""

    filter: str
    place: bytes


class AwaitMoves(msgspec.Struct, frozen=True, gc=False, tag=True):
    """-> Done, once all that an outbox holds now has arrived where it goes."""

    of: ShardId
    outbox: int


class RetainedPage(msgspec.Struct, frozen=True, gc=False, tag=True):
    """``place``: where to go on; None: that was all."""

    runs: Sequence[MessageRun]
    place: bytes | None


AskedCommand: TypeAlias = (
    c.DeclareQueue
    | c.DeleteQueue
    | c.PurgeQueue
    | c.Get
    | c.Bind
    | c.Unbind
    | c.DeleteExchange
    | LookUpRetained
    | AwaitMoves
)
"""What a session may ask of the leader of a queue's shard; of declarations the passive ones.

Bindings and exchanges that are volatile are asked of their node.
"""
AskedReply: TypeAlias = (
    r.QueueDeclared | r.QueueDeleted | r.QueuePurged | r.Got | r.GotNothing | r.Done | r.Refuse | RetainedPage
)


class ConsumerSpec(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A consumer of another node.  ``key``: that node's number for it.

    ``count`` and ``size``: how many messages, and bytes of them, it may be delivered from here on in all.
    Of a queue with a single active consumer: ``fence``, as it last had it, and whether it still ``holds`` messages.
    """

    key: int
    queue_id: int
    no_ack: bool
    exclusive: bool
    priority: int
    count: int
    size: int
    fence: int = 0
    holds: bool = False


class Greeting(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """You are up for me now; what you told me before is lost, so tell me what you lead and what there is.

    ``answer``: it answers a greeting, and is one that comes second.
    """

    shard: ShardId
    answer: bool


class Leading(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """I lead the shard, and serve: attach."""

    shard: ShardId
    term: int


class Attach(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """My clients hold these ranges (queue, first, last), and consume so.

    ``unsettled``: what my commands of these numbers settle, (number, queue, first, last), unless they are applied.
    ``number``: of this word, for its answer; 0: who says it gives them none.
    """

    shard: ShardId
    term: int
    claims: Sequence[tuple[int, int, int]]
    consumers: Sequence[ConsumerSpec]
    unsettled: Sequence[tuple[int, int, int, int]] = ()
    number: int = 0


class Attached(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """All that you said through this number is applied; say the rest.

    ``number``: of the Attach; 0: it had none, or who says this knows of none.
    """

    shard: ShardId
    term: int
    through: int
    number: int = 0


class Commands(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """In order, without gaps."""

    shard: ShardId
    term: int
    numbered: Sequence[Numbered]


class Applied(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """All that you said through this number is applied, but these records of publishes that queues rejected."""

    shard: ShardId
    term: int
    through: int
    rejected: Sequence[tuple[int, Sequence[int]]] = ()


class Synced(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """All that you said through this number is on my disk, less what queues rejected."""

    shard: ShardId
    term: int
    through: int
    rejected: Sequence[tuple[int, Sequence[int]]] = ()


class Consume(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """A new consumer -> Consuming."""

    shard: ShardId
    term: int
    consumer: ConsumerSpec


class Consuming(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """``refused``: why it may not; None: it is there."""

    shard: ShardId
    term: int
    key: int
    refused: Refused | None


class Allow(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """What consumers may be delivered in all since they came: (key, messages, bytes)."""

    shard: ShardId
    term: int
    allowances: Sequence[tuple[int, int, int]]


class Cancel(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """The consumer is gone; what it was delivered stays to be settled."""

    shard: ShardId
    term: int
    key: int


class Delivered(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """Messages of these sequences (first, last) for a consumer; ``size``: about what they take on the wire.

    ``fence``: of the consumer, if it is the single active one of its queue.
    """

    shard: ShardId
    term: int
    key: int
    queue_id: int
    no_ack: bool
    sequences: Sequence[tuple[int, int]]
    count: int
    size: int
    deliveries: DeliveryRun
    fence: int = 0


class Ask(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """A session's command about one queue -> Answer.  ``meta_index``: the topology it was asked by, at least."""

    shard: ShardId
    term: int
    number: int
    session: SessionId
    user: UserName
    vhost: VhostName
    meta_index: int
    command: AskedCommand


class Answer(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """``sequences``: of what was got, to be settled by the asker: (queue, first, last)."""

    shard: ShardId
    term: int
    number: int
    reply: AskedReply
    sequences: Sequence[tuple[int, int, int]] = ()


class Seen(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """I route by the topology of this index of the meta shard."""

    shard: ShardId
    index: int


class Announce(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """Volatile things of mine (key, row; None: gone) -> Announced.

    ``whole``: what is not told again is gone, and forgotten; ``more``: the next word tells on what there is.
    ``meta_index``: of the topology on which they hang.
    """

    shard: ShardId
    number: int
    meta_index: int
    whole: bool
    more: bool
    rows: Sequence[tuple[bytes, bytes | None]]


class Announced(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """I route to them."""

    shard: ShardId
    number: int


class LetGo(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """A client of this volatile session of yours came to me: end it."""

    shard: ShardId
    term: int
    session: ClientSessionId


class RelayOpen(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """A client of mine has, or is to have, its session in your shard."""

    shard: ShardId
    term: int
    number: int
    user: UserName
    vhost: VhostName


RelayedCommand: TypeAlias = (
    cs.AttachSession
    | cs.DetachSession
    | cs.Subscribe
    | cs.Unsubscribe
    | cs.PublishOnce
    | cs.Release
    | cs.Acknowledge
    | c.Publish
    | c.CloseSession
)


class RelaySay(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """What the client wants, in order -> RelayReplies."""

    shard: ShardId
    term: int
    number: int
    commands: Sequence[RelayedCommand]


class RelayDrained(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """What was delivered to the client has left: there is room again."""

    shard: ShardId
    term: int
    number: int


class RelayClose(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """The client is gone."""

    shard: ShardId
    term: int
    number: int


class RelayedDeliveries(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A DeliverPublishes; ``one``: its only grant is for all."""

    deliveries: DeliveryRun
    packet_ids: PacketIds | None
    grants: Sequence[Grant]
    one: bool


RelayedReply: TypeAlias = (
    RelayedDeliveries
    | cs.SessionAttached
    | cs.SessionTaken
    | cs.Subscribed
    | cs.Unsubscribed
    | cs.Released
    | cs.ReleaseDue
    | r.Confirm
    | r.Reject
    | r.Refuse
    | r.Return
    | r.Block
    | r.Unblock
    | r.SessionClosed
    | r.CloseConnection
)


class RelayReplies(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """What the client is told, in order."""

    shard: ShardId
    term: int
    number: int
    replies: Sequence[RelayedReply]


ForwardWord: TypeAlias = (
    Greeting
    | Seen
    | Announce
    | Announced
    | Leading
    | Attach
    | Attached
    | Commands
    | Applied
    | Synced
    | Consume
    | Consuming
    | Allow
    | Cancel
    | Delivered
    | Ask
    | Answer
    | LetGo
    | RelayOpen
    | RelaySay
    | RelayDrained
    | RelayClose
    | RelayReplies
)
