"""No more unacknowledged messages than a client takes; QoS 0 ones don't count."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("receive")
    device = broker.connect(manual_ack=True, properties={"receive_maximum": 2})
    device.subscribe(Filter(f"{topic}/+", 1))
    publisher = broker.connect()
    publisher.publish_all([Message(f"{topic}/1", b"%d" % number, 1) for number in range(20)])
    publisher.publish(Message(f"{topic}/0", b"free", 0))
    got = [device.next_message() for _ in range(3)]
    assert {message.payload for message in got} == {b"0", b"1", b"free"}
    waiting = [message for message in got if message.qos]
    for number in range(2, 20):
        device.acknowledge(waiting.pop(0))
        waiting.append(device.next_message())
        assert waiting[-1].payload == b"%d" % number
        assert device.received.empty(), "more than two"
