"""The loads: the rows of ``docs/performance.md`` about messages that go in by one protocol and out by another."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.broker import Broker
from bench.load import Amqp, Load, Mqtt, Side, Stomp, put, transient_backlog
from bench.row import Figure, Options, Protocol, Row

SIZE = 16
EXCHANGE = "amq.topic"
PROTOCOLS: dict[Protocol, Amqp | Mqtt | Stomp] = {
    "amqp": Amqp(exchange=EXCHANGE),
    "mqtt": Mqtt(qos=0),
    "stomp": Stomp(),
}
TITLES: dict[Protocol, str] = {"amqp": "AMQP", "mqtt": "MQTT", "stomp": "STOMP"}


def side(word: Protocol, broker: Broker) -> Side:
    port = {"amqp": broker.port, "mqtt": broker.mqtt_port, "stomp": broker.stomp_port}[word]
    assert port is not None
    return Side(port=port, protocol=PROTOCOLS[word])


def written(word: Protocol, name: str) -> str:
    """The topic of that name, as a publisher of a protocol writes it and a subscriber of MQTT or STOMP."""
    return {"amqp": f"bench.{name}", "mqtt": f"bench/{name}", "stomp": f"/topic/bench.{name}"}[word]


@contextmanager
def subscribed(word: Protocol, name: str, broker: Broker) -> Iterator[str]:
    """What a consumer of a protocol asks for; AMQP's is a transient queue bound to the topic."""
    if word != "amqp":
        yield written(word, name)
        return
    queue = f"bench-{name}"
    with broker.client() as client:
        client.declare_queue(queue, durable=False, arguments=broker.queue_arguments("classic"))
        client.bind(queue, EXCHANGE, written("amqp", name))
    yield queue
    with broker.client() as client:
        client.delete_queue(queue)


def rate(published: Protocol, consumed: Protocol, broker: Broker, options: Options) -> float:
    """Deliveries a second of messages published in one protocol and consumed in another, or the same."""
    name = secrets.token_hex(4)
    publishing = side(published, broker)
    with subscribed(consumed, name, broker) as queue:
        result = put(
            Load(
                port=publishing.port,
                protocol=publishing.protocol,
                consuming=side(consumed, broker),
                routing_keys=[written(published, name)],
                queues=[queue],
                size=SIZE,
                backlog_max=transient_backlog(SIZE),
                warmup_s=options.warmup_s,
                duration_s=options.duration_s,
            )
        )
    return result.received / result.seconds


def measure_crossing(published: Protocol, consumed: Protocol, broker: Broker, options: Options) -> dict[str, float]:
    alone = min(rate(published, published, broker, options), rate(consumed, consumed, broker, options))
    crossing = rate(published, consumed, broker, options)
    return {"ratio": crossing / alone, "rate": crossing, "alone": alone}


def crossing(published: Protocol, consumed: Protocol) -> Row:
    return Row(
        name=f"crossing-{published}-{consumed}",
        title=f"{TITLES[published]} to {TITLES[consumed]}, 1 to 1, {SIZE} B",
        conditions=f"one topic of {EXCHANGE}, transient, auto-ack or QoS 0; beside the slower of the two protocols "
        "alone, measured just before it",
        figures=[
            Figure(key="ratio", title="share", unit="of the slower", required=0.6, aim=0.9, against=False),
            Figure(key="rate", title="throughput", unit="msg/s", against=False),
            Figure(key="alone", title="the slower alone", unit="msg/s", against=False),
        ],
        measure=partial(measure_crossing, published, consumed),
        ours_only=True,
        protocols=(published, consumed),
    )


def rows() -> list[Row]:
    return [crossing("amqp", "mqtt"), crossing("mqtt", "amqp"), crossing("mqtt", "stomp")]
