"""Agreed heart-beats keep a silent connection; a client that stops sending them loses it."""

from __future__ import annotations

import time

from client import Broker, fresh

BEAT_MS = 500


def run(broker: Broker) -> None:
    topic = f"/topic/{fresh('beats')}"
    client = broker.connect((BEAT_MS, BEAT_MS))
    agreed = [int(number) for number in client.connected["heart-beat"].split(",")]
    assert max(agreed) > 0
    client.subscribe(topic)
    time.sleep(6 * BEAT_MS / 1000)
    assert client.listener.silences == 0
    client.send(topic, b"still there")
    assert client.next_message().body == b"still there"
    began = time.monotonic()
    client.stomp.transport.transmit = lambda frame: None  # stomp.py's own beats, too
    client.wait_ended()
    assert time.monotonic() - began < 10 * BEAT_MS / 1000
