"""The last retained message of each topic comes at subscribing, flagged; an empty one deletes it."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("retained")
    publisher, early = broker.connect(), broker.connect()
    early.subscribe(Filter(f"{topic}/#", 1))
    for name, payload, qos in (("a", b"old", 1), ("a", b"new", 1), ("b/c", b"b", 0), ("d", b"d", 2)):
        publisher.publish(Message(f"{topic}/{name}", payload, qos, retain=True))
    publisher.publish(Message(f"{topic}/a", b"passing", 1))
    got = [early.next_message() for _ in range(5)]
    assert sorted((message.payload, message.qos, message.retain) for message in got) == [
        (b"b", 0, False), (b"d", 1, False), (b"new", 1, False), (b"old", 1, False), (b"passing", 1, False),
    ]  # fmt: skip

    late = broker.connect()
    late.subscribe(Filter(f"{topic}/+", 2), Filter(f"{topic}/b/#", 2))
    got = [late.next_message() for _ in range(3)]
    wanted = {("a", b"new", 1, True), ("b/c", b"b", 0, True), ("d", b"d", 2, True)}
    assert {(m.topic.removeprefix(f"{topic}/"), m.payload, m.qos, m.retain) for m in got} == wanted

    publisher.publish(Message(f"{topic}/a", b"", 1, retain=True))
    assert (early.next_message().payload, late.next_message().payload) == (b"", b"")
    after = broker.connect()
    after.subscribe(Filter(f"{topic}/#", 1))
    publisher.publish(Message(f"{topic}/end", b"end", 1))
    assert sorted(message.payload for message in after.messages_until(b"end")) == [b"b", b"d"]
    for name in ("b/c", "d"):
        publisher.publish(Message(f"{topic}/{name}", b"", 1, retain=True))
