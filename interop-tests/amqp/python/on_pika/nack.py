"""What is refused for good goes to the dead-letter exchange, or nowhere."""

from __future__ import annotations

from on_pika.connection import channel_to, durable_queue, message_count


def run(url: str) -> None:
    with channel_to(url) as channel:
        dead = durable_queue(channel, "dead")
        queue = durable_queue(channel, "nack", 5, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
        for _ in range(5):
            method, _, _ = channel.basic_get(queue)
        channel.basic_reject(method.delivery_tag, requeue=False)
        channel.basic_nack(method.delivery_tag - 1, multiple=True, requeue=False)
        bodies = []
        for method, properties, body in channel.consume(dead, inactivity_timeout=10):
            bodies.append(body)
            death = properties.headers["x-death"][0]
            assert (death["queue"], death["reason"], death["count"]) == (queue, "rejected", 1)
            channel.basic_ack(method.delivery_tag)
            if len(bodies) == 5:
                break
        channel.cancel()
        assert sorted(bodies) == [str(number).encode() for number in range(5)]
        assert message_count(channel, queue) == 0
        channel.queue_delete(queue)
        channel.queue_delete(dead)
