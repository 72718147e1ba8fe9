"""DISCONNECT 0x04 sends the will, with all its properties; 0x00 does not."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh

DISCONNECT_WITH_WILL_MESSAGE = 0x04
PROPERTIES = {
    "payload_format_indicator": 1,
    "message_expiry_interval": 100,
    "content_type": "text/plain",
    "response_topic": "answers",
    "correlation_data": b"\0\1",
    "user_property": [("a", "1"), ("a", "2"), ("b", "")],
}


def run(broker: Broker) -> None:
    topic = fresh("will")
    watcher = broker.connect()
    watcher.subscribe(Filter(topic))
    broker.connect(will=Message(topic, b"never", 1)).disconnect()
    will = Message(topic, "wörtlich".encode(), 1, properties=PROPERTIES)
    broker.connect(will=will).disconnect(DISCONNECT_WITH_WILL_MESSAGE)
    got = watcher.next_message()
    assert got.payload == will.payload
    properties = dict(got.properties)
    assert 95 <= properties.pop("message_expiry_interval") <= 100
    assert properties == {name: value for name, value in PROPERTIES.items() if name != "message_expiry_interval"}
