"""A will does not wait longer than the session lives: not at all without one."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("will")
    watcher = broker.connect()
    watcher.subscribe(Filter(topic))
    will = Message(topic, b"at once", 1, properties={"will_delay_interval": 600})
    broker.connect(will=will).hang_up()
    assert watcher.next_message().payload == b"at once"
    will = Message(topic, b"after the session", 1, properties={"will_delay_interval": 600})
    broker.connect(will=will, clean=False, properties={"session_expiry_interval": 1}).hang_up()
    assert watcher.next_message().payload == b"after the session"
