"""A filter that a user may not read is refused in the SUBACK; the others of the packet are taken.

The URL's user may do everything; ``limited``, with the same password, only what is below ``open/``.
"""

from __future__ import annotations

from device import Broker, Filter, Message, fresh

NOT_AUTHORIZED = 0x87
FAILURE = 0x80


def run(broker: Broker) -> None:
    topic = fresh("denied")
    limited, publisher = broker.connect(user="limited"), broker.connect()
    refused = NOT_AUTHORIZED if broker.level == 5 else FAILURE
    codes = limited.subscribe(Filter(f"open/{topic}", 1), Filter(topic, 1), Filter("#", 1))
    assert codes == [1, refused, refused], codes
    publisher.publish(Message(topic, b"secret", 1))
    publisher.publish(Message(f"open/{topic}", b"end", 1))
    assert limited.messages_until(b"end") == []
