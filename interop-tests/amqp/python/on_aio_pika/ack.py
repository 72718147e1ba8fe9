"""Prefetch bounds what is unacknowledged; what is acknowledged is gone; the rest comes back."""

from __future__ import annotations

import asyncio

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from on_aio_pika.connection import channel_to, durable_queue, message_count


async def run(url: str) -> None:
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    queue = await durable_queue(channel, "ack", count=30)
    await channel.set_qos(prefetch_count=10)
    inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(inbox.put)
    messages = [await inbox.get() for _ in range(10)]
    await asyncio.sleep(0.3)
    assert inbox.empty()
    await messages[4].ack(multiple=True)
    await messages[6].ack()
    messages += [await inbox.get() for _ in range(6)]
    await asyncio.sleep(0.2)
    assert inbox.empty()
    await connection.close()
    async with channel_to(url) as again:
        queue = await again.get_queue(queue.name)
        assert await message_count(again, queue) == 24
        first = await queue.get(no_ack=True)
        assert (first.redelivered, first.body) == (True, b"5")
        await queue.delete(if_empty=False)
