"""``drain.py URL QUEUE``: prints all that is in a queue, in order, and acknowledges it for good."""

from __future__ import annotations

import sys

import pika


def main(url: str, queue: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=1000)
    left = channel.queue_declare(queue, durable=True).method.message_count
    if left:
        for method, _, body in channel.consume(queue):
            print(int(body))
            left -= 1
            if method.delivery_tag % 100 == 0 or not left:
                channel.basic_ack(method.delivery_tag, multiple=True)
            if not left:
                break
        channel.cancel()
    channel.close()  # channel.close-ok comes once the settles are committed
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
