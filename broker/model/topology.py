"""What can be declared: exchanges, queues, bindings."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from broker.model.names import ExchangeName, QueueName, RoutingKey

Arguments: TypeAlias = dict[str, Any]
"""A decoded field table: str to bool, int, Timestamp, float, str, bytes, list, dict or None."""


class Timestamp(int):
    """Seconds since 1970.  Its own type, because an argument may mean one thing as a number and another as a time."""


class ExchangeSpec(msgspec.Struct, frozen=True):
    """An exchange as it was asked for."""

    name: ExchangeName
    type: str
    durable: bool = False
    auto_delete: bool = False
    internal: bool = False
    arguments: Arguments = {}


class QueueSpec(msgspec.Struct, frozen=True):
    """A queue as it was asked for.  An empty name asks for one of the broker's making."""

    name: QueueName
    durable: bool = False
    exclusive: bool = False
    auto_delete: bool = False
    arguments: Arguments = {}


class BindingSpec(msgspec.Struct, frozen=True):
    """A binding from an exchange to a queue or, when ``to_exchange``, to another exchange."""

    source: ExchangeName
    destination: str
    routing_key: RoutingKey
    to_exchange: bool = False
    arguments: Arguments = {}
