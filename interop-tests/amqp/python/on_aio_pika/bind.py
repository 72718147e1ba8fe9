"""Bindings lead where they say, until they are taken away."""

from __future__ import annotations

import aio_pika
from aio_pika.abc import AbstractQueue

from on_aio_pika.connection import channel_to, fresh

TYPES = (aio_pika.ExchangeType.DIRECT, aio_pika.ExchangeType.FANOUT, aio_pika.ExchangeType.TOPIC)


async def received(queue: AbstractQueue) -> list[str]:
    bodies = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        bodies.append(message.body.decode())
    return bodies


async def run(url: str) -> None:
    async with channel_to(url) as channel:
        queue = await channel.declare_queue(exclusive=True)
        direct, fanout, topic = [await channel.declare_exchange(fresh(type_.value), type_) for type_ in TYPES]
        await queue.bind(direct, "red")
        await queue.bind(fanout)
        await queue.bind(topic, "a.*.c")
        await queue.bind(topic, "z.#")
        sent = [(direct, "red"), (direct, "blue"), (fanout, "any"), (topic, "a.b.c"), (topic, "a.c"), (topic, "z.y.x")]
        for exchange, key in sent:
            await exchange.publish(aio_pika.Message(key.encode()), key, mandatory=False)
        assert await received(queue) == ["red", "any", "a.b.c", "z.y.x"]
        await queue.unbind(direct, "red")
        await direct.publish(aio_pika.Message(b"lost"), "red", mandatory=False)
        assert await received(queue) == []
        for exchange in (direct, fanout, topic):
            await exchange.delete()
