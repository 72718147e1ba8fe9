"""A subscription that asks for it sees the flag as the publisher set it."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("rap")
    kept, cleared, publisher = broker.connect(), broker.connect(), broker.connect()
    kept.subscribe(Filter(topic, 1, retain_as_published=True))
    cleared.subscribe(Filter(topic, 1))
    for number, retain in enumerate((True, False, True)):
        publisher.publish(Message(topic, b"%d" % number, 1, retain))
    assert [kept.next_message().retain for _ in range(3)] == [True, False, True]
    assert [cleared.next_message().retain for _ in range(3)] == [False, False, False]
    cleared.subscribe(Filter(topic, 1))
    assert cleared.next_message().retain, "a replay is always flagged"
    publisher.publish(Message(topic, b"", 1, retain=True))
