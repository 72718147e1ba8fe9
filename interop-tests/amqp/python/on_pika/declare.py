"""Queues and exchanges are declared, found again, and refused when they differ."""

from __future__ import annotations

from on_pika.connection import channel_to, connect, fresh, refused


def run(url: str) -> None:
    queue, exchange = fresh("declare"), fresh("declare")
    with channel_to(url) as channel:
        assert channel.queue_declare(queue, durable=True).method.queue == queue
        assert channel.queue_declare(queue, durable=True).method.message_count == 0
        assert channel.queue_declare("", exclusive=True).method.queue.startswith("amq.gen-")
        for type_ in ("direct", "fanout", "topic"):
            channel.exchange_declare(f"{exchange}.{type_}", type_, durable=True)
            channel.exchange_declare(f"{exchange}.{type_}", passive=True)
        connection = channel.connection
        with refused(406):
            channel.queue_declare(queue, durable=False)
        with refused(406):
            connection.channel().exchange_declare(f"{exchange}.direct", "fanout", durable=True)
        with refused(404):
            connection.channel().queue_declare(fresh("nowhere"), passive=True)
        mine = connection.channel().queue_declare("", exclusive=True).method.queue
        stranger = connect(url)
        with refused(405):
            stranger.channel().queue_declare(mine, passive=True)
        stranger.close()
        cleaner = connection.channel()
        cleaner.queue_delete(queue)
        for type_ in ("direct", "fanout", "topic"):
            cleaner.exchange_delete(f"{exchange}.{type_}")
