"""What each behaviour begins with."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator

import aio_pika
import aiormq.exceptions
from aio_pika.abc import AbstractChannel, AbstractQueue

CLOSES = {
    404: aiormq.exceptions.ChannelNotFoundEntity,
    405: aiormq.exceptions.ChannelLockedResource,
    406: aiormq.exceptions.ChannelPreconditionFailed,
}


@contextlib.asynccontextmanager
async def channel_to(url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(url)
    async with connection:
        yield await connection.channel()  # with publisher confirms


def fresh(name: str) -> str:
    """A name nobody used."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def persistent(body: bytes) -> aio_pika.Message:
    return aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)


async def durable_queue(channel: AbstractChannel, name: str, count: int = 0, **arguments: object) -> AbstractQueue:
    """A new durable queue that holds ``count`` confirmed messages "0", "1", ..."""
    named = {key.replace("_", "-"): value for key, value in arguments.items()}
    queue = await channel.declare_queue(fresh(name), durable=True, arguments=named)
    for number in range(count):
        await channel.default_exchange.publish(persistent(str(number).encode()), queue.name)
    return queue


async def message_count(channel: AbstractChannel, queue: AbstractQueue) -> int:
    found = await channel.declare_queue(queue.name, passive=True)
    return found.declaration_result.message_count


@contextlib.asynccontextmanager
async def refused(code: int) -> AsyncIterator[None]:
    """The broker closes the channel with ``code``."""
    try:
        yield
    except CLOSES[code]:
        pass
    else:
        raise AssertionError(f"not refused with {code}")
