"""Who connects with a client id that is in use takes it over; the will of the old one is sent."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic, client_id = fresh("will"), fresh("taken")
    watcher = broker.connect()
    watcher.subscribe(Filter(topic))
    first = broker.connect(client_id, will=Message(topic, b"taken over", 1))
    second = broker.connect(client_id)
    first.wait_ended()
    assert watcher.next_message().payload == b"taken over"
    second.publish(Message(topic, b"second", 1))
    assert watcher.next_message().payload == b"second"
