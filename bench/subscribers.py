"""What idle MQTT clients weigh, and how fast they come."""

from __future__ import annotations

import secrets

from bench.broker import Broker
from bench.memory import settled_memory
from bench.row import Figure, Options, Row
from kernel.generator import MqttSubscribers

PEER = "Mosquitto"


def measure_subscribers(broker: Broker, options: Options) -> dict[str, float]:
    assert broker.mqtt_port is not None
    before = settled_memory(broker)
    clients = MqttSubscribers("127.0.0.1", broker.mqtt_port, options.clients, secrets.randbits(32))
    try:
        after = settled_memory(broker)
    finally:
        clients.close()
    return {
        "weight": (after - before) / options.clients / 1024,
        "connects": options.clients / clients.seconds,
    }


def rows() -> list[Row]:
    weight = Figure(
        key="weight",
        title="memory each",
        unit="KiB",
        peer=PEER,
        required=6,
        aim=3,
        against=False,
        smaller=True,
    )
    connects = Figure(key="connects", title="connects", unit="connects/s", peer=PEER, required=0.7, aim=1)
    return [
        Row(
            name="mqtt-subscribers",
            title="MQTT, 10,000 idle clients",
            conditions="each connects, subscribes to a topic of its own and waits for the SUBACK, one after another; "
            "memory is what is added to a freshly started broker",
            figures=[weight, connects],
            measure=measure_subscribers,
            fresh=True,
            runs_max=3,
            protocols=("mqtt",),
        )
    ]
