"""What mosquitto_pub says of a message, mosquitto_sub is told."""

from __future__ import annotations

from programs import Broker, fresh


def run(broker: Broker) -> None:
    topic = fresh("properties")
    identified = ("-D", "subscribe", "subscription-identifier", "42")
    subscriber = broker.subscribe("-t", topic, "-q", "2", *identified, form="%q|%C|%D|%E|%F|%P|%R|%S|%p")
    said = {
        "content-type": ("text/plain",), "correlation-data": ("c 1",), "message-expiry-interval": ("100",),
        "payload-format-indicator": ("1",), "response-topic": ("an/swer",),
    }  # fmt: skip
    options = [word for name, values in said.items() for word in ("-D", "publish", name, *values)]
    pairs = [word for pair in ("z 1", "a 2", "z 3") for word in ("-D", "publish", "user-property", *pair.split())]
    broker.publish(topic, "-m", "text", "-q", "2", *options, *pairs)
    got = subscriber.next().split("|")
    assert 95 <= int(got.pop(3)) <= 100
    assert got == ["2", "text/plain", "c 1", "1", "z:1 a:2 z:3", "an/swer", "42", "text"]
    subscriber.stop()
