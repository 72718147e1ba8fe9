"""1,000 durable queues on one channel, each with its own message."""

from __future__ import annotations

import asyncio

from on_aio_pika.connection import channel_to, fresh, persistent

COUNT = 1000


async def run(url: str) -> None:
    prefix = fresh("many")
    async with channel_to(url) as channel:
        queues = [await channel.declare_queue(f"{prefix}.{number}", durable=True) for number in range(COUNT)]
        exchange = channel.default_exchange
        await asyncio.gather(*(exchange.publish(persistent(q.name.encode()), q.name) for q in queues))
        for queue in queues:
            assert (await queue.get(no_ack=True)).body == queue.name.encode()
            await queue.delete()
