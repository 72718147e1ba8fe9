"""Who is measured for a row, and who isn't."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench.broker import Broker
from bench.dragoman import Dragoman
from bench.measure import measure_row
from bench.row import Figure, Options, Row
from tests.bench.absent import Absent

FIGURE = Figure(key="rate", title="throughput", unit="msg/s", peer="peer")


def mqtt_row(measured: list[str]) -> Row:
    def measure(broker: Broker, options: Options) -> dict[str, float]:
        measured.append(broker.name)
        return {"rate": 1.0}

    return Row(name="load", title="Load", conditions="none", figures=[FIGURE], measure=measure, protocol="mqtt")


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


@pytest.mark.parametrize("has_mqtt", [False, True])
def test_our_mqtt_listener_is_a_switch(has_mqtt: bool, tmp_path: Path) -> None:
    broker = Dragoman(tmp_path, 1001, 1002, has_mqtt=has_mqtt)
    listeners = yaml.safe_load(broker.config())["message_queue"]["broker"]["listeners"]
    expected = [{"protocol": "amqp", "host": "127.0.0.1", "port": 1001}]
    if has_mqtt:
        expected.append({"protocol": "mqtt", "host": "127.0.0.1", "port": 1002})
    assert listeners == expected
    assert broker.unable("amqp") is None
    assert (broker.unable("mqtt") is None) == has_mqtt
