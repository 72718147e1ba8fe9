"""The will of a program that was killed is sent; of one that ended, only in MQTT 5, where it asks for that."""

from __future__ import annotations

from programs import Broker, fresh


def run(broker: Broker) -> None:
    topic = fresh("will")
    watcher = broker.subscribe("-t", topic, "-q", "2", form="%q %r %p")
    will = ("--will-topic", topic, "--will-qos", "2", "--will-payload")
    broker.subscribe("-t", f"{topic}/none", *will, "ended").stop()
    if broker.level == "5":
        assert watcher.next() == "2 0 ended"
    broker.subscribe("-t", f"{topic}/none", *will, "lost", "--will-retain").kill()
    assert watcher.next() == "2 0 lost"
    late = broker.subscribe("-t", topic, "-q", "1", form="%q %r %p")
    assert late.next() == "1 1 lost"
    broker.publish(topic, "-r", "-n", "-q", "1")
    watcher.stop()
    late.stop()
