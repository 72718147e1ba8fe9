"""SUBSCRIBE's headers and the queue that comes of them."""

from __future__ import annotations

import pytest

from broker.model.names import ExchangeName, QueueName, RoutingKey
from broker.model.topology import BindingSpec, QueueSpec
from protocols.stomp.queue_parameters import ARGUMENTS
from protocols.stomp.settings import StompSettings
from protocols.stomp.subscribing import AckMode, Subscribing, durable_queue_name, read_subscribe
from protocols.stomp.version import Version, negotiated
from protocols.stomp.violation import ProtocolViolation

V1_0, V1_1, V1_2 = Version


def read(**headers: str) -> Subscribing:
    return read_as(V1_2, StompSettings(), **headers)


def read_as(version: Version, settings: StompSettings, /, **headers: str) -> Subscribing:
    named = {"id": "0", "destination": "/queue/a"} | {name.replace("_", "-"): value for name, value in headers.items()}
    given = {name: value for name, value in named.items() if value != "-"}
    return read_subscribe(given, version, settings, "private")


@pytest.mark.parametrize(
    ("headers", "queue"),
    [
        ({}, QueueSpec(QueueName("a"), durable=True)),
        ({"durable": "false"}, QueueSpec(QueueName("a"), exclusive=True, auto_delete=True)),
        ({"durable": "false", "exclusive": "false"}, QueueSpec(QueueName("a"), auto_delete=True)),
        ({"auto_delete": "true"}, QueueSpec(QueueName("a"), durable=True, auto_delete=True)),
        ({"exclusive": "true"}, QueueSpec(QueueName("a"), durable=True, exclusive=True)),
        ({"destination": "/queue/a%2Fb"}, QueueSpec(QueueName("a/b"), durable=True)),
        ({"destination": "/amq/queue/a", "durable": "false"}, QueueSpec(QueueName("a"))),
        ({"destination": "/topic/k"}, QueueSpec(QueueName("private"), exclusive=True, auto_delete=True)),
        (
            {"destination": "/exchange/x", "x_queue_name": "n"},
            QueueSpec(QueueName("n"), exclusive=True, auto_delete=True),
        ),
        (
            {"destination": "/topic/k", "durable": "true", "auto_delete": "false"},
            QueueSpec(QueueName(durable_queue_name("amq.topic", "k", "0")), durable=True),
        ),
        ({"destination": "/topic/k", "durable": "true", "x_queue_name": "n"}, QueueSpec(QueueName("n"), durable=True)),
        (
            {"x_message_ttl": "5", "x_overflow": "drop-head"},
            QueueSpec(QueueName("a"), durable=True, arguments={"x-message-ttl": 5, "x-overflow": "drop-head"}),
        ),
    ],
)
def test_the_queue(headers: dict[str, str], queue: QueueSpec) -> None:
    assert read(**headers).queue == queue


def test_every_queue_parameter_becomes_an_argument() -> None:
    given = {name.replace("-", "_"): "true" if name == "x-single-active-consumer" else "7" for name in ARGUMENTS}
    assert read(**given).queue.arguments.keys() == ARGUMENTS.keys()


def test_the_binding() -> None:
    assert read().binding is None
    assert read(destination="/topic/a.*").binding == BindingSpec(
        ExchangeName("amq.topic"), "private", RoutingKey("a.*")
    )
    assert read(destination="/exchange/x").binding == BindingSpec(ExchangeName("x"), "private", RoutingKey(""))
    assert read(destination="/exchange/x/k").binding == BindingSpec(ExchangeName("x"), "private", RoutingKey("k"))


def test_a_durable_name_is_of_the_pair_however_the_destination_is_written() -> None:
    names = {
        read(destination=destination, durable="true", id=id).queue.name
        for destination, id in [("/topic/a", "1"), ("/topic/%61", "1"), ("/topic/a", "2"), ("/topic/b", "1")]
    }
    assert len(names) == 3
    assert durable_queue_name("a", "b", "c") != durable_queue_name("a", "", "bc")


def test_what_is_durable_by_its_destination_is_no_durable_subscription() -> None:
    assert not read(durable="true").durable
    assert read(destination="/topic/a", durable="true").durable
    assert read(destination="/topic/a", persistent="true").durable


def test_the_consumer() -> None:
    assert read().ack is AckMode.AUTO
    assert read(ack="client").ack is AckMode.CLIENT
    assert read(x_priority="-3").arguments == {"x-priority": -3}
    assert read(prefetch_count="9").prefetch_count == 9
    assert read_as(V1_2, StompSettings(prefetch_count=4)).prefetch_count == 4
    assert read_as(V1_0, StompSettings(), id="-").key == "Q_/queue/a"
    assert read().key == "T_0"


@pytest.mark.parametrize(
    "headers",
    [
        {"destination": "-"},
        {"id": "-"},
        {"id": ""},
        {"id": "/temp-queue/x"},
        {"id": "a\nb"},
        {"id": "x" * 256},
        {"destination": "/temp-queue/a"},
        {"destination": "/reply-queue/a"},
        {"destination": "/nowhere/a"},
        {"destination": "/queue/"},
        {"destination": "/exchange//k"},
        {"ack": "sometimes"},
        {"durable": "yes"},
        {"auto_delete": ""},
        {"exclusive": "TRUE"},
        {"prefetch_count": "-1"},
        {"prefetch_count": "65536"},
        {"prefetch_count": "many"},
        {"prefetch_count": "9" * 30},
        {"x_priority": "high"},
        {"x_priority": "99999999999"},
        {"x_message_ttl": "1s"},
        {"x_overflow": "a\nb"},
        {"x_queue_name": "n"},
        {"destination": "/topic/a", "x_queue_name": ""},
        {"destination": "/topic/a", "x_queue_name": "a\rb"},
        {"selector": "a = 1"},
        {"activemq.prefetchSize": "1"},
        {"activemq.anything": "1"},
        {"consumer_window_size": "1"},
        {"durable_subscription_name": "n"},
        {"client_id": "c"},
        {"x_stream_offset": "first"},
    ],
)
def test_what_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ProtocolViolation):
        read(**headers)


@pytest.mark.parametrize(
    ("accepted", "version"),
    [
        (None, V1_0),
        ("1.0", V1_0),
        ("1.1,1.0", V1_1),
        ("1.2, 1.1", V1_2),
        ("1.1,9.9", V1_1),
        ("", None),
        ("2.0", None),
        ("1", None),
    ],
)
def test_the_version(accepted: str | None, version: Version | None) -> None:
    assert negotiated(accepted) is version
