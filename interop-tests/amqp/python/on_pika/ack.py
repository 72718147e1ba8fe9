"""Prefetch bounds what is unacknowledged; what is acknowledged is gone; the rest comes back."""

from __future__ import annotations

from on_pika.connection import channel_to, connect, durable_queue, message_count


def run(url: str) -> None:
    connection = connect(url)
    channel = connection.channel()
    queue = durable_queue(channel, "ack", count=30)
    channel.basic_qos(prefetch_count=10)
    tags: list[int] = []
    channel.basic_consume(queue, lambda _, method, __, ___: tags.append(method.delivery_tag))
    connection.process_data_events(time_limit=0.5)
    assert tags == list(range(1, 11))
    channel.basic_ack(5, multiple=True)
    channel.basic_ack(7)
    while len(tags) < 16:
        connection.process_data_events(time_limit=0.1)
    connection.process_data_events(time_limit=0.2)
    assert tags == list(range(1, 17))
    connection.close()
    with channel_to(url) as again:
        assert message_count(again, queue) == 24
        method, _, body = again.basic_get(queue, auto_ack=True)
        assert (method.redelivered, body) == (True, b"5")
        assert again.basic_get(queue, auto_ack=True)[2] == b"7"
        again.queue_delete(queue)
