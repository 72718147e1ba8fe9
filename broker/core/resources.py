"""What there are rights on, and how it is called in a refusal."""

from __future__ import annotations

import enum

import msgspec

from broker.model.names import VhostName


class ResourceKind(enum.Enum):
    EXCHANGE = "exchange"
    QUEUE = "queue"


class Resource(msgspec.Struct, frozen=True, gc=False):
    """An exchange or a queue, there or not.  As text it is RabbitMQ's, which people and clients match on."""

    kind: ResourceKind
    vhost: VhostName
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} '{self.name}' in vhost '{self.vhost}'"


def exchange_resource(vhost: VhostName, name: str) -> Resource:
    return Resource(ResourceKind.EXCHANGE, vhost, name)


def queue_resource(vhost: VhostName, name: str) -> Resource:
    return Resource(ResourceKind.QUEUE, vhost, name)
