"""A filter of a shared subscription without a name is refused in the SUBACK; the others of the packet are taken."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh

TOPIC_FILTER_INVALID = 0x8F
FAILURE = 0x80


def run(broker: Broker) -> None:
    topic = fresh("refused")
    device = broker.connect()
    refused = TOPIC_FILTER_INVALID if broker.level == 5 else FAILURE
    filters = [Filter(f"{topic}/a", 1), Filter("$share//x", 1), Filter(f"{topic}/b", 0)]
    assert device.subscribe(*filters) == [1, refused, 0]
    device.publish(Message(f"{topic}/a", b"a", 1))
    assert device.next_message().payload == b"a"
