"""Messages are fetched one by one, with a count of those that are left."""

from __future__ import annotations

from on_aio_pika.connection import channel_to, durable_queue


async def run(url: str) -> None:
    async with channel_to(url) as channel:
        queue = await durable_queue(channel, "get", count=2)
        first = await queue.get()
        assert (first.body, first.message_count, first.routing_key) == (b"0", 1, queue.name)
        await first.ack()
        second = await queue.get(no_ack=True)
        assert (second.body, second.message_count) == (b"1", 0)
        assert await queue.get(fail=False) is None
        await queue.delete()
