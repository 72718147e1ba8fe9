"""A client that has nothing to say pings, is answered and stays connected; one byte to 100 kB go through."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    device = broker.connect(keep_alive_s=1)
    device.ping()
    device.ping()
    topic = fresh("ping")
    device.subscribe(Filter(topic))
    for payload in (b"", b"\0", b"\xff" * 127, b"x" * 128, b"y" * 16_384, b"z" * 100_000):
        device.publish(Message(topic, payload, 1))
        assert device.next_message().payload == payload
    assert device.ended.empty()
    device.disconnect()
