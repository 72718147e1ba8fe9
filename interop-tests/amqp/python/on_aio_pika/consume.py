"""A consumer gets everything in order with what the publisher said about it."""

from __future__ import annotations

import aio_pika

from on_aio_pika.connection import channel_to, durable_queue


async def run(url: str) -> None:
    async with channel_to(url) as channel:
        queue = await durable_queue(channel, "consume", count=100)
        sent = aio_pika.Message(b"last", headers={"n": 1, "s": "text"}, priority=3, correlation_id="c", app_id="a")
        await channel.default_exchange.publish(sent, queue.name)
        bodies = []
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                bodies.append(message.body)
                if message.body == b"last":
                    assert (message.headers, message.priority) == (sent.headers, 3)
                    assert (message.correlation_id, message.app_id) == ("c", "a")
                    break
        assert bodies == [*(str(number).encode() for number in range(100)), b"last"]
        await queue.delete()
