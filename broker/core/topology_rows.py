"""The topology as rows of bytes: what a checkpoint of the meta shard holds.

A key is a letter and the names that make the row unique, each behind its length; a value is a version byte and
MessagePack.  Bindings with arguments end in a digest of them, so that a key stays short.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, TypeAlias

import msgspec

from broker.core.topology_commands import PasswordHash
from broker.model.arguments import arguments_decoder, arguments_encoder, encode_arguments
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
from broker.model.queue_settings import QueueSettings, read_queue_arguments
from broker.model.topology import ExchangeSpec, QueueSpec
from routing.bindings import Binding
from routing.subscriptions import Subscription

ROW_VERSION = 1
DIGEST_SIZE = 16


class CounterRow(msgspec.Struct, frozen=True):
    """The next id that was never given."""

    next_id: int

    def key(self) -> bytes:
        return _key(b"c")


class VhostRow(msgspec.Struct, frozen=True):
    """``vhost_id`` is one of the ids that are never reused: what belongs to a vhost in a shard's log is named by it.

    ``retained_shard``: where its retained messages are.
    """

    name: VhostName
    created_ms: int
    vhost_id: int
    retained_shard: ShardId = ShardId(1)

    def key(self) -> bytes:
        return _key(b"v", self.name)


class UserRow(msgspec.Struct, frozen=True):
    name: UserName
    password: PasswordHash | None
    tags: tuple[str, ...]
    created_ms: int

    def key(self) -> bytes:
        return _key(b"u", self.name)


class PermissionRow(msgspec.Struct, frozen=True):
    user: UserName
    vhost: VhostName
    configure: str
    write: str
    read: str

    def key(self) -> bytes:
        return _key(b"p", self.user, self.vhost)


class ExchangeRow(msgspec.Struct, frozen=True):
    """``bound``: something was bound from it once, so that auto-delete may take it when nothing is any more."""

    vhost: VhostName
    spec: ExchangeSpec
    exchange_id: int
    created_ms: int
    bound: bool = False

    def key(self) -> bytes:
        return exchange_key(self.vhost, self.spec.name)

    @property
    def volatile(self) -> bool:
        """Not logged: it lives as long as its node."""
        return not self.spec.durable

    @property
    def alternate(self) -> ExchangeName | None:
        return self.spec.arguments.get("alternate-exchange")


class QueueRow(msgspec.Struct, frozen=True):
    vhost: VhostName
    spec: QueueSpec
    queue_id: QueueId
    shard: ShardId
    created_ms: int
    owner: SessionId = NO_SESSION

    def key(self) -> bytes:
        return queue_key(self.vhost, self.spec.name)

    @property
    def volatile(self) -> bool:
        """Not logged.  An exclusive queue goes with its connection, whatever it says about being durable."""
        return not self.spec.durable or self.spec.exclusive

    @property
    def settings(self) -> QueueSettings:
        settings = read_queue_arguments(self.spec.arguments)
        assert isinstance(settings, QueueSettings)
        return settings


class ClientSessionRow(msgspec.Struct, frozen=True):
    """``queue_id``: the queue of what the client is sent at QoS 1 and 2, in ``shard`` like all else of the session.

    ``user``: whose it is; nobody else may have it.
    """

    vhost: VhostName
    client_id: ClientId
    session_id: ClientSessionId
    queue_id: QueueId
    shard: ShardId
    user: UserName
    durable: bool

    def key(self) -> bytes:
        return _key(b"s", self.vhost, self.client_id)


class ConnectedRow(msgspec.Struct, frozen=True):
    """The client of a session that lasts and shares subscriptions is there; never logged.

    ``node``: which says so, the session's leader, by the base of its numbers.
    """

    session: ClientSessionId
    node: int

    def key(self) -> bytes:
        return b"a" + self.session.to_bytes(8, "big") + self.node.to_bytes(8, "big")


class SubscriptionRow(msgspec.Struct, frozen=True):
    """Found by a digest of its filter, which may be long."""

    vhost: VhostName
    subscription: Subscription

    def key(self) -> bytes:
        subscription = self.subscription
        named = _key(b"", subscription.share or "", subscription.filter)
        digest = hashlib.blake2b(named, digest_size=DIGEST_SIZE).digest()
        return b"t" + subscription.session.to_bytes(8, "big") + digest


class NameRow(msgspec.Struct, frozen=True):
    """A volatile thing's name, and the node that has the thing.  ``thing``: the key of its row."""

    vhost: VhostName
    thing: bytes
    peer: PeerId
    incarnation: int

    def key(self) -> bytes:
        return b"r" + self.thing


