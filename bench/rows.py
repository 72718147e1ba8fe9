"""The loads: every row of ``docs/performance.md``; here those about AMQP 0-9-1."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from bench import backlog, crossing, memory, mqtt, stomp, websocket
from bench.broker import Broker
from bench.load import TRANSIENT_BACKLOG_BYTES, TRANSIENT_BACKLOG_MAX, Amqp, Load, put, transient_backlog
from bench.row import Figure, Options, Row

DURABLE_BACKLOG_MAX = 50_000
ACK_EVERY = 200
PREFETCH = 2000
FAN_OUT = 50
TOPIC_KEYS = 100
TOPIC_BINDINGS = 50


@contextmanager
def queues(broker: Broker, kind: str | None, count: int = 1) -> Iterator[list[str]]:
    """Queues with new names, gone afterwards: durable ones of ``kind``, or transient classic ones."""
    names = [f"bench-{secrets.token_hex(4)}-{number}" for number in range(count)]
    arguments = broker.queue_arguments(kind or "classic")
    with broker.client() as client:
        for name in names:
            client.declare_queue(name, durable=kind is not None, arguments=arguments)
    yield names
    with broker.client() as client:
        for name in names:
            client.delete_queue(name)


@contextmanager
def bound(broker: Broker, kind: str, bindings: Sequence[tuple[str, str]]) -> Iterator[str]:
    """An exchange of ``kind`` bound by each (queue, key), gone afterwards."""
    name = f"bench-{secrets.token_hex(4)}"
    with broker.client() as client:
        client.declare_exchange(name, kind)
        for queue, key in bindings:
            client.bind(queue, name, key)
    yield name
    with broker.client() as client:
        client.delete_exchange(name)


def measure_transient(size: int, broker: Broker, options: Options) -> dict[str, float]:
    with queues(broker, None) as names:
        result = put(
            Load(
                port=broker.port,
                routing_keys=names,
                queues=names,
                size=size,
                protocol=Amqp(),
                backlog_max=transient_backlog(size),
                warmup_s=options.warmup_s,
                duration_s=options.duration_s,
            )
        )
    return {"rate": result.received / result.seconds}


def measure_window(size: int, window: int, broker: Broker, options: Options) -> dict[str, float]:
    with queues(broker, "quorum") as names:
        result = put(
            Load(
                port=broker.port,
                routing_keys=names,
                queues=names,
                size=size,
                protocol=Amqp(persistent=True, confirms=True, ack_every=ACK_EVERY, prefetch=PREFETCH),
                window=window,
                backlog_max=DURABLE_BACKLOG_MAX,
                warmup_s=options.warmup_s,
                duration_s=options.duration_s,
            )
        )
    return {"rate": result.received / result.seconds}


def measure_one_in_flight(connections: int, kind: str, broker: Broker, options: Options) -> dict[str, float]:
    with queues(broker, kind) as names:
        result = put(
            Load(
                port=broker.port,
                routing_keys=names,
                queues=names,
                publishers=connections,
                size=16,
                protocol=Amqp(persistent=True, confirms=True),
                window=1,
                warmup_s=options.warmup_s,
                duration_s=options.duration_s,
            )
        )
    latency = result.confirm_latency
    return {"rate": result.confirmed / result.seconds, "p50": latency.p50, "p99": latency.p99}


def measure_fan_out(size: int, broker: Broker, options: Options) -> dict[str, float]:
    with (
        queues(broker, None, FAN_OUT) as names,
        bound(broker, "fanout", [(name, "") for name in names]) as exchange,
    ):
        result = put(
            Load(
                port=broker.port,
                routing_keys=[""],
                queues=names,
                size=size,
                protocol=Amqp(exchange=exchange),
                backlog_max=max(100, transient_backlog(size) // 10),
                warmup_s=options.warmup_s,
                duration_s=options.duration_s,
            )
        )
    return {"rate": result.received / result.seconds}


def measure_topic(broker: Broker, options: Options) -> dict[str, float]:
    with queues(broker, None) as names:
        # Each binding matches two of the keys, so that every message is routed once.
        per_binding = TOPIC_KEYS // TOPIC_BINDINGS
        patterns = [f"k.{number:03}.*" for number in range(TOPIC_BINDINGS)]
        keys = [f"k.{number // per_binding:03}.{number % per_binding}" for number in range(TOPIC_KEYS)]
        with bound(broker, "topic", [(names[0], pattern) for pattern in patterns]) as exchange:
            result = put(
                Load(
                    port=broker.port,
                    routing_keys=keys,
                    queues=names,
                    size=16,
                    protocol=Amqp(exchange=exchange),
                    backlog_max=transient_backlog(16),
                    warmup_s=options.warmup_s,
                    duration_s=options.duration_s,
                )
            )
    return {"rate": result.received / result.seconds}


def measure_latency(broker: Broker, options: Options) -> dict[str, float]:
    with queues(broker, "quorum") as names:
        result = put(
            Load(
                port=broker.port,
                routing_keys=names,
                queues=names,
                size=1024,
                protocol=Amqp(persistent=True, confirms=True, ack_every=10, prefetch=PREFETCH),
                window=1,
                rate=5000.0,
                warmup_s=options.warmup_s,
                duration_s=options.duration_s,
            )
        )
    return {"p50": result.delivery_latency.p50, "p99": result.delivery_latency.p99}


def rate(required: float, aim: float, unit: str = "msg/s") -> Figure:
    return Figure(key="rate", title="throughput", unit=unit, required=required, aim=aim)


def percentile(key: str, required: float | None, aim: float | None) -> Figure:
    return Figure(key=key, title=key, unit="us", required=required, aim=aim, smaller=True)


def sizes(
    name: str, title: str, conditions: str, goals: dict[int, Figure], measure: partial[dict[str, float]]
) -> list[Row]:
    """The same row for several body sizes."""
    return [
        Row(
            name=f"{name}-{size}",
            title=f"{title}, {size} B",
            conditions=conditions,
            figures=[figure],
            measure=partial(measure.func, size, *measure.args),
        )
        for size, figure in goals.items()
    ]


def throughput_rows() -> list[Row]:
    durable = f"persistent, confirms, ack every {ACK_EVERY}, prefetch {PREFETCH}; against a quorum queue"
    return [
        *sizes(
            "transient",
            "Transient messages, auto-ack, 1 producer 1 consumer",
            "non-durable queue against classic; on their way at most "
            f"{TRANSIENT_BACKLOG_BYTES >> 20} MiB and {TRANSIENT_BACKLOG_MAX:,} messages",
            {16: rate(15, 60), 1024: rate(6, 12)},
            partial(measure_transient),
        ),
        *sizes(
            "window2000",
            "Durable, window 2000",
            durable,
            {16: rate(20, 50), 1024: rate(10, 20)},
            partial(measure_window, 2000),
        ),
        *sizes(
            "window200",
            "Durable, window 200",
            durable,
            {16: rate(5, 12), 1024: rate(4, 10)},
            partial(measure_window, 200),
        ),
        *sizes(
            "fanout50",
            f"Fan-out to {FAN_OUT} queues, deliveries",
            f"transient, auto-ack, {FAN_OUT} consumers' connections; against classic",
            {16: rate(25, 100, "deliveries/s"), 1024: rate(8, 25, "deliveries/s")},
            partial(measure_fan_out),
        ),
        Row(
            name="topic-16",
            title=f"Topic exchange, {TOPIC_KEYS} keys in turn, {TOPIC_BINDINGS} bindings, 16 B",
            conditions="transient, auto-ack, one queue, each binding matches two keys; against classic",
            figures=[rate(10, 35)],
            measure=measure_topic,
        ),
    ]


def latency_rows() -> list[Row]:
    return [
        Row(
            name="single-16",
            title="One in flight, durable, 16 B: publish to confirm",
            conditions="1 connection, auto-ack consumer beside it; against a quorum queue",
            figures=[
                Figure(
                    key="p50", title="p50", unit="us", required=0.6, required_syncs=2.5, aim_syncs=1.5, smaller=True
                ),
                percentile("p99", 1.0, 0.5),
            ],
            measure=partial(measure_one_in_flight, 1, "quorum"),
        ),
        Row(
            name="connections200-16",
            title="200 connections, one in flight each, durable, 16 B",
            conditions="one queue, auto-ack consumer; against a classic durable queue (no fsync)",
            figures=[rate(3, 6), percentile("p99", 0.5, 0.25)],
            measure=partial(measure_one_in_flight, 200, "classic"),
        ),
        Row(
            name="latency-1024",
            title="End to end at 5,000 msg/s, durable, 1 KiB",
            conditions="open loop, from when a message was due to its delivery; confirms, ack every 10; "
            "against a quorum queue",
            figures=[percentile("p50", 0.7, 0.4), percentile("p99", 0.7, 0.3)],
            measure=measure_latency,
        ),
    ]


def all_rows() -> list[Row]:
    """In the order of the report."""
    return [
        *throughput_rows(),
        *latency_rows(),
        *backlog.rows(),
        *memory.rows(),
        *mqtt.rows(),
        *stomp.rows(),
        *websocket.rows(),
        *crossing.rows(),
    ]
