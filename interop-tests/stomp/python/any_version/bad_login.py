"""A wrong passcode is an ERROR, and the end."""

from __future__ import annotations

from client import Broker


def run(broker: Broker) -> None:
    client = broker.open(broker.login, "wrong")
    assert client.next_error().headers["message"]
    client.wait_ended()
    assert client.listener.connected.empty()
