"""An MQTT requester with a response topic, and an AMQP responder."""

from __future__ import annotations

from bridge import EXCHANGE, AmqpEnd, MqttEnd, fresh, told


def run(amqp: AmqpEnd, mqtt: MqttEnd) -> None:
    service = fresh("service")
    amqp.bind(service)
    mqtt.subscribe(f"{service}/an.swers/1")
    said = {"ResponseTopic": f"{service}/an.swers/1", "CorrelationData": b"7"}
    mqtt.publish(service, b"question", 1, said)
    _, body, request = amqp.next()
    assert (body, request.reply_to, request.correlation_id) == (b"question", f"{service}.an%2Eswers.1", "7")
    assert EXCHANGE in (request.headers or {}).values(), "a header tells where the answer is to be published"
    amqp.publish(request.reply_to, b"answer", correlation_id=request.correlation_id)
    answer = mqtt.next()
    assert (answer.topic, answer.payload) == (f"{service}/an.swers/1", b"answer")
    assert told(answer)["CorrelationData"] == b"7"
