"""Bindings lead where they say, until they are taken away."""

from __future__ import annotations

from pika.adapters.blocking_connection import BlockingChannel

from on_pika.connection import channel_to, fresh


def received(channel: BlockingChannel, queue: str) -> list[bytes]:
    bodies = []
    while (body := channel.basic_get(queue, auto_ack=True)[2]) is not None:
        bodies.append(body)
    return bodies


def run(url: str) -> None:
    with channel_to(url) as channel:
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        direct, fanout, topic = (fresh(type_) for type_ in ("direct", "fanout", "topic"))
        for exchange, type_ in ((direct, "direct"), (fanout, "fanout"), (topic, "topic")):
            channel.exchange_declare(exchange, type_)
        channel.queue_bind(queue, direct, "red")
        channel.queue_bind(queue, fanout)
        channel.queue_bind(queue, topic, "a.*.c")
        channel.queue_bind(queue, topic, "z.#")
        for exchange, key in ((direct, "red"), (direct, "blue"), (fanout, "any"), (topic, "a.b.c"), (topic, "a.c"),
                              (topic, "z"), (topic, "z.y.x")):  # fmt: skip
            channel.basic_publish(exchange, key, f"{exchange}/{key}".encode())
        wanted = [f"{direct}/red", f"{fanout}/any", f"{topic}/a.b.c", f"{topic}/z", f"{topic}/z.y.x"]
        assert received(channel, queue) == [name.encode() for name in wanted]
        channel.queue_unbind(queue, direct, "red")
        channel.basic_publish(direct, "red", b"lost")
        assert received(channel, queue) == []
        for exchange in (direct, fanout, topic):
            channel.exchange_delete(exchange)
