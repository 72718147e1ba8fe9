"""Messages of 10 MB arrive as they were sent."""

from __future__ import annotations

import hashlib
import random

from on_pika.connection import PERSISTENT, channel_to, durable_queue

SIZE = 10_000_000


def run(url: str) -> None:
    with channel_to(url) as channel:
        queue = durable_queue(channel, "large")
        sent = [random.Random(seed).randbytes(SIZE - seed) for seed in range(3)]
        for body in sent:
            channel.basic_publish("", queue, body, PERSISTENT)
        for body in sent:
            got = channel.basic_get(queue, auto_ack=True)[2]
            assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()
        channel.queue_delete(queue)
