"""A durable queue that AMQP declared: MQTT publishes to it and consumes from it as ``$queue/<name>``."""

from __future__ import annotations

from bridge import WAIT_S, AmqpEnd, MqttEnd, fresh


def run(amqp: AmqpEnd, mqtt: MqttEnd) -> None:
    name = fresh("jobs.a/b")
    topic = f"$queue/{name}"
    amqp.channel.queue_declare(name, durable=True)
    mqtt.publish(topic, b"1")
    amqp.publish(name, b"2", exchange="", delivery_mode=2)
    mqtt.subscribe(topic, 2)
    for body in (b"1", b"2"):
        message = mqtt.next()
        assert (message.topic, message.payload, message.qos) == (topic, body, 1)
    mqtt.unsubscribe(topic)
    mqtt.publish(topic, b"3")
    assert mqtt.messages.empty()
    # Paho acknowledged both, so that what comes next is the third.
    for method, _, body in amqp.channel.consume(name, inactivity_timeout=WAIT_S):
        assert method is not None, "nothing came to AMQP"
        assert (body, method.redelivered) == (b"3", False)
        amqp.channel.basic_ack(method.delivery_tag)
        break
    amqp.channel.cancel()
    amqp.channel.queue_delete(name)
