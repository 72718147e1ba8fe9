"""A node is killed under load: how long until confirms flow again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from bench.broker import START_TIMEOUT_S, Broker
from bench.client import Client
from bench.cluster.background import Background
from bench.cluster.cluster import NODES, Cluster
from bench.cluster.probe import INTERVAL_S, Probe, resumed_after
from bench.load import Amqp, Load
from bench.row import Figure, Options, Row
from bench.session import BrokerError

QUEUES = 12
SIZE = 16
# A steady load that leaves the machine room for an election.
RATE = 2000.0
CONNECTIONS = 2
LOAD_S = 1.0
BEFORE_S = 2.0
RESUME_TIMEOUT_S = 60.0
# For a node that is back: what it missed, and the leaders it gets again.
SETTLE_S = 10.0


def steady_load(port: int, queues: Sequence[str], size: int, rate: float) -> Load:
    """A second of publishes at ``rate``, persistent and with confirms, however late these are."""
    return Load(
        port=port,
        routing_keys=list(queues),
        queues=[],
        publishers=CONNECTIONS,
        size=size,
        protocol=Amqp(persistent=True, confirms=True),
        rate=rate,
        warmup_s=0.0,
        duration_s=LOAD_S,
        drain_s=RESUME_TIMEOUT_S,
    )


def declare_everywhere(cluster: Cluster, count: int) -> list[str]:
    """Durable queues, declared through each node in turn: where that decides it, each leads as many."""
    names = [f"bench-{secrets.token_hex(4)}-{number}" for number in range(count)]
    for node, port in enumerate(cluster.ports):
        with Client(port) as client:
            client.declare_queues(names[node::NODES], durable=True, arguments=cluster.queue_arguments("quorum"))
    return names


def wait_resumed(probe: Probe, beside: Background, queues: Sequence[str], at: float) -> float:
    """Seconds from ``at`` until each queue confirms what was published after it."""
    known = len(probe.confirms)
    while (seconds := resumed_after(probe.confirms[known:], queues, at)) is None:
        probe.check()
        beside.check()
        if time.monotonic() > at + RESUME_TIMEOUT_S:
            raise BrokerError(f"not every queue confirms again after {RESUME_TIMEOUT_S:.0f} s")
        time.sleep(INTERVAL_S)
    return seconds


def kill_under_load(cluster: Cluster, victim: int, queues: Sequence[str]) -> float:
    """Kills a node while clients of the next publish; seconds until all queues confirm."""
    port = cluster.ports[(victim + 1) % NODES]
    with (
        Background(lambda: steady_load(port, queues, SIZE, RATE)) as beside,
        Probe(port, queues, SIZE) as probe,
    ):
        time.sleep(BEFORE_S)
        probe.check()
        at = time.monotonic()
        cluster.kill_node(victim)
        seconds = wait_resumed(probe, beside, queues, at)
    beside.check()
    return seconds


def measure_failover(broker: Broker, options: Options) -> dict[str, float]:
    assert isinstance(broker, Cluster)
    queues = declare_everywhere(broker, QUEUES)
    time.sleep(SETTLE_S)
    took = []
    for victim in range(NODES):
        took.append(kill_under_load(broker, victim, queues))
        broker.start_node(victim)
        broker.session.wait_listening(START_TIMEOUT_S)
        broker.wait_ready()
        time.sleep(SETTLE_S)
    return {"resume": max(took)}


def rows() -> list[Row]:
    return [
        Row(
            name="failover",
            title="A node killed under load",
            conditions="kill -9 of each node in turn, so that every queue's leader is among them, while clients of the "
            f"next one publish {RATE:,.0f} msg/s of {SIZE} B (persistent, confirms) to {QUEUES} quorum queues; until "
            "each queue has confirmed what was published after the kill; the longest of the three",
            figures=[
                Figure(
                    key="resume", title="until confirms flow again", unit="s", required=2, against=False, smaller=True
                )
            ],
            measure=measure_failover,
            fresh=True,
        )
    ]
