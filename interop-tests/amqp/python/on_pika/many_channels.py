"""200 channels of one connection, each publishing to and consuming from its own queue."""

from __future__ import annotations

from on_pika.connection import connect

COUNT = 200


def run(url: str) -> None:
    connection = connect(url)
    received: dict[int, bytes] = {}
    channels = [connection.channel() for _ in range(COUNT)]
    for channel in channels:
        queue = channel.queue_declare("", exclusive=True).method.queue

        def take(ch, _, __, body: bytes) -> None:
            received[ch.channel_number] = body

        channel.basic_consume(queue, take, auto_ack=True)
        channel.basic_publish("", queue, str(channel.channel_number).encode())
    while len(received) < COUNT:
        connection.process_data_events(time_limit=1)
    assert received == {channel.channel_number: str(channel.channel_number).encode() for channel in channels}
    connection.close()
