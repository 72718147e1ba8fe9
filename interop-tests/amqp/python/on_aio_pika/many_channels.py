"""200 channels of one connection, each publishing to and consuming from its own queue."""

from __future__ import annotations

import asyncio

import aio_pika

COUNT = 200


async def run(url: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection, asyncio.timeout(60):
        channels = [await connection.channel() for _ in range(COUNT)]
        for number, channel in enumerate(channels):
            queue = await channel.declare_queue(exclusive=True)
            inbox: asyncio.Queue[bytes] = asyncio.Queue()
            await queue.consume(lambda message, inbox=inbox: inbox.put(message.body), no_ack=True)
            await channel.default_exchange.publish(aio_pika.Message(str(number).encode()), queue.name)
            assert await inbox.get() == str(number).encode()
