"""What each behaviour begins with."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def connect(url: str) -> BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(url))


@contextlib.contextmanager
def channel_to(url: str) -> Iterator[BlockingChannel]:
    connection = connect(url)
    yield connection.channel()
    connection.close()


def fresh(name: str) -> str:
    """A name nobody used."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def durable_queue(channel: BlockingChannel, name: str, count: int = 0, **arguments: object) -> str:
    """A new durable queue that holds ``count`` confirmed messages "0", "1", ..."""
    queue = fresh(name)
    channel.queue_declare(queue, durable=True, arguments={k.replace("_", "-"): v for k, v in arguments.items()})
    channel.confirm_delivery()
    for number in range(count):
        channel.basic_publish("", queue, str(number).encode(), PERSISTENT)
    return queue


def message_count(channel: BlockingChannel, queue: str) -> int:
    return channel.queue_declare(queue, passive=True).method.message_count


@contextlib.contextmanager
def refused(code: int) -> Iterator[None]:
    """The broker closes the channel with ``code``."""
    try:
        yield
    except pika.exceptions.ChannelClosedByBroker as closed:
        assert closed.reply_code == code, closed
    else:
        raise AssertionError(f"not refused with {code}")
