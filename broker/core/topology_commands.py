"""What can be asked of the topology, as values that travel in the meta shard's log.

Everything a clock, a random number or a plan decides (ids, shards, generated names, salts) is decided by the proposer
and stands in the command; everything the state decides is decided when it is applied.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from broker.model.arguments import arguments_decoder, arguments_encoder
from broker.model.names import (
    NO_PEER,
    NO_SESSION,
    ClientId,
    ClientSessionId,
    ExchangeName,
    PeerId,
    QueueId,
    QueueName,
    SessionId,
    ShardId,
    UserName,
    VhostName,
)
from broker.model.topology import BindingSpec, ExchangeSpec, QueueSpec
from routing.subscriptions import Subscription

SINCE: dict[type, int] = {}
"""Kinds of commands that came after version 1, and with which: proposed once every node of the cluster has that."""
COMMAND_VERSION = 1
"""The first byte of an encoded command."""


class PasswordHash(msgspec.Struct, frozen=True, gc=False):
    """What SCRAM-SHA-256 keeps of a password (RFC 5802): enough to check it, not enough to log in with."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return "PasswordHash(...)"


class CreateVhost(msgspec.Struct, frozen=True, tag=True):
    """With its predeclared exchanges.  ``retained_shard``: where its retained messages are to be."""

    name: VhostName
    retained_shard: ShardId = ShardId(1)


class DeleteVhost(msgspec.Struct, frozen=True, tag=True):
    """And all that is in it.  Applied.queues_dropped says which queues went."""

    name: VhostName


class PutUser(msgspec.Struct, frozen=True, tag=True):
    """A new user, or all of an old one anew.  Without a password it can't log in by one."""

    name: UserName
    password: PasswordHash | None
    tags: tuple[str, ...] = ()


class DeleteUser(msgspec.Struct, frozen=True, tag=True):
    """And its permissions."""

    name: UserName


class PutPermission(msgspec.Struct, frozen=True, tag=True):
    """Regular expressions (kernel.NamePattern) of the names a user may configure, write and read in a vhost."""

    user: UserName
    vhost: VhostName
    configure: str
    write: str
    read: str


class DeletePermission(msgspec.Struct, frozen=True, tag=True):
    user: UserName
    vhost: VhostName


class DeclareExchange(msgspec.Struct, frozen=True, tag=True):
    vhost: VhostName
    spec: ExchangeSpec


class DeleteExchange(msgspec.Struct, frozen=True, tag=True):
    """And the bindings from it and to it.  ``if_unused``: not while there are bindings from it.

    With ``exchange_id`` only that very exchange, not one that got the name after it.
    """

    vhost: VhostName
    name: ExchangeName
    if_unused: bool = False
    exchange_id: int | None = None


class Bind(msgspec.Struct, frozen=True, tag=True):
    """``session`` is whoever asks: an exclusive queue can only be bound by its owner."""

    vhost: VhostName
    spec: BindingSpec
    session: SessionId = NO_SESSION


class Unbind(msgspec.Struct, frozen=True, tag=True):
    vhost: VhostName
    spec: BindingSpec
    session: SessionId = NO_SESSION


class DeclareQueue(msgspec.Struct, frozen=True, tag=True):
    """``spec.name`` is not empty: for a client that gave none the proposer made one up, and says so (``generated``).

    ``session`` is whoever asks, and the owner if the queue is exclusive.  A new queue gets ``queue_id``, or the next id
    if that may have been given before (as 0 always was); the outcome's row says which it got.
    """

    vhost: VhostName
    spec: QueueSpec
    shard: ShardId
    queue_id: QueueId = QueueId(0)
    generated: bool = False
    session: SessionId = NO_SESSION


class CreateClientSession(msgspec.Struct, frozen=True, tag=True):
    """A client's session, with an id and the id of the queue of what it is sent at QoS 1 and 2; the outcome's row says.

    One that is not durable is its connection's.
    """

    vhost: VhostName
    client_id: ClientId
    user: UserName
    shard: ShardId
    durable: bool


class DeleteClientSession(msgspec.Struct, frozen=True, tag=True):
    """And its subscriptions.  Only that very session, not one that got the client id after it."""

    vhost: VhostName
    client_id: ClientId
    session_id: ClientSessionId
    durable: bool


