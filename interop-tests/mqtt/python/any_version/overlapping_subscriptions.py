"""A message that several subscriptions of a client match comes as one copy, with the highest of their QoS."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("overlap")
    device, publisher = broker.connect(), broker.connect()
    filters = [Filter(f"{topic}/#", 0), Filter(f"{topic}/+", 2), Filter(f"{topic}/x", 1)]
    assert device.subscribe(*filters) == [0, 2, 1]
    for qos in (0, 1, 2):
        publisher.publish(Message(f"{topic}/x", b"%d" % qos, qos))
    publisher.publish(Message(f"{topic}/end", b"end", 2))
    got = sorted((message.payload, message.qos) for message in device.messages_until(b"end"))
    assert got == [(b"0", 0), (b"1", 1), (b"2", 2)]
    assert device.subscribe(Filter(f"{topic}/+", 1)) == [1], "the same filter again replaces it"
    publisher.publish(Message(f"{topic}/x", b"again", 2))
    got = device.next_message()
    assert (got.payload, got.qos) == (b"again", 1)
