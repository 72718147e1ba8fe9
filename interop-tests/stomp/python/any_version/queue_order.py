"""A thousand messages with any bytes: all there, once, in order; queues outlive their consumers."""

from __future__ import annotations

from client import Broker, fresh

COUNT = 1000


def run(broker: Broker) -> None:
    queue = f"/queue/{fresh('order')}"
    producer, consumer = broker.connect(), broker.connect()
    sent = [b"%d\0\n\r%s" % (number, bytes([number % 256]) * (number % 50)) for number in range(COUNT)]
    for body in sent[: COUNT // 2]:
        producer.send(queue, body)
    consumer.subscribe(queue)
    for body in sent[COUNT // 2 :]:
        producer.send(queue, body)
    assert consumer.take(COUNT) == sent
    consumer.assert_nothing_left(queue)
    consumer.disconnect()
    producer.send_surely(queue, b"kept")
    consumer = broker.connect()
    consumer.subscribe(queue)
    assert consumer.next_message().body == b"kept"
    consumer.disconnect()
    producer.disconnect()
