"""A connection that only its heartbeats keep alive is kept alive."""

from __future__ import annotations

import asyncio

import aio_pika

from on_aio_pika.connection import durable_queue


async def run(url: str) -> None:
    connection = await aio_pika.connect(url, heartbeat=1)
    async with connection:
        channel = await connection.channel()
        await asyncio.sleep(4)
        queue = await durable_queue(channel, "heartbeat", count=1)
        await queue.delete(if_empty=False)
