"""Each message tells by which subscriptions it came: live, retained, and all of several that overlap."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh

LARGEST = 268_435_455


def run(broker: Broker) -> None:
    topic = fresh("ids")
    device, publisher = broker.connect(), broker.connect()
    publisher.publish(Message(f"{topic}/kept", b"kept", 1, retain=True))
    device.subscribe(Filter(f"{topic}/+", 1), identifier=1)
    kept = device.next_message()
    assert (kept.payload, kept.properties.get("subscription_identifier")) == (b"kept", [1])
    device.subscribe(Filter(f"{topic}/a", 1), Filter(f"{topic}/b", 1), identifier=LARGEST)
    device.subscribe(Filter(f"{topic}/#", 1, retain_handling=2), identifier=300)
    device.subscribe(Filter(f"{topic}/a", 0, retain_handling=2), identifier=7)
    device.subscribe(Filter(f"{topic}/none/#", 1))
    wanted = {"a": [1, 7, 300], "b": [1, 300, LARGEST], "c": [1, 300], "none/x": [300]}
    for name, identifiers in wanted.items():
        publisher.publish(Message(f"{topic}/{name}", name.encode(), 1))
        got = device.next_message()
        assert got.payload == name.encode()
        assert sorted(got.properties["subscription_identifier"]) == identifiers, name
    device.unsubscribe(f"{topic}/#")
    publisher.publish(Message(f"{topic}/none/x", b"plain", 1))
    got = device.next_message()
    assert (got.payload, "subscription_identifier" in got.properties) == (b"plain", False)
    publisher.publish(Message(f"{topic}/kept", b"", 1, retain=True))
