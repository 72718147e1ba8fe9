"""A mandatory message that leads nowhere comes back, and is confirmed all the same."""

from __future__ import annotations

import pika.exceptions

from on_pika.connection import channel_to, durable_queue, fresh


def run(url: str) -> None:
    with channel_to(url) as channel:
        queue = durable_queue(channel, "return")
        try:
            channel.basic_publish("", fresh("nowhere"), b"back", mandatory=True)
        except pika.exceptions.UnroutableError as error:
            returned = error.messages[0]
            assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
            assert returned.body == b"back"
        else:
            raise AssertionError("not returned")
        channel.basic_publish("", queue, b"there", mandatory=True)
        channel.queue_delete(queue)
