"""No more than ``prefetch-count`` messages are on their way without an ACK."""

from __future__ import annotations

import queue as queues

import client
from client import Broker, fresh


def run(broker: Broker) -> None:
    queue = f"/queue/{fresh('prefetch')}"
    consumer = broker.connect()
    for number in range(6):
        consumer.send_surely(queue, b"%d" % number)
    consumer.subscribe(queue, "client", prefetch_count="2")
    for number in range(0, 6, 2):
        first, second = consumer.next_message(), consumer.next_message()
        assert [first.body, second.body] == [b"%d" % number, b"%d" % (number + 1)]
        try:
            early = consumer.listener.messages.get(timeout=client.SILENCE_S)
        except queues.Empty:
            early = None
        assert early is None
        consumer.settle(second)
    consumer.disconnect()
