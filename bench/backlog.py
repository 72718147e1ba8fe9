"""A long queue: filling it, what it weighs, draining it; and coming back with it, or with a full journal."""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path

from bench.broker import Broker
from bench.client import ClientError
from bench.load import Amqp, Load, Result, put
from bench.memory import settled_memory
from bench.row import Figure, Options, Row
from bench.session import BrokerError

WINDOW = 2000
ACK_EVERY = 200
PREFETCH = 2000
QUEUE = "bench-backlog"
# A slow peer needs minutes for ten million messages; this ends a run that stands still.
FILL_TIMEOUT_S = 3600.0
RESTART_TIMEOUT_S = 1800.0


def fill(broker: Broker, size: int, messages: int, queued: int, nonce: int) -> Result:
    """Publishes durable messages behind ``queued`` others, with confirms, and nobody consumes."""
    return put(
        Load(
            port=broker.port,
            routing_keys=[QUEUE],
            queues=[],
            size=size,
            protocol=Amqp(persistent=True, confirms=True),
            window=WINDOW,
            messages=messages,
            queued=queued,
            drain_s=FILL_TIMEOUT_S,
            nonce=nonce,
        )
    )


def drain(broker: Broker, size: int, queued: int, nonce: int) -> Result:
    """Consumes and acknowledges all of them, and checks them."""
    return put(
        Load(
            port=broker.port,
            routing_keys=[QUEUE],
            queues=[QUEUE],
            publishers=0,
            size=size,
            protocol=Amqp(ack_every=ACK_EVERY, prefetch=PREFETCH),
            queued=queued,
            drain_s=FILL_TIMEOUT_S,
            nonce=nonce,
        )
    )


def declare(broker: Broker) -> None:
    with broker.client() as client:
        client.declare_queue(QUEUE, durable=True, arguments=broker.queue_arguments("quorum"))


def first_delivery(broker: Broker) -> float:
    """Starts the broker on what it has; seconds until the first message of the queue is here."""
    began = time.monotonic()
    broker.start()
    while True:
        # It may accept connections before the queue is back.
        with contextlib.suppress(ClientError, OSError), broker.client() as client:
            client.consume_one(QUEUE)
            return time.monotonic() - began
        broker.session.check()
        if time.monotonic() - began > RESTART_TIMEOUT_S:
            raise BrokerError(f"{broker.name}: the queue isn't back after {RESTART_TIMEOUT_S:.0f} s")
        time.sleep(0.005)


def measure_backlog(broker: Broker, options: Options) -> dict[str, float]:
    """The weight is the slope of the second half, so that caches of a fixed size aren't in it."""
    nonce = secrets.randbits(32)
    half = options.backlog // 2
    declare(broker)
    first = fill(broker, 16, half, 0, nonce)
    light = settled_memory(broker)
    second = fill(broker, 16, half, half, nonce)
    heavy = settled_memory(broker)
    broker.stop()
    restart = first_delivery(broker)
    drained = drain(broker, 16, 2 * half, nonce)
    return {
        "fill": 2 * half / (first.seconds + second.seconds),
        "weight": (heavy - light) / half,
        "restart": restart,
        "drain": 2 * half / drained.seconds,
    }


def size_of(directory: Path) -> int:
    """Bytes on disk under a directory."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def measure_recovery(broker: Broker, options: Options) -> dict[str, float]:
    nonce = secrets.randbits(32)
    declare(broker)
    fill(broker, 1024, options.journal // 1100, 0, nonce)
    broker.kill()
    on_disk = size_of(broker.directory)
    seconds = first_delivery(broker)
    return {"seconds": seconds, "disk": on_disk / 1e6}


def rows() -> list[Row]:
    return [
        Row(
            name="backlog-16",
            title="Backlog of 16 B messages, durable",
            conditions=f"filled with confirms (window {WINDOW}) while nobody consumes, restarted, drained with ack "
            f"every {ACK_EVERY}; against a quorum queue; memory is the slope of the second half",
            figures=[
                Figure(key="fill", title="fill", unit="msg/s", required=5, aim=15),
                Figure(key="drain", title="drain", unit="msg/s", required=5, aim=15),
                Figure(key="weight", title="memory each", unit="B", required=24, aim=8, against=False, smaller=True),
                Figure(
                    key="restart",
                    title="restart to first delivery",
                    unit="s",
                    required=3,
                    aim=1,
                    against=False,
                    smaller=True,
                ),
            ],
            measure=measure_backlog,
            fresh=True,
            runs_max=1,
        ),
        Row(
            name="recovery",
            title="Recovery with 1 GiB in the journal",
            conditions="1 KiB messages confirmed, then kill -9; from the start to the first delivery",
            figures=[
                Figure(key="seconds", title="time", unit="s", required=3, aim=1, against=False, smaller=True),
                Figure(key="disk", title="on disk", unit="MB", against=False),
            ],
            measure=measure_recovery,
            ours_only=True,
            fresh=True,
            runs_max=3,
        ),
    ]
