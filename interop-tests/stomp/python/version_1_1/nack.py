"""NACK gives a message back; with ``requeue:false`` it is gone."""

from __future__ import annotations

from client import Broker, fresh


def run(broker: Broker) -> None:
    queue = f"/queue/{fresh('nack')}"
    client = broker.connect()
    client.send(queue, b"again")
    client.subscribe(queue, "client-individual", prefetch_count="1")
    first = client.next_message()
    assert not first.redelivered
    client.settle(first, "nack")
    second = client.next_message()
    assert (second.body, second.redelivered) == (b"again", True)
    client.settle(second, "nack", requeue="false")
    client.assert_nothing_left(queue)
    client.disconnect()
