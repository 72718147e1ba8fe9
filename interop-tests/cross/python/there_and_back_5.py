"""An AMQP message that went through an MQTT client which copies all it is told is the same again, and the reverse."""

from __future__ import annotations

from bridge import AmqpEnd, MqttEnd, fresh, told


def run(amqp: AmqpEnd, mqtt: MqttEnd) -> None:
    own = fresh("back")
    amqp.bind(f"{own}.back")
    mqtt.subscribe(f"{own}/there")
    amqp.publish(f"{own}.there", b"body", content_type="a/b", correlation_id="id", headers={"h": "1"}, delivery_mode=2)
    message = mqtt.next()
    mqtt.publish(f"{own}/back", message.payload, message.qos, told(message))
    _, body, properties = amqp.next()
    assert (body, properties.content_type, properties.correlation_id) == (b"body", "a/b", "id")
    assert (properties.delivery_mode, properties.headers["h"]) == (2, "1")

    amqp.bind(f"{own}.out")
    mqtt.subscribe(f"{own}/in")
    said = {"ContentType": "a/b", "CorrelationData": b"id", "UserProperty": [("h", "1"), ("h", "2")]}
    mqtt.publish(f"{own}/out", b"body", 1, said)
    _, body, properties = amqp.next()
    amqp.channel.basic_publish("amq.topic", f"{own}.in", body, properties)
    message = mqtt.next()
    assert (message.payload, message.qos) == (b"body", 1)
    again = told(message)
    assert {name: again[name] for name in ("ContentType", "CorrelationData")} == {
        name: said[name] for name in ("ContentType", "CorrelationData")
    }
    assert [pair for pair in again["UserProperty"] if pair[0] == "h"] == said["UserProperty"]
