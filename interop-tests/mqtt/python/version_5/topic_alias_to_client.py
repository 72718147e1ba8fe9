"""A client that offers aliases is sent topics by number; one that doesn't never is."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("alias")
    device = broker.connect(properties={"topic_alias_maximum": 3})
    plain, publisher = broker.connect(), broker.connect()
    for each in (device, plain):
        each.subscribe(Filter(f"{topic}/#", 1))
    names = [b"a", b"b", b"c", b"d", b"e"] * 3
    for name in names:
        publisher.publish(Message(f"{topic}/{name.decode()}", name, 1))
    topics: dict[object, str] = {}
    saved = 0
    for name in names:
        got = device.next_message()
        alias = got.properties.get("topic_alias")
        assert alias in (None, 1, 2, 3), alias
        if got.topic and alias is not None:
            topics[alias] = got.topic
        saved += not got.topic
        assert (got.topic or topics[alias], got.payload) == (f"{topic}/{name.decode()}", name)
    assert saved, "no alias was used"
    got = [plain.next_message() for _ in names]
    assert [message.topic for message in got] == [f"{topic}/{name.decode()}" for name in names]
    assert not any("topic_alias" in message.properties for message in got)
