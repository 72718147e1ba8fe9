"""An ERROR names the frame by the receipt that it asked for, and the broker hangs up after it."""

from __future__ import annotations

from any_version.errors import MISTAKES
from client import Broker


def run(broker: Broker) -> None:
    for mistake in MISTAKES:
        client = broker.connect()
        mistake(client)
        assert client.next_error().headers.get("receipt-id") == "wrong", mistake
        client.wait_ended()
