"""Who has no client id is given one, of its own, and may come back with it."""

from __future__ import annotations

from device import Broker


def run(broker: Broker) -> None:
    properties = {"session_expiry_interval": 3600}
    first, second = broker.device("", properties=properties), broker.device("")
    given = first.connect().properties["assigned_client_identifier"]
    assert given
    assert given != second.connect().properties["assigned_client_identifier"]
    first.disconnect()
    back = broker.device(str(given), clean=False, properties=properties)
    connack = back.connect()
    broker.check_present(connack, True)
    assert "assigned_client_identifier" not in connack.properties
    broker.forget(str(given))
