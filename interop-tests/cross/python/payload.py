"""Payloads cross unchanged, in both directions: nothing, bytes, text of any language, a mebibyte."""

from __future__ import annotations

import random

from bridge import AmqpEnd, MqttEnd, fresh

PAYLOADS = (b"", b"\0", bytes(range(256)), "grün, 日本, 😀".encode(), random.Random(1).randbytes(1 << 20))


def run(amqp: AmqpEnd, mqtt: MqttEnd) -> None:
    own = fresh("payload")
    amqp.bind(f"{own}.to.amqp")
    mqtt.subscribe(f"{own}/to/mqtt")
    for payload in PAYLOADS:
        amqp.publish(f"{own}.to.mqtt", payload, delivery_mode=2)
        message = mqtt.next()
        assert (message.topic, message.payload) == (f"{own}/to/mqtt", payload)
        mqtt.publish(f"{own}/to/amqp", payload)
        assert amqp.next()[:2] == (f"{own}.to.amqp", payload)
