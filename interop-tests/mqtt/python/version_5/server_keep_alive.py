"""A client that would be silent for eighteen hours is told to speak sooner; a modest one has its way."""

from __future__ import annotations

from device import Broker


def run(broker: Broker) -> None:
    told = broker.device(keep_alive_s=65_535).connect().properties.get("server_keep_alive")
    assert told is not None, "no Server Keep Alive"
    assert 0 < told < 65_535
    assert "server_keep_alive" not in broker.device(keep_alive_s=10).connect().properties
