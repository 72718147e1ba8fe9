"""A subscription may leave out what its own client publishes."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("nolocal")
    device, other = broker.connect(), broker.connect()
    device.subscribe(Filter(topic, 1, no_local=True), Filter(f"{topic}/end", 1))
    other.subscribe(Filter(topic, 1))
    device.publish(Message(topic, b"mine", 1))
    assert other.next_message().payload == b"mine"
    other.publish(Message(topic, b"other's", 1))
    device.publish(Message(f"{topic}/end", b"end", 1))
    assert [message.payload for message in device.messages_until(b"end")] == [b"other's"]
