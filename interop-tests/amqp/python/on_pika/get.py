"""Messages are fetched one by one, with a count of those that are left."""

from __future__ import annotations

from on_pika.connection import channel_to, durable_queue


def run(url: str) -> None:
    with channel_to(url) as channel:
        queue = durable_queue(channel, "get", count=2)
        method, _, body = channel.basic_get(queue)
        assert (body, method.message_count, method.routing_key) == (b"0", 1, queue)
        channel.basic_ack(method.delivery_tag)
        method, _, body = channel.basic_get(queue, auto_ack=True)
        assert (body, method.message_count) == (b"1", 0)
        assert channel.basic_get(queue) == (None, None, None)
        channel.queue_delete(queue)
