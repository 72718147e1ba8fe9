"""What is given back keeps its place and is flagged as redelivered."""

from __future__ import annotations

from on_aio_pika.connection import channel_to, durable_queue


async def run(url: str) -> None:
    async with channel_to(url) as channel:
        queue = await durable_queue(channel, "requeue", count=3)
        first, second = await queue.get(), await queue.get()
        await second.nack(requeue=True)
        await first.reject(requeue=True)
        got = [await queue.get(no_ack=True) for _ in range(3)]
        assert [(message.body, message.redelivered) for message in got] == [(b"0", True), (b"1", True), (b"2", False)]
        await queue.delete()
