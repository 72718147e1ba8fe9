"""A broker for all behaviours, or another one's address in INTEROP_AMQP_URL, INTEROP_MQTT_URL and INTEROP_STOMP_URL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import DRAGOMAN, BrokerProcess
from mosquitto_process import MosquittoProcess
from mqtt_broker import MqttBroker
from stomp_broker import StompBroker, our_broker, rabbitmq


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One broker that every behaviour meets as the last one left it."""
    assert DRAGOMAN.exists(), "run make build"
    process = BrokerProcess(tmp_path_factory.mktemp("broker"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def fresh_broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A started broker of this test alone, to be treated as it likes."""
    assert DRAGOMAN.exists(), "run make build"
    process = BrokerProcess(tmp_path)
    process.start()
    yield process
    process.kill()


@pytest.fixture(scope="session")
def stranger() -> str | None:
    """The address of another broker, to see whether a behaviour is what that one shows too."""
    return os.environ.get("INTEROP_AMQP_URL")


@pytest.fixture(scope="session")
def mqtt_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttBroker]:
    """Whom MQTT clients meet: our broker, the one at INTEROP_MQTT_URL, or, where that is ``mosquitto``, Debian's."""
    stranger = os.environ.get("INTEROP_MQTT_URL")
    if stranger == "mosquitto":
        mosquitto = MosquittoProcess(tmp_path_factory.mktemp("mosquitto"))
        mosquitto.start()
        yield MqttBroker(mosquitto.url, ours=False, limited_user=True, restart=mosquitto.restart)
        mosquitto.stop()
    elif stranger is not None:
        yield MqttBroker(stranger, ours=False)
    else:
        process: BrokerProcess = request.getfixturevalue("broker")
        yield MqttBroker(process.mqtt_url, ours=True, restart=process.restart, check_alive=process.check_alive)


@pytest.fixture(scope="session")
def stomp_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StompBroker]:
    """Whom STOMP clients meet: our broker, the one at INTEROP_STOMP_URL, or, where that is ``rabbitmq``, Debian's."""
    stranger = os.environ.get("INTEROP_STOMP_URL")
    if stranger == "rabbitmq":
        with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as broker:
            yield broker
    elif stranger is not None:
        yield StompBroker(stranger, os.environ.get("INTEROP_WEB_STOMP_URL"), ours=False)
    else:
        yield our_broker(request.getfixturevalue("broker"))
