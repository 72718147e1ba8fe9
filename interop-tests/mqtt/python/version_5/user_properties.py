"""User properties keep their order and their repetitions; all other properties arrive as sent."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh

PROPERTIES = {
    "payload_format_indicator": 1,
    "content_type": "text/plain; charset=utf-8",
    "response_topic": "an/swers",
    "correlation_data": bytes(range(256)),
    "user_property": [("z", "1"), ("a", "ü"), ("z", "1"), ("", ""), ("z", "0"), ("long", "x" * 1000)],
}


def run(broker: Broker) -> None:
    topic = fresh("user")
    device, publisher = broker.connect(), broker.connect()
    device.subscribe(Filter(topic, 2))
    for qos in (0, 1, 2):
        publisher.publish(Message(topic, b"text", qos, properties=PROPERTIES))
        assert device.next_message().properties == PROPERTIES, qos
    publisher.publish(Message(topic, b"kept", 1, True, PROPERTIES))
    device.next_message()
    late = broker.connect()
    late.subscribe(Filter(topic, 2))
    assert late.next_message().properties == PROPERTIES, "retained"
    publisher.publish(Message(topic, b"", 1, retain=True))
