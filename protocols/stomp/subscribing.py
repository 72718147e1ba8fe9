"""SUBSCRIBE: what its headers ask for, and the queue that comes of it."""

from __future__ import annotations

import base64
import enum
import hashlib
from collections.abc import Callable

import msgspec

from broker.model.names import ExchangeName, QueueName, RoutingKey
from broker.model.topology import Arguments, BindingSpec, QueueSpec
from kernel import (
    DESTINATION_AMQ_QUEUE,
    DESTINATION_EXCHANGE,
    DESTINATION_QUEUE,
    DESTINATION_TOPIC,
    parse_destination,
)
from protocols.stomp.headers import Headers, boolean, bounded_integer, check_headers, checked_name, integer
from protocols.stomp.queue_parameters import queue_spec
from protocols.stomp.settings import StompSettings
from protocols.stomp.version import Version
from protocols.stomp.violation import ProtocolViolation, invalid_header, missing_header

SUBSCRIBE = "SUBSCRIBE"
TEMP_QUEUE_PREFIX = "/temp-queue/"
DURABLE_PREFIX = "stomp.dsub-"
"""RabbitMQ's, so that rights that were given there fit."""
PRIVATE_PREFIX = "stomp-subscription-"
TEMP_PREFIX = "stomp-temp-queue-"
HASH_SIZE = 16
PREFETCH_MAX = 65_535
PRIORITY = "x-priority"
PRIORITY_MAX = 2**31 - 1


class AckMode(enum.Enum):
    """The values are the header's."""

    AUTO = "auto"
    CLIENT = "client"
    """An ACK or NACK is for all that the subscription was sent up to its message."""
    CLIENT_INDIVIDUAL = "client-individual"


class Subscribing(msgspec.Struct, frozen=True):
    """What a SUBSCRIBE asks for."""

    id: str | None
    destination: str
    ack: AckMode
    queue: QueueSpec
    passive: bool
    """The queue has to be there."""
    exchange: ExchangeName | None
    """What the queue is bound to; None: to nothing, it is a shared one."""
    routing_key: RoutingKey
    durable: bool
    """A durable subscription: its queue stays, and UNSUBSCRIBE may delete it."""
    prefetch_count: int
    arguments: Arguments
    """The consumer's."""

    @property
    def key(self) -> str:
        """What UNSUBSCRIBE knows it by."""
        return subscription_key(self.id, self.destination)

    @property
    def binding(self) -> BindingSpec | None:
        if self.exchange is None:
            return None
        return BindingSpec(self.exchange, self.queue.name, self.routing_key)


def subscription_key(id: str | None, destination: str) -> str:
    """An id, or without one (1.0) the destination; RabbitMQ's consumer tags."""
    return f"Q_{destination}" if id is None else f"T_{id}"


def read_subscribe(headers: Headers, version: Version, settings: StompSettings, private_name: str) -> Subscribing:
    """``private_name``: nobody else's, for a queue that is to be of this subscription alone.

    Raises ProtocolViolation.
    """
    check_headers(SUBSCRIBE, headers)
    destination = headers.get("destination")
    if destination is None:
        raise missing_header(SUBSCRIBE, "destination")
    id = read_id(headers, version, SUBSCRIBE)
    try:
        kind, exchange, key = parse_destination(destination.encode())
    except ValueError as error:
        message, _, detail = str(error).partition(": ")
        raise ProtocolViolation(message, detail) from None
    read = QUEUES.get(kind)
    if read is None:
        prefix = destination.split("/")[1]
        raise ProtocolViolation("Invalid destination", f"/{prefix}/ can't be subscribed to")
    durable = is_durable(headers)
    queue = read(headers, exchange.decode(), key.decode(), id, durable, private_name)
    private = kind in PRIVATE
    return Subscribing(
        id=id,
        destination=destination,
        ack=_ack_mode(headers),
        queue=queue,
        passive=kind == DESTINATION_AMQ_QUEUE,
        exchange=ExchangeName(exchange.decode()) if private else None,
        routing_key=RoutingKey(key.decode() if private else ""),
        durable=durable and private,
        prefetch_count=bounded_integer(headers, "prefetch-count", settings.prefetch_count, 0, PREFETCH_MAX),
        arguments=_consumer_arguments(headers),
    )


