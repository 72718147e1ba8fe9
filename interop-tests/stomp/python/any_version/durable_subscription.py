"""A durable subscription is owed what came while nobody had it, also over a restart; deleted, it is owed nothing."""

from __future__ import annotations

from client import Broker, fresh
from restarting import restart_broker

DURABLE = {"durable": "true", "auto_delete": "false"}


def run(broker: Broker) -> None:
    topic, name = f"/topic/{fresh('durable')}", fresh("watch")
    watcher = broker.connect()
    watcher.subscribe(topic, id=name, **DURABLE)
    watcher.disconnect()
    publisher = broker.connect()
    for number in range(5):
        publisher.send_surely(topic, b"%d" % number, persistent="true")
    restart_broker()
    publisher = broker.connect()
    publisher.send_surely(topic, b"after", persistent="true")
    watcher = broker.connect()
    watcher.subscribe(topic, id=name, **DURABLE)
    assert watcher.take(6) == [b"0", b"1", b"2", b"3", b"4", b"after"]
    watcher.unsubscribe(name, **DURABLE)
    publisher.send_surely(topic, b"for nobody", persistent="true")
    watcher.subscribe(topic, id=name, **DURABLE)
    watcher.assert_nothing_left(topic)
    watcher.unsubscribe(name, **DURABLE)
    watcher.disconnect()
    publisher.disconnect()
