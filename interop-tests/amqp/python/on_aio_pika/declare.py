"""Queues and exchanges are declared, found again, and refused when they differ."""

from __future__ import annotations

import aio_pika

from on_aio_pika.connection import channel_to, durable_queue, fresh, refused


async def run(url: str) -> None:
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    queue = await durable_queue(channel, "declare")
    assert (await channel.declare_queue(queue.name, durable=True)).name == queue.name
    mine = await channel.declare_queue(exclusive=True)
    assert mine.name.startswith("amq.gen-")
    exchange = await channel.declare_exchange(fresh("declare"), aio_pika.ExchangeType.TOPIC, durable=True)
    await channel.get_exchange(exchange.name, ensure=True)
    async with refused(406):
        await (await connection.channel()).declare_queue(queue.name, durable=False)
    async with refused(406):
        await (await connection.channel()).declare_exchange(exchange.name, aio_pika.ExchangeType.FANOUT)
    async with refused(404):
        await (await connection.channel()).get_queue(fresh("nowhere"), ensure=True)
    async with channel_to(url) as stranger, refused(405):
        await stranger.get_queue(mine.name, ensure=True)
    await exchange.delete()
    await queue.delete()
    await connection.close()
