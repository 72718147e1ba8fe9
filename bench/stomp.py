"""The loads: the rows of ``docs/performance.md`` about STOMP 1.2 throughput."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.broker import Broker
from bench.load import TRANSIENT_BACKLOG_BYTES, TRANSIENT_BACKLOG_MAX, Load, Stomp, put, transient_backlog
from bench.row import Figure, Options, Row

ARTEMIS = "Artemis"
RABBITMQ = "RabbitMQ STOMP"

WINDOW = 500
# With receipts a SEND is answered before it is delivered: the subscriber may lag this far behind.
BACKLOG_MAX = 5000


@contextmanager
def destination(broker: Broker, *, synced: bool) -> Iterator[str]:
    """A queue of its own, gone afterwards: made by its first use, or one whose confirms wait for the disk."""
    name = f"bench-{secrets.token_hex(4)}"
    if synced:
        with broker.client() as client:
            client.declare_queue(name, durable=True, arguments=broker.queue_arguments("quorum"))
    yield f"/amq/queue/{name}" if synced else f"/queue/{name}"
    broker.forget_queue(name)


def measure_one_to_one(protocol: Stomp, size: int, broker: Broker, options: Options) -> dict[str, float]:
    assert broker.stomp_port is not None
    backlog_max = BACKLOG_MAX if protocol.receipts else transient_backlog(size)
    with destination(broker, synced=protocol.persistent) as name:
        result = put(
            Load(
                port=broker.stomp_port,
                routing_keys=[name],
                queues=[name],
                size=size,
                protocol=protocol,
                window=WINDOW,
                backlog_max=backlog_max,
                warmup_s=options.warmup_s,
                duration_s=options.duration_s,
            )
        )
    return {"rate": result.received / result.seconds}


def rate(peer: str, required: float, aim: float) -> Figure:
    return Figure(key="rate", title="throughput", unit="msg/s", peer=peer, required=required, aim=aim)


def row(name: str, title: str, conditions: str, figures: list[Figure], protocol: Stomp, size: int) -> Row:
    return Row(
        name=f"stomp-{name}-{size}",
        title=f"STOMP {title}, 1 to 1, {size} B",
        conditions=conditions,
        figures=figures,
        measure=partial(measure_one_to_one, protocol, size),
        protocols=("stomp",),
    )


def rows() -> list[Row]:
    auto = (
        "one queue, ack:auto, non-persistent; on their way at most "
        f"{TRANSIENT_BACKLOG_BYTES >> 20} MiB and {TRANSIENT_BACKLOG_MAX:,} messages"
    )
    receipts = f"one queue, ack:auto, window {WINDOW}, the subscriber at most {BACKLOG_MAX:,} messages behind"
    synced = f"{receipts}; against a quorum queue, whose confirms wait for fsync as ours do"
    plain, asked = Stomp(), Stomp(receipts=True)
    stored = Stomp(receipts=True, persistent=True)
    return [
        row("auto", "auto-ack", auto, [rate(ARTEMIS, 8, 30), rate(RABBITMQ, 15, 60)], plain, 16),
        row("auto", "auto-ack", auto, [rate(ARTEMIS, 4, 10), rate(RABBITMQ, 10, 25)], plain, 1024),
        row("receipts", "with receipts, non-persistent", receipts, [rate(ARTEMIS, 5, 20)], asked, 16),
        row("receipts", "with receipts, non-persistent", receipts, [rate(ARTEMIS, 5, 20)], asked, 1024),
        row("persistent", "with receipts, persistent", synced, [rate(RABBITMQ, 5, 20)], stored, 16),
        row("persistent", "with receipts, persistent", synced, [rate(RABBITMQ, 5, 20)], stored, 1024),
    ]
