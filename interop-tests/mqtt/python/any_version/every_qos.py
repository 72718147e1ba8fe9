"""A thousand messages of each QoS: all there, once, in order, as they were sent."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh

COUNT = 1000


def run(broker: Broker) -> None:
    for qos in (0, 1, 2):
        topic = fresh(f"qos{qos}")
        subscriber = broker.connect()
        assert subscriber.subscribe(Filter(topic, qos)) == [qos]
        publisher = broker.connect()
        sent = [b"%d %s" % (number, bytes([number % 256]) * (number % 50)) for number in range(COUNT)]
        publisher.publish_all([Message(topic, payload, qos) for payload in sent])
        got = [subscriber.next_message() for _ in sent]
        assert [message.payload for message in got] == sent, f"QoS {qos}: not as sent"
        assert {(message.topic, message.qos, message.retain) for message in got} == {(topic, qos, False)}
        publisher.publish(Message(topic, b"end", qos))
        assert subscriber.messages_until(b"end") == [], f"QoS {qos}: more than was sent"
        subscriber.unsubscribe(topic)
        subscriber.subscribe(Filter(f"{topic}/other", 1))
        publisher.publish(Message(topic, b"for nobody", 1))
        publisher.publish(Message(f"{topic}/other", b"end", 1))
        assert subscriber.messages_until(b"end") == [], "unsubscribed, and still served"
        publisher.disconnect()
        subscriber.disconnect()
