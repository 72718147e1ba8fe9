"""A connection that only its heartbeats keep alive is kept alive."""

from __future__ import annotations

import pika

from on_pika.connection import durable_queue


def run(url: str) -> None:
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 1
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    connection.sleep(4)
    channel.queue_delete(durable_queue(channel, "heartbeat", count=1))
    connection.close()
