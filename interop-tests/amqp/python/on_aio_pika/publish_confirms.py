"""Many publishes are under way at a time; every one is confirmed, and counted in its queue."""

from __future__ import annotations

import asyncio

from on_aio_pika.connection import channel_to, durable_queue, message_count, persistent


async def run(url: str) -> None:
    async with channel_to(url) as channel:
        queue = await durable_queue(channel, "confirms")
        publishes = [channel.default_exchange.publish(persistent(b"x"), queue.name) for _ in range(500)]
        confirms = await asyncio.gather(*publishes)
        assert all(confirm is not None for confirm in confirms)
        assert await message_count(channel, queue) == 500
        await queue.purge()
        await queue.delete()
