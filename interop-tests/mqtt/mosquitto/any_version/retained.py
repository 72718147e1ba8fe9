"""The last retained message of a topic comes at subscribing, flagged; an empty one deletes it."""

from __future__ import annotations

from programs import Broker, fresh


def run(broker: Broker) -> None:
    topic = fresh("retained")
    for name, payload in (("a", "old"), ("a", "new"), ("b/c", "b")):
        broker.publish(f"{topic}/{name}", "-m", payload, "-q", "1", "-r")
    subscriber = broker.subscribe("-t", f"{topic}/#", "-q", "1", form="%t %r %p")
    assert sorted(subscriber.take(2)) == [f"{topic}/a 1 new", f"{topic}/b/c 1 b"]
    broker.publish(f"{topic}/a", "-r", "-n", "-q", "1")
    assert subscriber.next() == f"{topic}/a 0 "
    late = broker.subscribe("-t", f"{topic}/+", "-t", f"{topic}/b/c", "-q", "1", form="%t %r %p")
    assert late.next() == f"{topic}/b/c 1 b"
    broker.publish(f"{topic}/b/c", "-r", "-n", "-q", "1")
    assert late.next() == f"{topic}/b/c 0 "
    subscriber.stop()
    late.stop()
