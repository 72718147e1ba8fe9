"""What brokers weigh: idle, and with idle connections."""

from __future__ import annotations

import time

from bench.broker import Broker
from bench.client import Client
from bench.row import Figure, Options, Row

# After a start or a change a broker still collects and gives back.
SETTLE_S = 5.0


def settled_memory(broker: Broker) -> int:
    """Bytes, the least of a few looks once it has calmed down."""
    time.sleep(SETTLE_S)
    looks = []
    for _ in range(5):
        looks.append(broker.session.memory())
        time.sleep(0.2)
    return min(looks)


def measure_idle(broker: Broker, options: Options) -> dict[str, float]:
    return {"idle": settled_memory(broker) / 1e6}


def measure_connections(broker: Broker, options: Options) -> dict[str, float]:
    before = settled_memory(broker)
    clients: list[Client] = []
    try:
        clients.extend(broker.client() for _ in range(options.connections))
        after = settled_memory(broker)
    finally:
        for client in clients:
            client.close()
    return {"connection": (after - before) / options.connections / 1000}


def rows() -> list[Row]:
    return [
        Row(
            name="idle-memory",
            title="Idle broker",
            conditions="freshly started, no connection; memory of all its processes",
            figures=[Figure(key="idle", title="memory", unit="MB", required=70, aim=50, against=False, smaller=True)],
            measure=measure_idle,
            fresh=True,
            runs_max=3,
        ),
        Row(
            name="connections-memory",
            title="1,000 idle connections",
            conditions="each with one open channel; what is added to a freshly started broker",
            figures=[Figure(key="connection", title="memory each", unit="KB", required=0.25, aim=0.1, smaller=True)],
            measure=measure_connections,
            fresh=True,
            runs_max=3,
        ),
    ]
