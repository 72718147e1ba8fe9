"""A client that asks for it is told below which topic it may have its answers; nobody else is."""

from __future__ import annotations

from device import Broker, Filter, Message


def run(broker: Broker) -> None:
    device = broker.device(properties={"request_response_information": 1})
    told = device.connect().properties.get("response_information")
    assert told, "no Response Information"
    other = broker.device(properties={"request_response_information": 1})
    assert other.connect().properties["response_information"] != told, "everybody has its own"
    assert device.subscribe(Filter(f"{told}/#", 1)) == [1]
    other.publish(Message(f"{told}/x", b"answer", 1))
    assert device.next_message().payload == b"answer"
    assert "response_information" not in broker.device().connect().properties
