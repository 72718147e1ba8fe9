"""Each stock client shows each behaviour against a started broker; the behaviours are the files beside this one."""

from __future__ import annotations

import time

import pytest

from broker_process import BrokerProcess
from clients import CLIENTS, Client, require, show

pytestmark = pytest.mark.interop

CASES = [
    pytest.param(client, behaviour, id=f"{client.name}-{behaviour}")
    for client in CLIENTS
    for behaviour in client.behaviour_names()
]


@pytest.mark.parametrize(("client", "behaviour"), CASES)
def test_a_stock_client_is_served(
    client: Client, behaviour: str, stranger: str | None, request: pytest.FixtureRequest
) -> None:
    require(client.missing())
    if stranger is not None:
        if behaviour == "reconnect":
            pytest.skip("a broker that isn't ours isn't restarted")
        show(client, behaviour, stranger, restart=lambda: None)
        return
    broker: BrokerProcess = request.getfixturevalue("broker")

    def restart() -> None:
        broker.stop()
        broker.start()

    show(client, behaviour, broker.url, restart)
    broker.check_alive()


def test_every_client_shows_every_behaviour() -> None:
    shown = {client.name: client.behaviour_names() for client in CLIENTS}
    assert len(shown["pika"]) == 14
    assert all(names == shown["pika"] for names in shown.values()), shown


def test_the_broker_is_there_within_two_seconds(fresh_broker: BrokerProcess) -> None:
    fresh_broker.kill()
    started = time.monotonic()
    fresh_broker.start()
    assert time.monotonic() - started < 2
