"""``/exchange`` and ``/amq/queue`` reach what AMQP's clients know."""

from __future__ import annotations

from client import Broker, fresh


def run(broker: Broker) -> None:
    key, queue = fresh("key"), fresh("queue")
    client = broker.connect()
    direct = client.subscribe(f"/exchange/amq.direct/{key}")
    fanned = client.subscribe("/exchange/amq.fanout", x_queue_name=queue)
    client.send(f"/exchange/amq.direct/{fresh('other')}", b"for nobody")
    client.send(f"/exchange/amq.direct/{key}", b"by key")
    message = client.next_message()
    assert (message.body, message.headers["subscription"]) == (b"by key", direct)
    assert message.headers["destination"] == f"/exchange/amq.direct/{key}"
    client.send("/exchange/amq.fanout", b"to all")
    message = client.next_message()
    assert (message.body, message.headers["subscription"]) == (b"to all", fanned)
    client.send(f"/amq/queue/{queue}", b"by name")
    message = client.next_message()
    assert (message.body, message.headers["subscription"]) == (b"by name", fanned)
    client.disconnect()
