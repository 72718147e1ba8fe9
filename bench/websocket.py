"""The loads: the rows of ``docs/performance.md`` about MQTT and STOMP over WebSocket, beside the same over TCP."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from bench.broker import Broker
from bench.load import Load, Mqtt, Result, Stomp, WebSocket, put, transient_backlog
from bench.row import Figure, Options, Protocol, Row

PATH = "/ws"
TOGETHER = 64
BROWSERS_RATE = 10.0
# The least that carries when it was due.
BROWSERS_SIZE = 24


def topic(protocol: Mqtt | Stomp) -> str:
    """A new one, which no run before has used, as the protocol writes it."""
    name = secrets.token_hex(4)
    return f"bench/{name}" if isinstance(protocol, Mqtt) else f"/topic/bench.{name}"


def run(
    protocol: Mqtt | Stomp,
    websocket: WebSocket | None,
    broker: Broker,
    options: Options,
    subscribers: int,
    **fields: Any,
) -> Result:
    """One publisher and ``subscribers`` of a topic, all with ``websocket`` or all by TCP."""
    by_tcp = broker.mqtt_port if isinstance(protocol, Mqtt) else broker.stomp_port
    port = by_tcp if websocket is None else broker.web_port
    assert port is not None
    name = topic(protocol)
    return put(
        Load(
            port=port,
            routing_keys=[name],
            queues=[name] * subscribers,
            protocol=protocol,
            websocket=websocket,
            broker_pids=broker.session.pids(),
            warmup_s=options.warmup_s,
            duration_s=options.duration_s,
            **fields,
        )
    )


def measure_beside_tcp(
    protocol: Mqtt | Stomp, together: int, size: int, broker: Broker, options: Options
) -> dict[str, float]:
    fields = {"size": size, "backlog_max": transient_backlog(size)}
    tcp, web = (
        run(protocol, websocket, broker, options, 1, **fields)
        for websocket in (None, WebSocket(path=PATH, together=together))
    )
    rates = {"tcp": tcp.received / tcp.seconds, "web": web.received / web.seconds}
    return {**rates, "ratio": rates["web"] / rates["tcp"]}


def measure_browsers(protocol: Mqtt | Stomp, broker: Broker, options: Options) -> dict[str, float]:
    fields = {"size": BROWSERS_SIZE, "rate": BROWSERS_RATE}
    result = run(protocol, WebSocket(path=PATH), broker, options, options.browsers, **fields)
    return {"p99": result.delivery_latency.p99 / 1000, "cpu": result.broker_cpu_seconds / result.seconds}


def beside_tcp(word: Protocol, protocol: Mqtt | Stomp, together: int, size: int, required: float, aim: float) -> Row:
    title = "MQTT QoS 0" if word == "mqtt" else "STOMP"
    packed = f"{together} packets" if together > 1 else "one packet"
    return Row(
        name=f"websocket-{word}-{together}-{size}",
        title=f"{title} over WebSocket, {packed} a message, 1 to 1, {size} B",
        conditions="one topic; the publisher's WebSocket messages are of that many packets; the same load over TCP "
        "just before it",
        figures=[
            Figure(key="ratio", title="share", unit="of TCP", required=required, aim=aim, against=False),
            Figure(key="web", title="by WebSocket", unit="msg/s", against=False),
            Figure(key="tcp", title="by TCP", unit="msg/s", against=False),
        ],
        measure=partial(measure_beside_tcp, protocol, together, size),
        ours_only=True,
        protocols=(word, "websocket"),
    )


def browsers(word: Protocol, protocol: Mqtt | Stomp) -> Row:
    return Row(
        name=f"websocket-{word}-browsers",
        title=f"{word.upper()} over WebSocket, 2,000 subscribers of one topic at {BROWSERS_RATE:g} msg/s",
        conditions="each on a connection of its own; open loop, from when a message was due to each delivery, "
        "with the generator's own reading of all connections",
        figures=[
            Figure(key="p99", title="p99", unit="ms", required=50, aim=20, against=False, smaller=True),
            Figure(key="cpu", title="CPU", unit="cores", required=1, aim=0.3, against=False, smaller=True),
        ],
        measure=partial(measure_browsers, protocol),
        ours_only=True,
        protocols=(word, "websocket"),
    )


def rows() -> list[Row]:
    protocols: list[tuple[Protocol, Mqtt | Stomp]] = [("mqtt", Mqtt(qos=0)), ("stomp", Stomp())]
    goals = {(TOGETHER, 16): (0.6, 0.9), (TOGETHER, 1024): (0.7, 0.9), (1, 16): (0.2, 0.4), (1, 1024): (0.4, 0.7)}
    return [
        *[
            beside_tcp(word, protocol, together, size, required, aim)
            for word, protocol in protocols
            for (together, size), (required, aim) in goals.items()
        ],
        *[browsers(word, protocol) for word, protocol in protocols],
    ]
