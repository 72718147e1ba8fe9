"""What is larger than a client takes is left out for this client; what it takes comes."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("size")
    small = broker.connect(properties={"maximum_packet_size": 200})
    large, publisher = broker.connect(), broker.connect()
    for device in (small, large):
        device.subscribe(Filter(topic, 2))
    sizes = [1, 100, 200, 150, 5000, 10, 250, 20]  # and a topic, a packet id and a header
    for number, size in enumerate(sizes):
        publisher.publish(Message(topic, b"x" * size, number % 3))
        assert len(large.next_message().payload) == size
    publisher.publish(Message(topic, b"end", 1))
    assert sorted(len(message.payload) for message in small.messages_until(b"end")) == [1, 10, 20, 100, 150]
