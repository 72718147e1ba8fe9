"""The loads: every row of ``docs/performance-cluster.md``; here throughput, latency and idle CPU time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import msgspec

from bench.broker import Broker
from bench.cluster import failover, rejoin
from bench.cluster.dragoman import SHARDS, DragomanCluster
from bench.cluster.jetstream import JetStream
from bench.load import Amqp, Load, Result, put
from bench.row import Figure, Options, Row
from bench.rows import queues
from bench.session import BrokerError

JETSTREAM = "JetStream"
QUEUES = 4
CONNECTIONS = 4
WINDOW = 500
SIZES = (16, 1024)

# A peer counts its messages every few seconds only.
COUNT_TIMEOUT_S = 30.0
COUNT_POLL_S = 0.2

IDLE_SHARDS = 64
IDLE_SETTLE_S = 15.0
IDLE_S = 20.0


def check_counts(broker: Broker, names: Sequence[str], published: int) -> None:
    """BrokerError unless the queues have as many messages as were published."""
    deadline = time.monotonic() + COUNT_TIMEOUT_S
    with broker.client() as client:
        while (counted := sum(client.message_count(name) for name in names)) != published:
            if time.monotonic() > deadline:
                raise BrokerError(f"{broker.name}: {published} messages confirmed, {counted} in the queues")
            time.sleep(COUNT_POLL_S)


def publish(broker: Broker, options: Options, *, count: int, connections: int, window: int, size: int) -> Result:
    """Publishes to ``count`` quorum queues in turn, each message confirmed, and counts what is in them afterwards."""
    with queues(broker, "quorum", count) as names:
        load = Load(
            port=broker.port,
            routing_keys=names,
            queues=[],
            publishers=connections,
            size=size,
            protocol=Amqp(persistent=True, confirms=True),
            window=window,
            warmup_s=0.0,
            duration_s=options.warmup_s,
        )
        warmed = put(load)
        result = put(msgspec.structs.replace(load, duration_s=options.duration_s))
        check_counts(broker, names, warmed.published + result.published)
    return result


def measure_confirms(size: int, broker: Broker, options: Options) -> dict[str, float]:
    if isinstance(broker, JetStream):
        acked = broker.put(options, streams=QUEUES, connections=CONNECTIONS, window=WINDOW, size=size)
        return {"rate": acked.measured / acked.seconds}
    result = publish(broker, options, count=QUEUES, connections=CONNECTIONS, window=WINDOW, size=size)
    return {"rate": result.confirmed / result.seconds}


def measure_one_in_flight(broker: Broker, options: Options) -> dict[str, float]:
    if isinstance(broker, JetStream):
        acked = broker.put(options, streams=1, connections=1, window=1, size=16)
        return {"p50": acked.p50, "p99": acked.p99}
    latency = publish(broker, options, count=1, connections=1, window=1, size=16).confirm_latency
    return {"p50": latency.p50, "p99": latency.p99}


def measure_idle(broker: Broker, options: Options) -> dict[str, float]:
    """Of all three nodes together, in % of one core."""
    assert isinstance(broker, DragomanCluster)
    broker.shards = IDLE_SHARDS
    try:
        broker.restart_empty()
    finally:
        broker.shards = SHARDS
    names = [f"bench-idle-{number}" for number in range(options.queues)]
    with broker.client() as client:
        client.declare_queues(names, durable=True, arguments=broker.queue_arguments("quorum"))
    time.sleep(IDLE_SETTLE_S)
    before, began = broker.session.cpu_seconds(), time.monotonic()
    time.sleep(IDLE_S)
    used, took = broker.session.cpu_seconds() - before, time.monotonic() - began
    return {"cpu": 100 * used / took}


def throughput_rows() -> list[Row]:
    return [
        Row(
            name=f"confirms-{size}",
            title=f"Throughput with confirms, {size} B",
            conditions=f"persistent, {CONNECTIONS} connections to one node, each publishes to {QUEUES} quorum queues "
            f"in turn with at most {WINDOW} unconfirmed, nobody consumes; JetStream: as many connections, streams (R3, "
            "files), asynchronous publishes with as many unacknowledged on each connection, by its Go client",
            figures=[
                Figure(key="rate", title="throughput", unit="msg/s", required=3, aim=8),
                Figure(key="rate", title="throughput", unit="msg/s", peer=JETSTREAM, required=5, aim=20),
            ],
            measure=partial(measure_confirms, size),
            fresh=True,
        )
        for size in SIZES
    ]


def latency_row() -> Row:
    goals = {"RabbitMQ": (0.8, 0.5), JETSTREAM: (None, None)}
    return Row(
        name="single-16",
        title="One in flight, 16 B: publish to confirm",
        conditions="persistent, 1 connection to one node, a quorum queue (JetStream: a stream of R3), nobody consumes; "
        "RabbitMQ's queue and ours are led by the node they were declared on, JetStream's wherever it happens to be",
        figures=[
            Figure(key=key, title=key, unit="us", peer=peer, required=required, aim=aim, smaller=True)
            for peer, (required, aim) in goals.items()
            for key in ("p50", "p99")
        ],
        measure=measure_one_in_flight,
        fresh=True,
    )


def idle_row() -> Row:
    return Row(
        name="idle",
        title=f"Idle cluster, {IDLE_SHARDS} shards, 10,000 queues",
        conditions=f"CPU time of all threads of the three nodes over {IDLE_S:.0f} s, {IDLE_SETTLE_S:.0f} s after the "
        "last queue was declared",
        figures=[
            Figure(key="cpu", title="CPU, all nodes", unit="% of a core", required=3, against=False, smaller=True)
        ],
        measure=measure_idle,
        ours_only=True,
        fresh=True,
        runs_max=3,
    )


def all_rows() -> list[Row]:
    """In the order of the report."""
    return [*throughput_rows(), latency_row(), idle_row(), *failover.rows(), *rejoin.rows()]
