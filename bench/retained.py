"""A million retained topics: what they weigh, and how long one takes while somebody reads them all."""

from __future__ import annotations

import secrets

from bench.broker import Broker
from bench.load import Load, LookUp, Mqtt, look_up, put
from bench.memory import settled_memory
from bench.row import Figure, Options, Row

PEER = "Mosquitto"
SIZE = 16
WINDOW = 100
RATE = 200.0
FILL_TIMEOUT_S = 600.0
# A broker may serve all topics before it serves anybody else.
LOOK_UP_TIMEOUT_S = 120.0


def topics(count: int) -> list[str]:
    """As sensors have them: a thousand in each of a thousand places."""
    return [f"bench/place{number // 1000:04}/sensor{number % 1000:03}" for number in range(count)]


def measure_retained(broker: Broker, options: Options) -> dict[str, float]:
    assert broker.mqtt_port is not None
    names = topics(options.retained)
    nonce = secrets.randbits(32)
    before = settled_memory(broker)
    put(
        Load(
            port=broker.mqtt_port,
            routing_keys=names,
            queues=[],
            size=SIZE,
            protocol=Mqtt(qos=1, retain=True),
            window=WINDOW,
            messages=len(names),
            drain_s=FILL_TIMEOUT_S,
            nonce=nonce,
        )
    )
    after = settled_memory(broker)
    found = look_up(
        LookUp(
            port=broker.mqtt_port,
            topics=names,
            size=SIZE,
            nonce=nonce,
            rate=RATE,
            duration_s=2 * options.duration_s,
            drain_s=LOOK_UP_TIMEOUT_S,
        )
    )
    return {
        "weight": (after - before) / len(names) - SIZE,
        "p50": found.latency.p50,
        "p99": found.latency.p99,
        "sweeps": found.sweeps / found.seconds,
    }


def rows() -> list[Row]:
    return [
        Row(
            name="mqtt-retained",
            title=f"MQTT, 1 M retained topics, {SIZE} B",
            conditions="QoS 1, then memory added to a freshly started broker without the payload; single topics looked "
            f"up at {RATE:.0f} a second, from when one was due to its message, while another connection "
            "subscribes to # again and again and reads them all",
            figures=[
                Figure(
                    key="weight",
                    title="memory each",
                    unit="B",
                    peer=PEER,
                    required=300,
                    aim=150,
                    against=False,
                    smaller=True,
                ),
                Figure(key="p99", title="lookup p99", unit="us", peer=PEER, required=0.1, aim=0.02, smaller=True),
                Figure(key="p50", title="lookup p50", unit="us", peer=PEER, smaller=True),
                Figure(key="sweeps", title="all topics read", unit="times/s", peer=PEER),
            ],
            measure=measure_retained,
            fresh=True,
            runs_max=1,
            protocols=("mqtt",),
        )
    ]
