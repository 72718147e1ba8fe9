"""What is given back keeps its place and is flagged as redelivered."""

from __future__ import annotations

from on_pika.connection import channel_to, durable_queue


def run(url: str) -> None:
    with channel_to(url) as channel:
        queue = durable_queue(channel, "requeue", count=4)
        first, second = channel.basic_get(queue)[0], channel.basic_get(queue)[0]
        assert not first.redelivered
        channel.basic_reject(first.delivery_tag, requeue=True)
        channel.basic_nack(second.delivery_tag, requeue=True)
        got = [channel.basic_get(queue, auto_ack=True) for _ in range(4)]
        assert [(body, method.redelivered) for method, _, body in got] == [
            (b"0", True),
            (b"1", True),
            (b"2", False),
            (b"3", False),
        ]
        channel.queue_delete(queue)