def read_id(headers: Headers, version: Version, command: str) -> str | None:
    """Required but in 1.0.  It becomes a consumer tag.  Raises ProtocolViolation."""
    id = headers.get("id")
    if id is None:
        if version is not Version.V1_0:
            raise missing_header(command, "id")
        return None
    if id.startswith(TEMP_QUEUE_PREFIX):
        raise invalid_header("id", id, f"none may begin with {TEMP_QUEUE_PREFIX}, whose subscriptions are the broker's")
    return checked_name("id", id)


def is_durable(headers: Headers) -> bool:
    """``persistent`` is an older name of it, as in RabbitMQ.  Raises ProtocolViolation."""
    return boolean(headers, "durable", False) or boolean(headers, "persistent", False)


def _ack_mode(headers: Headers) -> AckMode:
    text = headers.get("ack", AckMode.AUTO.value)
    for mode in AckMode:
        if mode.value == text:
            return mode
    raise invalid_header("ack", text, f"one of {', '.join(mode.value for mode in AckMode)} is wanted")


def _consumer_arguments(headers: Headers) -> Arguments:
    text = headers.get(PRIORITY)
    if text is None:
        return {}
    priority = integer(PRIORITY, text)
    if abs(priority) > PRIORITY_MAX:
        raise invalid_header(PRIORITY, text, "a number of 32 bits is wanted")
    return {PRIORITY: priority}


# The queue of a subscription, by the kind of its destination.


def _shared(headers: Headers, exchange: str, key: str, id: str | None, durable: bool, private_name: str) -> QueueSpec:
    _refuse_name(headers)
    return queue_spec(key, headers, durable=True)


def _existing(headers: Headers, exchange: str, key: str, id: str | None, durable: bool, private_name: str) -> QueueSpec:
    _refuse_name(headers)
    return QueueSpec(QueueName(key))


def _bound(headers: Headers, exchange: str, key: str, id: str | None, durable: bool, private_name: str) -> QueueSpec:
    if durable and id is None:
        raise missing_header(SUBSCRIBE, "id", ": a durable subscription is known by it")
    name = headers.get("x-queue-name")
    if name is not None:
        checked_name("x-queue-name", name)
    elif durable:
        assert id is not None
        name = durable_queue_name(exchange, key, id)
    else:
        name = private_name
    return queue_spec(name, headers, durable=durable)


def _refuse_name(headers: Headers) -> None:
    if "x-queue-name" in headers:
        raise ProtocolViolation("Invalid header", "'x-queue-name': it is the destination that names this queue")


def durable_queue_name(exchange: str, key: str, id: str) -> str:
    """The same for all who subscribe so: they share the queue."""
    pair = "\0".join((exchange, key, id)).encode()
    digest = hashlib.sha256(pair).digest()[:HASH_SIZE]
    return DURABLE_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")


QUEUES: dict[int, Callable[[Headers, str, str, str | None, bool, str], QueueSpec]] = {
    DESTINATION_QUEUE: _shared,
    DESTINATION_TOPIC: _bound,
    DESTINATION_EXCHANGE: _bound,
    DESTINATION_AMQ_QUEUE: _existing,
}
"""Others can't be subscribed to."""
PRIVATE = frozenset({DESTINATION_TOPIC, DESTINATION_EXCHANGE})
"""Each subscription has a queue of its own, bound to the exchange."""


def temp_queue(name: str, private_name: str) -> Subscribing:
    """The subscription that a ``reply-to:/temp-queue/...`` makes."""
    destination = TEMP_QUEUE_PREFIX + name
    return Subscribing(
        id=destination,
        destination=destination,
        ack=AckMode.AUTO,
        queue=QueueSpec(QueueName(private_name), exclusive=True, auto_delete=True),
        passive=False,
        exchange=None,
        routing_key=RoutingKey(""),
        durable=False,
        prefetch_count=0,
        arguments={},
    )
