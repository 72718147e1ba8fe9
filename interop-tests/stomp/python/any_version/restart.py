"""Persistent messages that were answered by a receipt are there after a restart; what was settled isn't."""

from __future__ import annotations

from client import Broker, fresh
from restarting import restart_broker

COUNT = 50


def run(broker: Broker) -> None:
    queue = f"/queue/{fresh('restart')}"
    client = broker.connect()
    for number in range(COUNT):
        client.send(queue, b"%d" % number, persistent="true", receipt=str(number))
    assert [client.next_receipt() for _ in range(COUNT)] == [str(number) for number in range(COUNT)]
    client.subscribe(queue, "client", prefetch_count="10")
    settled = [client.next_message() for _ in range(10)][-1]
    client.settle(settled, receipt="settled")
    assert client.next_receipt() == "settled"
    client.disconnect()
    restart_broker()
    client = broker.connect()
    client.subscribe(queue)
    assert client.take(COUNT - 10) == [b"%d" % number for number in range(10, COUNT)]
    client.assert_nothing_left(queue)
    client.disconnect()
