"""Who is measured for a row, and who isn't."""

from __future__ import annotations

from pathlib import Path

import yaml

from bench import dragoman
from bench.broker import Broker
from bench.measure import measure_row
from bench.rabbitmq import RabbitMq
from bench.row import Figure, Options, Row
from tests.bench.absent import Absent

FIGURE = Figure(key="rate", title="throughput", unit="msg/s", peer="peer")


def mqtt_row(measured: list[str]) -> Row:
    def measure(broker: Broker, options: Options) -> dict[str, float]:
        measured.append(broker.name)
        return {"rate": 1.0}

    return Row(name="load", title="Load", conditions="none", figures=[FIGURE], measure=measure, protocols=("mqtt",))


def test_a_broker_that_does_not_speak_the_protocol_is_skipped_and_said(tmp_path: Path) -> None:
    measured: list[str] = []
    said: list[str] = []
    brokers = [Absent("stranger", mqtt_port=1), Absent("peer"), Absent("us", is_ours=True)]
    runs = measure_row(mqtt_row(measured), brokers, Options(), tmp_path, said.append)
    assert (measured, runs.values, runs.fsync_us) == ([], {}, [])
    assert runs.skipped == {"peer": "peer has no MQTT listener", "us": "us has no MQTT listener"}
    assert said == [f"  load: {reason}, skipped" for reason in runs.skipped.values()]


def test_a_row_of_ours_alone_has_no_peers() -> None:
    row = mqtt_row([])
    assert row.peers == ["peer"]
    assert Row(name="", title="", conditions="", figures=[FIGURE], measure=row.measure, ours_only=True).peers == []


def test_our_broker_listens_for_what_it_is_given_ports_for(tmp_path: Path) -> None:
    broker = dragoman.Dragoman(tmp_path, 1001, 1002, None, 1004)
    listeners = yaml.safe_load(broker.config())["message_queue"]["broker"]["listeners"]
    expected = [("amqp", 1001), ("mqtt", 1002), ("http", 1004)]
    assert listeners == [{"protocol": word, "host": "127.0.0.1", "port": port} for word, port in expected]
    assert broker.unable("amqp") is broker.unable("websocket") is None
    assert broker.unable("stomp") == "Dragoman has no STOMP listener"


def test_a_plugin_of_rabbitmq_is_what_its_node_is_called_after(tmp_path: Path) -> None:
    brokers = [
        RabbitMq(tmp_path, 1001),
        RabbitMq(tmp_path, 1001, mqtt_port=1002),
        RabbitMq(tmp_path, 1001, stomp_port=1003),
    ]
    assert [broker.name for broker in brokers] == ["RabbitMQ", "RabbitMQ MQTT", "RabbitMQ STOMP"]
    assert [broker.unable("stomp") for broker in brokers[1:]] == ["RabbitMQ MQTT has no STOMP listener", None]
