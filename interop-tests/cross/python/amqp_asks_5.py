"""An AMQP requester with an exclusive queue for its answers, and an MQTT responder."""

from __future__ import annotations

from bridge import AmqpEnd, MqttEnd, fresh, told


def run(amqp: AmqpEnd, mqtt: MqttEnd) -> None:
    service = fresh("service")
    mqtt.subscribe(service)
    amqp.publish(service, b"question", reply_to=amqp.queue, correlation_id="7")
    request = mqtt.next()
    said = told(request)
    assert (request.payload, said["ResponseTopic"]) == (b"question", f"$queue/{amqp.queue}")
    mqtt.publish(said["ResponseTopic"], b"answer", 1, {"CorrelationData": said["CorrelationData"]})
    _, body, properties = amqp.next()
    assert (body, properties.correlation_id) == (b"answer", "7")
