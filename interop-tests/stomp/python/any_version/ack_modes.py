"""``client`` settles all up to a message, ``client-individual`` one; the rest comes back when its consumer leaves."""

from __future__ import annotations

from client import Broker, Client, fresh

LEFT = {"client": ["5", "6", "7", "8"], "client-individual": ["1", "2", "3", "5", "6", "7", "8"]}


def run(broker: Broker) -> None:
    modes = ("client",) if broker.version == "1.0" else ("client", "client-individual")
    for mode in modes:
        queue = f"/queue/{fresh(mode)}"
        producer, consumer = broker.connect(), broker.connect()
        for number in range(1, 9):
            producer.send_surely(queue, b"%d" % number)
        consumer.subscribe(queue, mode, prefetch_count="8")
        messages = [consumer.next_message() for _ in range(8)]
        assert not any(message.redelivered for message in messages)
        consumer.settle(messages[3], receipt="settled")
        assert consumer.next_receipt() == "settled"
        consumer.hang_up()
        assert came_back(broker, queue) == LEFT[mode]
        producer.disconnect()


def came_back(broker: Broker, queue: str) -> list[str]:
    """What is left in the queue, all of which was delivered before."""
    heir = broker.connect()
    heir.subscribe(queue, "client")
    left = drained(heir, queue)
    heir.disconnect()
    return left


def drained(client: Client, queue: str) -> list[str]:
    bodies = []
    client.send(queue, b"end")
    while (message := client.next_message()).body != b"end":
        assert message.redelivered
        bodies.append(message.body.decode())
    client.settle(message, receipt="drained")
    assert client.next_receipt() == "drained"
    return bodies
