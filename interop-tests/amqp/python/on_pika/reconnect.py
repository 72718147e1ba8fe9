"""After a restart of the broker a client connects again and finds what was confirmed."""

from __future__ import annotations

import pika.exceptions

from on_pika.connection import channel_to, connect, durable_queue
from restart import restart_broker


def run(url: str) -> None:
    connection = connect(url)
    queue = durable_queue(connection.channel(), "reconnect", count=20)
    restart_broker()
    try:
        connection.process_data_events(time_limit=5)
    except pika.exceptions.AMQPConnectionError:
        pass
    else:
        raise AssertionError("the lost connection wasn't noticed")
    with channel_to(url) as channel:
        bodies = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(21)]
        assert bodies == [*(str(number).encode() for number in range(20)), None]
        channel.queue_delete(queue)
