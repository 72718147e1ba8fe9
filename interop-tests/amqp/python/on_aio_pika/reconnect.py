"""A robust connection comes back by itself after a restart of the broker, and so does its consumer."""

from __future__ import annotations

import asyncio

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from on_aio_pika.connection import durable_queue, persistent
from restart import restart_broker


async def run(url: str) -> None:
    connection = await aio_pika.connect_robust(url, reconnect_interval=0.2)
    channel = await connection.channel()
    queue = await durable_queue(channel, "reconnect")
    inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(inbox.put)
    async with asyncio.timeout(30):
        await channel.default_exchange.publish(persistent(b"before"), queue.name)
        await (await inbox.get()).ack()
        await asyncio.to_thread(restart_broker)
        for _ in range(100):
            try:
                await channel.default_exchange.publish(persistent(b"after"), queue.name)
                break
            except (
                aio_pika.exceptions.AMQPError,
                aio_pika.exceptions.ChannelInvalidStateError,
                ConnectionError,
                asyncio.CancelledError,
            ):
                await asyncio.sleep(0.1)
        while (message := await inbox.get()).body != b"after":
            await message.ack()  # settled just before the restart, perhaps not in time
        await message.ack()
    await queue.delete(if_unused=False, if_empty=False)
    await connection.close()
