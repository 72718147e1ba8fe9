"""The one who is taken over is told so."""

from __future__ import annotations

from device import Broker, fresh

SESSION_TAKEN_OVER = 0x8E


def run(broker: Broker) -> None:
    client_id = fresh("taken")
    first = broker.connect(client_id)
    broker.connect(client_id)
    assert first.wait_ended() == SESSION_TAKEN_OVER
