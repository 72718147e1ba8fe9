"""The methods of AMQP 0-9-1, as RabbitMQ speaks it: one struct each.

A struct's fields are the method's arguments in wire order, and each annotation says how one is written (by
``method_codec``).  What is frequent (basic.publish, basic.ack and their like) comes from a client as runs, which the
kernel makes, and never as a method.
"""

from __future__ import annotations

import enum
import re
from typing import Annotated, TypeAlias, get_type_hints

import msgspec

from broker.model.topology import Arguments

MethodId: TypeAlias = tuple[int, int]
"""Class and method."""


class Kind(enum.Enum):
    """How an argument is written."""

    OCTET = enum.auto()
    SHORT = enum.auto()
    LONG = enum.auto()
    LONG_LONG = enum.auto()
    SHORT_STRING = enum.auto()
    LONG_STRING = enum.auto()
    TABLE = enum.auto()
    BIT = enum.auto()


Octet = Annotated[int, Kind.OCTET]
Short = Annotated[int, Kind.SHORT]
Long = Annotated[int, Kind.LONG]
LongLong = Annotated[int, Kind.LONG_LONG]
ShortString = Annotated[str, Kind.SHORT_STRING]
LongString = Annotated[bytes, Kind.LONG_STRING]
Table = Annotated[Arguments, Kind.TABLE]
Bit = Annotated[bool, Kind.BIT]


class Method(msgspec.Struct, frozen=True):
    """A method's arguments."""


class ConnectionStart(Method, frozen=True):
    version_major: Octet
    version_minor: Octet
    server_properties: Table
    mechanisms: LongString
    locales: LongString


class ConnectionStartOk(Method, frozen=True):
    client_properties: Table
    mechanism: ShortString
    response: LongString
    locale: ShortString


class ConnectionSecure(Method, frozen=True):
    challenge: LongString


class ConnectionSecureOk(Method, frozen=True):
    response: LongString


class ConnectionTune(Method, frozen=True):
    channel_max: Short
    frame_max: Long
    heartbeat: Short


class ConnectionTuneOk(Method, frozen=True):
    channel_max: Short
    frame_max: Long
    heartbeat: Short


class ConnectionOpen(Method, frozen=True):
    virtual_host: ShortString
    capabilities: ShortString = ""
    insist: Bit = False


class ConnectionOpenOk(Method, frozen=True):
    known_hosts: ShortString = ""


class ConnectionClose(Method, frozen=True):
    reply_code: Short
    reply_text: ShortString
    class_id: Short = 0
    method_id: Short = 0


class ConnectionCloseOk(Method, frozen=True):
    pass


class ConnectionBlocked(Method, frozen=True):
    reason: ShortString


class ConnectionUnblocked(Method, frozen=True):
    pass


class ConnectionUpdateSecret(Method, frozen=True):
    new_secret: LongString
    reason: ShortString


class ConnectionUpdateSecretOk(Method, frozen=True):
    pass


class ChannelOpen(Method, frozen=True):
    out_of_band: ShortString = ""


class ChannelOpenOk(Method, frozen=True):
    channel_id: LongString = b""


class ChannelFlow(Method, frozen=True):
    active: Bit


class ChannelFlowOk(Method, frozen=True):
    active: Bit


class ChannelClose(Method, frozen=True):
    reply_code: Short
    reply_text: ShortString
    class_id: Short = 0
    method_id: Short = 0


class ChannelCloseOk(Method, frozen=True):
    pass


class ExchangeDeclare(Method, frozen=True):
    ticket: Short
    exchange: ShortString
    type: ShortString
    passive: Bit = False
    durable: Bit = False
    auto_delete: Bit = False
    internal: Bit = False
    no_wait: Bit = False
    arguments: Table = {}


class ExchangeDeclareOk(Method, frozen=True):
    pass


class ExchangeDelete(Method, frozen=True):
    ticket: Short
    exchange: ShortString
    if_unused: Bit = False
    no_wait: Bit = False


class ExchangeDeleteOk(Method, frozen=True):
    pass