class PutSubscriptions(msgspec.Struct, frozen=True, tag=True):
    """Of one session, each replacing one with the same filter and share."""

    vhost: VhostName
    subscriptions: tuple[Subscription, ...]
    durable: bool


class DropSubscriptions(msgspec.Struct, frozen=True, tag=True):
    vhost: VhostName
    subscriptions: tuple[Subscription, ...]
    durable: bool


class DeleteQueue(msgspec.Struct, frozen=True, tag=True):
    """The row and its bindings.  Whether the queue is empty and unused its shard has found out before.

    With ``queue_id`` only that very queue, not one that got the name after it.
    """

    vhost: VhostName
    name: QueueName
    queue_id: QueueId | None = None
    session: SessionId = NO_SESSION


class FoundCluster(msgspec.Struct, frozen=True, tag=True):
    """By its first node, which holds the only replica of each shard: 0 (the meta shard) to ``shard_count``.

    ``cluster_id``: CLUSTER_ID_SIZE random bytes.
    """

    cluster_id: bytes
    name: str
    replication_factor: int
    shard_count: int
    peer: PeerId
    node_name: str
    address: str
    zone: str


class PutNode(msgspec.Struct, frozen=True, tag=True):
    """A node, new or changed.  ``replaces``: the member that had its name until now, which is to leave."""

    peer: PeerId
    name: str
    address: str
    zone: str
    replaces: PeerId = NO_PEER
    version: int = 1


class MarkLeaving(msgspec.Struct, frozen=True, tag=True):
    """Its replicas are to move elsewhere; with ``leaving=False`` it may stay after all."""

    peer: PeerId
    leaving: bool = True


class DropNode(msgspec.Struct, frozen=True, tag=True):
    """It has no replicas any more."""

    peer: PeerId


class PutShard(msgspec.Struct, frozen=True, tag=True):
    """Which nodes are to hold a shard's voters, the preferred leader first; only if ``old`` is what stands there.

    A new shard has the next number, and none of old.
    """

    shard: ShardId
    old: tuple[PeerId, ...]
    replicas: tuple[PeerId, ...]


class ReserveName(msgspec.Struct, frozen=True, tag=True):
    """A volatile thing's name (``thing``: its row's key) is a node's while that lives.

    ``over``: from which node it may be taken (peer, incarnation), since that is gone.
    """

    vhost: VhostName
    thing: bytes
    peer: PeerId
    incarnation: int
    over: tuple[int, int]


class FreeName(msgspec.Struct, frozen=True, tag=True):
    """What a node reserved it needs no more."""

    thing: bytes
    peer: PeerId
    incarnation: int


class FreeNames(msgspec.Struct, frozen=True, tag=True):
    """All that a node reserved before this incarnation."""

    peer: PeerId
    incarnation: int


class Touch(msgspec.Struct, frozen=True, tag=True):
    """Changes nothing; whoever asked knows, once it is applied, all that was committed before."""


TopologyCommand: TypeAlias = (
    CreateVhost
    | DeleteVhost
    | PutUser
    | DeleteUser
    | PutPermission
    | DeletePermission
    | DeclareExchange
    | DeleteExchange
    | Bind
    | Unbind
    | DeclareQueue
    | DeleteQueue
    | CreateClientSession
    | DeleteClientSession
    | PutSubscriptions
    | DropSubscriptions
    | FoundCluster
    | PutNode
    | MarkLeaving
    | DropNode
    | PutShard
    | ReserveName
    | FreeName
    | FreeNames
    | Touch
)

_decoder = arguments_decoder(TopologyCommand)


def encode_command(command: TopologyCommand) -> bytes:
    """The same bytes for the same command."""
    return bytes((COMMAND_VERSION,)) + arguments_encoder.encode(command)


def decode_command(data: bytes) -> TopologyCommand:
    """Raises ValueError for what encode_command of this version or an earlier one did not write."""
    if data[:1] != bytes((COMMAND_VERSION,)):
        version = data[:1].hex() or "none"
        raise ValueError(f"a topology command of version {version}; this broker knows {COMMAND_VERSION}")
    command: TopologyCommand = _decoder.decode(data[1:])
    return command
