"""A consumer gets everything in order with what the publisher said about it; two consumers share."""

from __future__ import annotations

import pika

from on_pika.connection import channel_to, durable_queue


def run(url: str) -> None:
    with channel_to(url) as channel:
        queue = durable_queue(channel, "consume", count=200)
        properties = pika.BasicProperties(
            content_type="text/plain",
            headers={"n": 1, "s": "text", "t": {"deep": [True, None, 2**40]}},
            delivery_mode=2,
            priority=3,
            correlation_id="c",
            reply_to="r",
            message_id="m",
            timestamp=1_700_000_000,
            type="t",
            app_id="a",
        )
        channel.basic_publish("", queue, b"last", properties)
        bodies = []
        for method, got, body in channel.consume(queue, auto_ack=True, inactivity_timeout=10):
            bodies.append(body)
            if body == b"last":
                assert (method.exchange, method.routing_key, method.redelivered) == ("", queue, False)
                assert got == properties
                break
        channel.cancel()
        assert bodies == [*(str(number).encode() for number in range(200)), b"last"]

        counts = {"x": 0, "y": 0}
        channel.basic_qos(prefetch_count=1)
        for tag in counts:
            channel.basic_consume(queue, lambda ch, method, _, __: take(ch, method, counts), consumer_tag=tag)
        for _ in range(20):
            channel.basic_publish("", queue, b"shared")
        while sum(counts.values()) < 20:
            channel.connection.process_data_events(time_limit=0.1)
        assert min(counts.values()) >= 5, counts
        channel.queue_delete(queue)


def take(channel, method, counts) -> None:
    counts[method.consumer_tag] += 1
    channel.basic_ack(method.delivery_tag)