class BindingRow(msgspec.Struct, frozen=True):
    vhost: VhostName
    binding: Binding

    def key(self) -> bytes:
        binding = self.binding
        kind = "x" if binding.to_exchange else "q"
        key = _key(b"b", self.vhost, binding.source, kind, binding.destination, binding.routing_key)
        if binding.arguments == NO_ARGUMENTS:
            return key
        return key + hashlib.blake2b(binding.arguments, digest_size=DIGEST_SIZE).digest()


class ClusterRow(msgspec.Struct, frozen=True):
    """There is one, from the founding on.  ``next_number``: the next node's, none is given twice.

    ``shard_count``: data shards, which are numbered from 1; the meta shard is 0.
    """

    cluster_id: bytes
    name: str
    replication_factor: int
    shard_count: int
    next_number: int

    def key(self) -> bytes:
        return _key(b"k")


class NodeRow(msgspec.Struct, frozen=True):
    """``number`` (1 to NODE_NUMBER_MAX) tells its volatile things from others' in fewer bits than ``peer`` has.

    ``address``: where it listens to other nodes.  ``zone``: what it may fail together with, or empty.  One that is
    leaving may have ``replaced_by``, which has its name now.
    """

    peer: PeerId
    number: int
    name: str
    address: str
    zone: str
    state: Literal["member", "leaving"] = "member"
    replaced_by: PeerId = NO_PEER
    version: int = 1
    """The newest that it understands (docs/decisions/0014)."""

    def key(self) -> bytes:
        return b"n" + self.peer.to_bytes(8, "big")


class ShardRow(msgspec.Struct, frozen=True):
    """``replicas``: the nodes that are to hold its voters, in the order in which they are to lead."""

    shard: ShardId
    replicas: tuple[PeerId, ...]

    def key(self) -> bytes:
        return b"h" + self.shard.to_bytes(4, "big")


NO_ARGUMENTS = encode_arguments({})

Row: TypeAlias = (
    CounterRow
    | VhostRow
    | UserRow
    | PermissionRow
    | ExchangeRow
    | QueueRow
    | BindingRow
    | ClientSessionRow
    | ConnectedRow
    | SubscriptionRow
    | ClusterRow
    | NodeRow
    | ShardRow
    | NameRow
)

ROW_TYPES: dict[bytes, type[Row]] = {
    b"c": CounterRow,
    b"v": VhostRow,
    b"u": UserRow,
    b"p": PermissionRow,
    b"x": ExchangeRow,
    b"q": QueueRow,
    b"b": BindingRow,
    b"s": ClientSessionRow,
    b"a": ConnectedRow,
    b"t": SubscriptionRow,
    b"k": ClusterRow,
    b"n": NodeRow,
    b"h": ShardRow,
    b"r": NameRow,
}
"""In the order in which they can be restored: a row comes after those it names."""

_DECODERS: dict[bytes, msgspec.msgpack.Decoder[Any]] = {
    kind: arguments_decoder(type) for kind, type in ROW_TYPES.items()
}


def queue_key(vhost: VhostName, name: QueueName) -> bytes:
    return _key(b"q", vhost, name)


def exchange_key(vhost: VhostName, name: ExchangeName) -> bytes:
    return _key(b"x", vhost, name)


def encode_row(row: Row) -> bytes:
    """The same bytes for the same row."""
    return bytes((ROW_VERSION,)) + arguments_encoder.encode(row)


def decode_row(key: bytes, value: bytes) -> Row:
    """Raises ValueError for what encode_row of this version or an earlier one did not write."""
    decoder = _DECODERS.get(key[:1])
    if decoder is None or value[:1] != bytes((ROW_VERSION,)):
        raise ValueError(f"topology row {key!r} of version {value[:1].hex() or 'none'} is not known to this broker")
    row: Row = decoder.decode(value[1:])
    if row.key() != key:
        raise ValueError(f"topology row {key!r} holds the one of key {row.key()!r}")
    return row


def _key(kind: bytes, *names: str) -> bytes:
    parts = [kind]
    for name in names:
        encoded = name.encode()
        parts.append(len(encoded).to_bytes(2, "big"))
        parts.append(encoded)
    return b"".join(parts)