class ExchangeBind(Method, frozen=True):
    ticket: Short
    destination: ShortString
    source: ShortString
    routing_key: ShortString = ""
    no_wait: Bit = False
    arguments: Table = {}


class ExchangeBindOk(Method, frozen=True):
    pass


class ExchangeUnbind(Method, frozen=True):
    ticket: Short
    destination: ShortString
    source: ShortString
    routing_key: ShortString = ""
    no_wait: Bit = False
    arguments: Table = {}


class ExchangeUnbindOk(Method, frozen=True):
    pass


class QueueDeclare(Method, frozen=True):
    ticket: Short
    queue: ShortString
    passive: Bit = False
    durable: Bit = False
    exclusive: Bit = False
    auto_delete: Bit = False
    no_wait: Bit = False
    arguments: Table = {}


class QueueDeclareOk(Method, frozen=True):
    queue: ShortString
    message_count: Long
    consumer_count: Long


class QueueBind(Method, frozen=True):
    ticket: Short
    queue: ShortString
    exchange: ShortString
    routing_key: ShortString = ""
    no_wait: Bit = False
    arguments: Table = {}


class QueueBindOk(Method, frozen=True):
    pass


class QueueUnbind(Method, frozen=True):
    ticket: Short
    queue: ShortString
    exchange: ShortString
    routing_key: ShortString = ""
    arguments: Table = {}


class QueueUnbindOk(Method, frozen=True):
    pass


class QueuePurge(Method, frozen=True):
    ticket: Short
    queue: ShortString
    no_wait: Bit = False


class QueuePurgeOk(Method, frozen=True):
    message_count: Long


class QueueDelete(Method, frozen=True):
    ticket: Short
    queue: ShortString
    if_unused: Bit = False
    if_empty: Bit = False
    no_wait: Bit = False


class QueueDeleteOk(Method, frozen=True):
    message_count: Long


class BasicQos(Method, frozen=True):
    prefetch_size: Long
    prefetch_count: Short
    global_: Bit = False


class BasicQosOk(Method, frozen=True):
    pass


class BasicConsume(Method, frozen=True):
    ticket: Short
    queue: ShortString
    consumer_tag: ShortString = ""
    no_local: Bit = False
    no_ack: Bit = False
    exclusive: Bit = False
    no_wait: Bit = False
    arguments: Table = {}


class BasicConsumeOk(Method, frozen=True):
    consumer_tag: ShortString


class BasicCancel(Method, frozen=True):
    consumer_tag: ShortString
    no_wait: Bit = False


class BasicCancelOk(Method, frozen=True):
    consumer_tag: ShortString


class BasicPublish(Method, frozen=True):
    ticket: Short
    exchange: ShortString
    routing_key: ShortString
    mandatory: Bit = False
    immediate: Bit = False


class BasicReturn(Method, frozen=True):
    reply_code: Short
    reply_text: ShortString
    exchange: ShortString
    routing_key: ShortString


class BasicDeliver(Method, frozen=True):
    consumer_tag: ShortString
    delivery_tag: LongLong
    redelivered: Bit
    exchange: ShortString
    routing_key: ShortString


class BasicGet(Method, frozen=True):
    ticket: Short
    queue: ShortString
    no_ack: Bit = False


class BasicGetOk(Method, frozen=True):
    delivery_tag: LongLong
    redelivered: Bit
    exchange: ShortString
    routing_key: ShortString
    message_count: Long


class BasicGetEmpty(Method, frozen=True):
    cluster_id: ShortString = ""


class BasicAck(Method, frozen=True):
    delivery_tag: LongLong
    multiple: Bit = False


class BasicReject(Method, frozen=True):
    delivery_tag: LongLong
    requeue: Bit = True


class BasicRecoverAsync(Method, frozen=True):
    requeue: Bit = False


class BasicRecover(Method, frozen=True):
    requeue: Bit = False


class BasicRecoverOk(Method, frozen=True):
    pass


class BasicNack(Method, frozen=True):
    delivery_tag: LongLong
    multiple: Bit = False
    requeue: Bit = True


