"""Messages of 10 MB arrive as they were sent."""

from __future__ import annotations

import random

from on_aio_pika.connection import channel_to, durable_queue, persistent

SIZE = 10_000_000


async def run(url: str) -> None:
    async with channel_to(url) as channel:
        queue = await durable_queue(channel, "large")
        sent = [random.Random(seed).randbytes(SIZE - seed) for seed in range(3)]
        for body in sent:
            await channel.default_exchange.publish(persistent(body), queue.name)
        for body in sent:
            assert (await queue.get(no_ack=True)).body == body
        await queue.delete()
