"""Every publish is confirmed, and counted in its queue."""

from __future__ import annotations

from on_pika.connection import channel_to, durable_queue, message_count


def run(url: str) -> None:
    with channel_to(url) as channel:
        queue = durable_queue(channel, "confirms", count=100)  # raises unless each is confirmed
        assert message_count(channel, queue) == 100
        assert channel.queue_purge(queue).method.message_count == 100
        channel.queue_delete(queue)
