"""What a user without the right publishes reaches nobody; MQTT 5 tells it.

The URL's user may do everything; ``limited``, with the same password, only what is below ``open/``.
"""

from __future__ import annotations

from device import Broker, Filter, Message, fresh

NOT_AUTHORIZED = 0x87


def run(broker: Broker) -> None:
    topic = fresh("denied")
    watcher = broker.connect()
    watcher.subscribe(Filter(f"{topic}/#", 1))
    limited = broker.connect(user="limited")
    code = limited.publish(Message(f"{topic}/x", b"secret", 1))
    assert code == (NOT_AUTHORIZED if broker.level == 5 else 0), code
    broker.connect().publish(Message(f"{topic}/x", b"end", 1))
    assert watcher.messages_until(b"end") == []
