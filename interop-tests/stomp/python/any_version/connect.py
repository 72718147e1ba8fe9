"""The version that was asked for, a session, a server's name; DISCONNECT is answered."""

from __future__ import annotations

from client import Broker


def run(broker: Broker) -> None:
    client = broker.connect()
    assert client.connected["version"] == broker.version
    assert client.connected["session"]
    assert "/" in client.connected["server"]
    other = broker.connect()
    assert other.connected["session"] != client.connected["session"]
    other.disconnect()
    client.disconnect()
