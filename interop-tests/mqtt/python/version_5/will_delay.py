"""A will with a delay waits for the client to come back; the end of the session sends it at once."""

from __future__ import annotations

import time

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic, client_id = fresh("will"), fresh("delayed")
    watcher, other = broker.connect(), broker.connect()
    watcher.subscribe(Filter(topic))
    soon = Message(topic, b"late", 1, properties={"will_delay_interval": 1})

    lost, _ = broker.resume(client_id, will=soon)
    lost.hang_up()
    started = time.monotonic()
    other.publish(Message(topic, b"before", 1))
    assert watcher.payloads(2) == [b"before", b"late"]
    assert 0.5 < time.monotonic() - started < 5

    lost, _ = broker.resume(client_id, will=soon)
    lost.hang_up()
    back, connack = broker.resume(client_id)
    broker.check_present(connack, True)
    other.publish(Message(topic, b"back", 1))
    assert watcher.next_message().payload == b"back"
    time.sleep(1.2)
    other.publish(Message(topic, b"end", 1))
    assert watcher.messages_until(b"end") == [], "a will of a client that came back"
    back.disconnect()
    broker.forget(client_id)
