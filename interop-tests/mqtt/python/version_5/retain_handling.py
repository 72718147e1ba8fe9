"""Retained messages come always, only for a new subscription, or never, as each subscription asks."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("retain")
    device, publisher = broker.connect(), broker.connect()
    publisher.publish(Message(f"{topic}/x", b"kept", 1, retain=True))
    device.subscribe(Filter(f"{topic}/end", 1))

    def coming(handling: int, text: str) -> list[bytes]:
        device.subscribe(Filter(text, 1, retain_handling=handling))
        publisher.publish(Message(f"{topic}/end", b"end", 1))
        return [message.payload for message in device.messages_until(b"end")]

    assert coming(2, f"{topic}/x") == []
    assert coming(1, f"{topic}/x") == [], "not a new subscription"
    assert coming(0, f"{topic}/x") == [b"kept"]
    assert coming(0, f"{topic}/x") == [b"kept"], "always"
    device.unsubscribe(f"{topic}/x")
    assert coming(1, f"{topic}/x") == [b"kept"], "a new subscription"
    assert coming(1, f"{topic}/x") == []
    assert coming(0, f"$share/{topic}/{topic}/x") == [], "never for shared subscriptions"
    publisher.publish(Message(f"{topic}/x", b"", 1, retain=True))
