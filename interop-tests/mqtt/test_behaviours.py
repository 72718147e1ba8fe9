"""Each stock MQTT client shows each behaviour against a started broker; they are the files beside this one."""

from __future__ import annotations

import pytest

from clients import Client, require, show
from mqtt_broker import MqttBroker
from mqtt_clients import LIMITED_USER, MQTT_CLIENTS, WITHOUT, why_ours_only

pytestmark = pytest.mark.interop

CASES = [
    pytest.param(client, behaviour, id=f"{client.name}-{behaviour}")
    for client in MQTT_CLIENTS
    for behaviour in client.behaviour_names()
    if behaviour not in WITHOUT.get(client.name, ())
]


@pytest.mark.parametrize(("client", "behaviour"), CASES)
def test_a_stock_client_is_served(client: Client, behaviour: str, mqtt_broker: MqttBroker) -> None:
    require(client.missing())
    if not mqtt_broker.ours and (otherwise := why_ours_only(client.name, behaviour)) is not None:
        pytest.skip(f"another broker may do otherwise: Mosquitto 2.0.11 {otherwise}")
    if behaviour in LIMITED_USER and not mqtt_broker.limited_user:
        pytest.skip("there is no user with less than all rights")
    if behaviour == "restart" and mqtt_broker.restart is None:
        pytest.skip("a broker that isn't ours isn't restarted")
    show(client, behaviour, mqtt_broker.url, mqtt_broker.restart or (lambda: None))
    mqtt_broker.check_alive()


def test_every_client_shows_what_matters() -> None:
    essential = {"every_qos", "offline_messages", "restart", "retained", "wildcards", "will"}
    for client in MQTT_CLIENTS:
        missing = essential - {*client.behaviour_names()}
        assert not missing, f"{client.name}: {missing}"
        unknown = WITHOUT.get(client.name, set()) - {*client.behaviour_names()}
        assert not unknown, f"{client.name}: {unknown}"
