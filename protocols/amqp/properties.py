"""Who we say we are in connection.start, and what we say we can."""

from __future__ import annotations

import sys

from broker.model.topology import Arguments
from protocols.amqp.settings import AmqpSettings

CAPABILITIES: dict[str, str] = {
    "publisher_confirms": "confirm.select",
    "exchange_exchange_bindings": "exchange.bind, exchange.unbind",
    "basic.nack": "basic.nack, in both directions",
    "consumer_cancel_notify": "basic.cancel to a client that has it too, when its queue is gone",
    "connection.blocked": "connection.blocked and unblocked to a publishing client that has it too",
    "consumer_priorities": "the consumer argument x-priority",
    "authentication_failure_close": "connection.close 403 after a refused login, to a client that has it too",
    "per_consumer_qos": "basic.qos without global is for each consumer to come",
    "direct_reply_to": "the queue amq.rabbitmq.reply-to",
}
"""As RabbitMQ lists them, since clients look for each by name, and what each stands for."""

LOCALES = b"en_US"


def server_properties(settings: AmqpSettings) -> Arguments:
    """The table of connection.start."""
    return {
        "capabilities": dict.fromkeys(CAPABILITIES, True),
        "product": settings.product,
        "version": settings.version,
        "cluster_name": settings.cluster_name,
        "platform": f"Python {sys.version_info.major}.{sys.version_info.minor}",
        "copyright": "Copyright (c) the Dragoman authors.",
        "information": "Licensed under the Apache License 2.0.",
    }


def client_capabilities(client_properties: Arguments) -> frozenset[str]:
    """What the client says it can: the names that stand as true in its ``capabilities``."""
    capabilities = client_properties.get("capabilities")
    if not isinstance(capabilities, dict):
        return frozenset()
    return frozenset(name for name, value in capabilities.items() if value is True)
