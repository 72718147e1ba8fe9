"""What is published while a session has no connection is delivered when it has one again: once, in order."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh

COUNT = 300


def run(broker: Broker) -> None:
    topic, client_id = fresh("offline"), fresh("session")
    device, connack = broker.resume(client_id)
    broker.check_present(connack, False)
    device.subscribe(Filter(f"{topic}/1", 1), Filter(f"{topic}/2", 2), Filter(f"{topic}/gone", 2))
    device.unsubscribe(f"{topic}/gone")
    publisher = broker.connect()
    publisher.publish(Message(f"{topic}/1", b"first", 0))
    assert device.next_message().payload == b"first"
    device.hang_up()
    device.wait_ended()
    sent = [Message(f"{topic}/{1 + number % 2}", b"%d" % number, 1 + number % 2) for number in range(COUNT)]
    publisher.publish_all(sent)
    publisher.publish(Message(f"{topic}/gone", b"for nobody", 1))
    device, connack = broker.resume(client_id)
    broker.check_present(connack, True)
    got = [device.next_message() for _ in sent]
    for qos in (1, 2):
        wanted = [message.payload for message in sent if message.qos == qos]
        assert [message.payload for message in got if message.qos == qos] == wanted
    publisher.publish(Message(f"{topic}/2", b"end", 2))
    assert device.messages_until(b"end") == [], "more than was sent"
    device.disconnect()
    device = broker.device(client_id)  # a clean one
    broker.check_present(device.connect(), False)
    publisher.publish(Message(f"{topic}/1", b"for nobody", 1))
    device.disconnect()
    device, connack = broker.resume(client_id)
    broker.check_present(connack, False)
    device.subscribe(Filter(f"{topic}/end", 1))
    publisher.publish(Message(f"{topic}/end", b"end", 1))
    assert device.messages_until(b"end") == []
    device.disconnect()
    broker.forget(client_id)
