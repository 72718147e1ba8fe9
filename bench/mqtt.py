"""The loads: the rows of ``docs/performance.md`` about MQTT 3.1.1 throughput, latency and CPU time."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from bench import retained, subscribers
from bench.broker import Broker
from bench.load import TRANSIENT_BACKLOG_BYTES, TRANSIENT_BACKLOG_MAX, Load, Mqtt, Result, put, transient_backlog
from bench.row import Figure, Measure, Options, Row

MOSQUITTO = "Mosquitto"
PERSISTENT = "Mosquitto, persistent"
RUMQTTD = "rumqttd"
RABBITMQ = "RabbitMQ MQTT"

WINDOW = 100
# With QoS 1 and 2 a publish is confirmed before it is delivered: the subscriber may lag this far behind.
BACKLOG_MAX = 2000
FAN_OUT_BACKLOG_MAX = 500
PAIRS = 100
PAIR_WINDOW = 20
PAIR_BACKLOG_MAX = 100
SENSORS = 1000
SHARERS = 10
LATENCY_RATE = 2000.0
# The least that carries when it was due.
LATENCY_SIZE = 24


def run(broker: Broker, options: Options, protocol: Mqtt, **fields: Any) -> Result:
    """A load for the time that the options say."""
    assert broker.mqtt_port is not None
    return put(
        Load(
            port=broker.mqtt_port,
            protocol=protocol,
            broker_pids=broker.session.pids(),
            warmup_s=options.warmup_s,
            duration_s=options.duration_s,
            **fields,
        )
    )


def topic() -> str:
    """A new one, which no run before has used."""
    return f"bench/{secrets.token_hex(4)}"


def delivered(result: Result) -> dict[str, float]:
    return {"rate": result.received / result.seconds}


def measure_one_to_one(protocol: Mqtt, size: int, broker: Broker, options: Options) -> dict[str, float]:
    topics = [topic()]
    window, backlog_max = (WINDOW, BACKLOG_MAX) if protocol.qos else (0, transient_backlog(size))
    fields = {"routing_keys": topics, "queues": topics, "window": window, "backlog_max": backlog_max}
    return delivered(run(broker, options, protocol, size=size, **fields))


def measure_pairs(broker: Broker, options: Options) -> dict[str, float]:
    stem = topic()
    topics = [f"{stem}/{number}" for number in range(PAIRS)]
    return delivered(
        run(
            broker,
            options,
            Mqtt(qos=1),
            pattern="pairs",
            publishers=PAIRS,
            routing_keys=topics,
            queues=topics,
            size=16,
            window=PAIR_WINDOW,
            backlog_max=PAIR_BACKLOG_MAX,
        )
    )


def measure_fan_out(subscribers: int, broker: Broker, options: Options) -> dict[str, float]:
    name = topic()
    fields = {"routing_keys": [name], "queues": [name] * subscribers, "backlog_max": FAN_OUT_BACKLOG_MAX}
    return delivered(run(broker, options, Mqtt(qos=0), size=16, **fields))


def measure_sensors(broker: Broker, options: Options) -> dict[str, float]:
    name = topic()
    result = run(
        broker,
        options,
        Mqtt(qos=1),
        pattern="group",
        publishers=SENSORS,
        routing_keys=[name],
        queues=[f"$share/bench/{name}"] * SHARERS,
        size=16,
        rate=float(SENSORS),
    )
    return {"cpu": 100 * result.broker_cpu_seconds / result.seconds}


def measure_latency(broker: Broker, options: Options) -> dict[str, float]:
    topics = [topic()]
    fields = {"routing_keys": topics, "queues": topics, "size": LATENCY_SIZE, "rate": LATENCY_RATE}
    result = run(broker, options, Mqtt(qos=1), **fields)
    return {"p50": result.delivery_latency.p50, "p99": result.delivery_latency.p99}


def rate(peer: str, required: float, aim: float, unit: str = "msg/s") -> Figure:
    return Figure(key="rate", title="throughput", unit=unit, peer=peer, required=required, aim=aim)


def row(name: str, title: str, conditions: str, figures: list[Figure], measure: Measure) -> Row:
    return Row(
        name=f"mqtt-{name}",
        title=f"MQTT {title}",
        conditions=conditions,
        figures=figures,
        measure=measure,
        protocols=("mqtt",),
    )


def one_to_one_rows() -> list[Row]:
    qos0 = f"on their way at most {TRANSIENT_BACKLOG_BYTES >> 20} MiB and {TRANSIENT_BACKLOG_MAX:,} messages"
    qos1 = f"clean sessions, window {WINDOW}, the subscriber at most {BACKLOG_MAX:,} messages behind"
    durable = f"durable sessions, window {WINDOW}, the subscriber at most {BACKLOG_MAX:,} messages behind"
    goals = {
        ("qos0", 16): [rate(MOSQUITTO, 10, 30), rate(RUMQTTD, 3, 10)],
        ("qos0", 1024): [rate(MOSQUITTO, 4, 6), rate(RUMQTTD, 1.5, 2)],
        ("qos1", 16): [rate(MOSQUITTO, 3, 6), rate(RUMQTTD, 1.2, 2)],
        ("qos1", 1024): [rate(MOSQUITTO, 3, 5), rate(RUMQTTD, 1, 2)],
    }
    kinds = {
        "qos0": ("QoS 0", qos0, partial(measure_one_to_one, Mqtt(qos=0))),
        "qos1": ("QoS 1", qos1, partial(measure_one_to_one, Mqtt(qos=1))),
    }
    clean = []
    for (kind, size), figures in goals.items():
        title, conditions, measure = kinds[kind]
        clean.append(row(f"{kind}-{size}", f"{title}, 1 to 1, {size} B", conditions, figures, partial(measure, size)))
    return [
        *clean,
        row(
            "durable-16",
            "QoS 1, durable, 1 to 1, 16 B",
            f"{durable}; our PUBACK waits for fdatasync, Mosquitto's doesn't",
            [rate(PERSISTENT, 1, 3), rate(RABBITMQ, 10, 30)],
            partial(measure_one_to_one, Mqtt(qos=1, clean_session=False), 16),
        ),
        row(
            "qos2-16",
            "QoS 2, durable, 1 to 1, 16 B",
            f"{durable}; our PUBREC waits for fdatasync, Mosquitto's doesn't",
            [rate(PERSISTENT, 1, 2)],
            partial(measure_one_to_one, Mqtt(qos=2, clean_session=False), 16),
        ),
    ]


def many_rows() -> list[Row]:
    return [
        row(
            "pairs-16",
            f"QoS 1, {PAIRS} to {PAIRS}, 16 B",
            f"each publisher to a subscriber of its own, clean sessions, window {PAIR_WINDOW}",
            [rate(MOSQUITTO, 2, 4), rate(RUMQTTD, 0.8, 1.2)],
            measure_pairs,
        ),
        *[
            row(
                f"fanout{count}-16",
                f"QoS 0, 1 to {count:,}, deliveries, 16 B",
                f"one topic, each subscriber on a connection of its own, at most {FAN_OUT_BACKLOG_MAX} messages behind",
                [rate(MOSQUITTO, 10, 30, "deliveries/s"), rate(RUMQTTD, 1, 2, "deliveries/s")],
                partial(measure_fan_out, count),
            )
            for count in (100, 1000)
        ],
        row(
            "sensors-16",
            f"QoS 1, {SENSORS:,} publishers at 1 msg/s each to {SHARERS} shared subscribers, 16 B",
            "the broker's CPU time; one topic, one shared subscription, clean sessions",
            [
                Figure(
                    key="cpu",
                    title="CPU",
                    unit="% of a core",
                    peer=MOSQUITTO,
                    required=1,
                    aim=0.5,
                    smaller=True,
                )
            ],
            measure_sensors,
        ),
        row(
            "latency-24",
            f"QoS 1 at {LATENCY_RATE:,.0f} msg/s, end to end, {LATENCY_SIZE} B",
            "open loop, from when a message was due to its delivery; clean sessions",
            [
                Figure(key="p50", title="p50", unit="us", peer=MOSQUITTO, required=1, aim=0.7, smaller=True),
                Figure(key="p99", title="p99", unit="us", peer=MOSQUITTO, required=1, aim=0.5, smaller=True),
            ],
            measure_latency,
        ),
    ]


def rows() -> list[Row]:
    return [*one_to_one_rows(), *many_rows(), *subscribers.rows(), *retained.rows()]
