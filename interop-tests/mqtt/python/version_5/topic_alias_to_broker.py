"""A client sends a topic once and then its number, which may be given to another topic."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("alias")
    watcher = broker.connect()
    watcher.subscribe(Filter(f"{topic}/#", 1))
    device = broker.device()
    most = device.connect().properties.get("topic_alias_maximum", 0)
    assert most >= 2, "aliases are not offered"
    sent = [("a", 1), ("", 1), ("b", most), ("", most), ("", 1), ("c", 1), ("", 1)]
    for number, (name, alias) in enumerate(sent):
        full = f"{topic}/{name}" if name else ""
        device.publish(Message(full, b"%d" % number, number % 3, properties={"topic_alias": alias}))
        got = watcher.next_message()
        assert got.payload == b"%d" % number
        assert got.topic == f"{topic}/{'aabbacc'[number]}"
        assert "topic_alias" not in got.properties, "it never leaves the connection"
