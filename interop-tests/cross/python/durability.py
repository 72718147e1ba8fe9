"""Delivery mode and QoS stand for each other: 1 and 0, 2 and at least 1."""

from __future__ import annotations

from bridge import AmqpEnd, MqttEnd, fresh


def run(amqp: AmqpEnd, mqtt: MqttEnd) -> None:
    own = fresh("durability")
    amqp.bind(f"{own}.to.amqp")
    mqtt.subscribe(f"{own}/to/mqtt", 2)
    for qos, delivery_mode in ((0, 1), (1, 2), (2, 2)):
        mqtt.publish(f"{own}/to/amqp", b"x", qos)
        assert amqp.next()[2].delivery_mode == delivery_mode, qos
    for given, qos in ((1, 0), (2, 1), (None, 0)):
        amqp.publish(f"{own}.to.mqtt", b"x", delivery_mode=given)
        assert mqtt.next().qos == qos, given
