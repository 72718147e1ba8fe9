"""Who we say we are in connection.start, and what we say we can."""

from __future__ import annotations

import sys

from broker.model.topology import Arguments
from protocols.amqp.settings import AmqpSettings

CAPABILITIES: tuple[str, ...] = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)
"""As RabbitMQ lists them; clients look for each by name."""

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
