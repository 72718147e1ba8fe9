"""After the broker was killed and started: subscriptions, what is owed to sessions, retained messages."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh
from restarting import restart_broker


def run(broker: Broker) -> None:
    topic, client_id = fresh("restart"), fresh("session")
    device, _ = broker.resume(client_id)
    device.subscribe(Filter(f"{topic}/+", 2))
    device.disconnect()
    publisher = broker.connect()
    sent = [Message(f"{topic}/{number}", b"%d" % number, 1 + number % 2) for number in range(20)]
    publisher.publish_all(sent)
    publisher.publish(Message(f"{topic}/a/b", b"retained", 2, retain=True))
    online, _ = broker.resume(f"{client_id}-2")
    online.subscribe(Filter(f"{topic}/2nd", 1))
    restart_broker()
    online.wait_ended()
    publisher.wait_ended()

    publisher = broker.connect()
    publisher.publish(Message(f"{topic}/2nd", b"after", 1))
    device, connack = broker.resume(client_id)
    broker.check_present(connack, True)
    sent.append(Message(f"{topic}/2nd", b"after", 1))
    got = [device.next_message() for _ in sent]
    for qos in (1, 2):  # only messages of the same QoS have an order
        wanted = [(message.topic, message.payload) for message in sent if message.qos == qos]
        assert [(message.topic, message.payload) for message in got if message.qos == qos] == wanted
    device.subscribe(Filter(f"{topic}/a/#", 1))
    retained = device.next_message()
    assert (retained.payload, retained.qos, retained.retain) == (b"retained", 1, True)
    publisher.publish(Message(f"{topic}/a/b", b"", 1, retain=True))
    assert device.next_message().payload == b""
    online, connack = broker.resume(f"{client_id}-2")
    broker.check_present(connack, True)
    assert online.next_message().payload == b"after"
    device.disconnect()
    online.disconnect()
    broker.forget(client_id, f"{client_id}-2")
