"""1,000 durable queues on one channel, each with its own message."""

from __future__ import annotations

from on_pika.connection import PERSISTENT, channel_to, fresh

COUNT = 1000


def run(url: str) -> None:
    prefix = fresh("many")
    queues = [f"{prefix}.{number}" for number in range(COUNT)]
    with channel_to(url) as channel:
        for queue in queues:
            channel.queue_declare(queue, durable=True)
        for queue in queues:
            channel.basic_publish("", queue, queue.encode(), PERSISTENT)
        channel.confirm_delivery()
        channel.basic_publish("", queues[0], b"after all others", PERSISTENT)
        for queue in queues:
            assert channel.basic_get(queue, auto_ack=True)[2] == queue.encode()
            channel.queue_delete(queue)
