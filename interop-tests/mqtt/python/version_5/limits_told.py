"""CONNACK tells what the broker offers, in values that the specification allows."""

from __future__ import annotations

from device import Broker


def run(broker: Broker) -> None:
    told = broker.device().connect().properties
    assert "maximum_qos" not in told, "absent means 2, and 2 may not be said"
    for name in ("retain_available", "wildcard_subscription_available", "subscription_identifier_available",
                 "shared_subscription_available"):  # fmt: skip
        assert told.get(name, 1) == 1, name
    assert told.get("receive_maximum", 65_535) >= 10
    assert told.get("maximum_packet_size", 1 << 28) >= 1 << 20