class ConfirmSelect(Method, frozen=True):
    no_wait: Bit = False


class ConfirmSelectOk(Method, frozen=True):
    pass


class TxSelect(Method, frozen=True):
    pass


class TxSelectOk(Method, frozen=True):
    pass


class TxCommit(Method, frozen=True):
    pass


class TxCommitOk(Method, frozen=True):
    pass


class TxRollback(Method, frozen=True):
    pass


class TxRollbackOk(Method, frozen=True):
    pass


METHODS: dict[MethodId, type[Method]] = {
    (10, 10): ConnectionStart,
    (10, 11): ConnectionStartOk,
    (10, 20): ConnectionSecure,
    (10, 21): ConnectionSecureOk,
    (10, 30): ConnectionTune,
    (10, 31): ConnectionTuneOk,
    (10, 40): ConnectionOpen,
    (10, 41): ConnectionOpenOk,
    (10, 50): ConnectionClose,
    (10, 51): ConnectionCloseOk,
    (10, 60): ConnectionBlocked,
    (10, 61): ConnectionUnblocked,
    (10, 70): ConnectionUpdateSecret,
    (10, 71): ConnectionUpdateSecretOk,
    (20, 10): ChannelOpen,
    (20, 11): ChannelOpenOk,
    (20, 20): ChannelFlow,
    (20, 21): ChannelFlowOk,
    (20, 40): ChannelClose,
    (20, 41): ChannelCloseOk,
    (40, 10): ExchangeDeclare,
    (40, 11): ExchangeDeclareOk,
    (40, 20): ExchangeDelete,
    (40, 21): ExchangeDeleteOk,
    (40, 30): ExchangeBind,
    (40, 31): ExchangeBindOk,
    (40, 40): ExchangeUnbind,
    (40, 51): ExchangeUnbindOk,
    (50, 10): QueueDeclare,
    (50, 11): QueueDeclareOk,
    (50, 20): QueueBind,
    (50, 21): QueueBindOk,
    (50, 30): QueuePurge,
    (50, 31): QueuePurgeOk,
    (50, 40): QueueDelete,
    (50, 41): QueueDeleteOk,
    (50, 50): QueueUnbind,
    (50, 51): QueueUnbindOk,
    (60, 10): BasicQos,
    (60, 11): BasicQosOk,
    (60, 20): BasicConsume,
    (60, 21): BasicConsumeOk,
    (60, 30): BasicCancel,
    (60, 31): BasicCancelOk,
    (60, 40): BasicPublish,
    (60, 50): BasicReturn,
    (60, 60): BasicDeliver,
    (60, 70): BasicGet,
    (60, 71): BasicGetOk,
    (60, 72): BasicGetEmpty,
    (60, 80): BasicAck,
    (60, 90): BasicReject,
    (60, 100): BasicRecoverAsync,
    (60, 110): BasicRecover,
    (60, 111): BasicRecoverOk,
    (60, 120): BasicNack,
    (85, 10): ConfirmSelect,
    (85, 11): ConfirmSelectOk,
    (90, 10): TxSelect,
    (90, 11): TxSelectOk,
    (90, 20): TxCommit,
    (90, 21): TxCommitOk,
    (90, 30): TxRollback,
    (90, 31): TxRollbackOk,
}
METHOD_IDS: dict[type[Method], MethodId] = {method: number for number, method in METHODS.items()}


def _wire_name(method: type[Method]) -> str:
    """``QueueDeclareOk`` -> ``queue.declare-ok``, as the specification writes it."""
    class_name, *words = re.findall("[A-Z][a-z]*", method.__name__)
    return f"{class_name}.{'-'.join(words)}".lower()


METHOD_NAMES: dict[type[Method], str] = {method: _wire_name(method) for method in METHOD_IDS}

FIELDS: dict[type[Method], list[tuple[str, Kind]]] = {
    method: [(name, hint.__metadata__[0]) for name, hint in get_type_hints(method, include_extras=True).items()]
    for method in METHOD_IDS
}
"""Each method's arguments in wire order."""
