"""Each stock STOMP client shows each behaviour against a started broker; they are the files beside this one."""

from __future__ import annotations

import os

import pytest

from clients import Client, require, show
from stomp_broker import StompBroker
from stomp_clients import STOMP_CLIENTS, WEBSOCKET, why_ours_only

pytestmark = pytest.mark.interop

EARLIER_VERSIONS = ("-1.0", "-1.1")
ALL_VERSIONS = "DRAGOMAN_TEST_STOMP_VERSIONS" in os.environ
"""`make test-long` has every client in every version; `make test` stomp.py alone, the others in their newest."""


def is_shown(client: Client) -> bool:
    return (
        ALL_VERSIONS
        or client.name.startswith("stomp.py")
        or not any(version in client.name for version in EARLIER_VERSIONS)
    )


CASES = [
    pytest.param(client, behaviour, id=f"{client.name}-{behaviour}")
    for client in filter(is_shown, STOMP_CLIENTS)
    for behaviour in client.behaviour_names()
]


@pytest.mark.parametrize(("client", "behaviour"), CASES)
def test_a_stock_client_is_served(client: Client, behaviour: str, stomp_broker: StompBroker) -> None:
    require(client.missing())
    url = stomp_broker.web_url if client.name.endswith(WEBSOCKET) else stomp_broker.url
    if url is None:
        pytest.skip("INTEROP_WEB_STOMP_URL says where the other broker has its WebSocket")
    if not stomp_broker.ours and (otherwise := why_ours_only(client.name, behaviour)) is not None:
        pytest.skip(f"another broker may do otherwise: RabbitMQ 3.10.8 {otherwise}")
    if behaviour in ("restart", "durable_subscription") and stomp_broker.restart is None:
        pytest.skip("a broker that isn't ours isn't restarted")
    show(client, behaviour, url, stomp_broker.restart or (lambda: None))
    stomp_broker.check_alive()


def test_every_client_shows_what_matters() -> None:
    essential = {
        *("ack_modes", "connect", "durable_subscription", "errors", "large_frames", "nack", "queue_order"),
        *("temp_queue", "topics", "transactions"),
    }
    for client in STOMP_CLIENTS:
        missing = essential - {*client.behaviour_names()}
        if client.name == "stomp.py-1.0":
            missing -= {"nack"}
        assert not missing, f"{client.name}: {missing}"
