"""The last to connect with a client id has it, and the session; the old connection is ended."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic, client_id = fresh("takeover"), fresh("taken")
    first, connack = broker.resume(client_id)
    broker.check_present(connack, False)
    assert first.subscribe(Filter(topic, 1)) == [1]
    second, connack = broker.resume(client_id)
    broker.check_present(connack, True)
    first.wait_ended()
    publisher = broker.connect()
    for payload in (b"0", b"1"):
        publisher.publish(Message(topic, payload, 1))
    assert second.payloads(2) == [b"0", b"1"]
    assert first.received.empty()
    second.disconnect()
    broker.forget(client_id)
