"""A node that missed a gibibyte comes back under load: how long it takes, and what the others' clients see of it."""

from __future__ import annotations

import time

from bench.backlog import size_of
from bench.broker import Broker
from bench.cluster.background import Background
from bench.cluster.dragoman import DragomanCluster
from bench.cluster.failover import declare_everywhere, steady_load, wait_resumed
from bench.cluster.probe import INTERVAL_S, Probe, latencies, percentile
from bench.load import Amqp, Load, put
from bench.row import Figure, Options, Row
from bench.session import BrokerError

QUEUES = 4
SIZE = 1024
FILL_CONNECTIONS = 4
FILL_WINDOW = 500
FILL_TIMEOUT_S = 600.0
RATE = 1000.0
BEFORE_S = 5.0
REJOIN_TIMEOUT_S = 120.0
# Of what it missed: as much on its disk, and another node is killed to see that it takes its place.
SHARE_THERE = 0.95
LATE, OTHER = 2, 1


def fill(cluster: DragomanCluster, queues: list[str], size: int) -> None:
    """Publishes so many bytes, and nobody consumes."""
    put(
        Load(
            port=cluster.port,
            routing_keys=queues,
            queues=[],
            publishers=FILL_CONNECTIONS,
            size=SIZE,
            protocol=Amqp(persistent=True, confirms=True),
            window=FILL_WINDOW,
            messages=size // SIZE // FILL_CONNECTIONS,
            drain_s=FILL_TIMEOUT_S,
        )
    )


def wait_there(cluster: DragomanCluster, size: int, checked: tuple[Probe, Background], deadline: float) -> None:
    """Returns once the late node's data has grown to ``size`` bytes on disk."""
    while size_of(cluster.data(LATE)) < size:
        for one in checked:
            one.check()
        cluster.session.check()
        if time.monotonic() > deadline:
            raise BrokerError(f"{cluster.name}: the node isn't back after {REJOIN_TIMEOUT_S:.0f} s")
        time.sleep(INTERVAL_S)


def measure_rejoin(broker: Broker, options: Options) -> dict[str, float]:
    assert isinstance(broker, DragomanCluster)
    queues = declare_everywhere(broker, QUEUES)
    broker.kill_node(LATE)
    there = size_of(broker.data(LATE)) + int(SHARE_THERE * options.journal)
    fill(broker, queues, options.journal)
    with (
        Background(lambda: steady_load(broker.port, queues, SIZE, RATE)) as beside,
        Probe(broker.port, queues, SIZE) as probe,
    ):
        time.sleep(BEFORE_S)
        began = time.monotonic()
        broker.start_node(LATE)
        wait_there(broker, there, (probe, beside), began + REJOIN_TIMEOUT_S)
        came = time.monotonic()
        broker.kill_node(OTHER)
        seconds = came - began + wait_resumed(probe, beside, queues, came)
    beside.check()
    before = percentile(latencies(probe.confirms, began - BEFORE_S, began), 0.99)
    meanwhile = percentile(latencies(probe.confirms, began, came), 0.99)
    return {"seconds": seconds, "ratio": meanwhile / before, "before": before, "meanwhile": meanwhile}


def rows() -> list[Row]:
    return [
        Row(
            name="rejoin",
            title="A node 1 GiB behind rejoins under load",
            conditions=f"killed, 1 GiB of 1 KiB messages confirmed and kept without it, then started while {RATE:,.0f} "
            f"msg/s of 1 KiB (persistent, confirms) go on to {QUEUES} queues; when its disk has what it missed another "
            "node is killed, and the time is until each queue confirms by its vote; p99 of the confirms in the "
            f"{BEFORE_S:.0f} s before it starts, and from then until the other is killed",
            figures=[
                Figure(key="seconds", title="until it votes", unit="s", required=20, against=False, smaller=True),
                Figure(
                    key="ratio",
                    title="p99 meanwhile",
                    unit="times that before",
                    required=2,
                    against=False,
                    smaller=True,
                ),
                Figure(key="before", title="p99 before", unit="us", against=False, smaller=True),
                Figure(key="meanwhile", title="p99 meanwhile", unit="us", against=False, smaller=True),
            ],
            measure=measure_rejoin,
            ours_only=True,
            fresh=True,
            runs_max=3,
        )
    ]
