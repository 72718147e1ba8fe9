"""What a message says of itself crosses: content type, correlation, expiry, user properties and headers."""

from __future__ import annotations

from bridge import AmqpEnd, MqttEnd, fresh, told


def run(amqp: AmqpEnd, mqtt: MqttEnd) -> None:
    own = fresh("properties")
    amqp.bind(f"{own}.to.amqp")
    mqtt.subscribe(f"{own}/to/mqtt")

    headers = {"name": "wört", "count": 3, "many": ["1", "2"]}
    amqp.publish(f"{own}.to.mqtt", b"x", content_type="text/plain", correlation_id="c-1", expiration="60000",
                 headers=headers, delivery_mode=2)  # fmt: skip
    said = told(mqtt.next())
    assert (said["ContentType"], said["CorrelationData"]) == ("text/plain", b"c-1")
    assert 55 <= said["MessageExpiryInterval"] <= 60
    pairs = said["UserProperty"]
    assert ("name", "wört") in pairs
    assert ("count", "3") in pairs
    assert [value for name, value in pairs if name == "many"] == ["1", "2"], "a repeated name for an array"

    user = [("z", "1"), ("a", "ü"), ("z", "2")]
    mqtt.publish(f"{own}/to/amqp", b"x", said={
        "ContentType": "text/plain", "CorrelationData": b"c-2", "MessageExpiryInterval": 60, "UserProperty": user,
    })  # fmt: skip
    properties = amqp.next()[2]
    assert (properties.content_type, properties.correlation_id) == ("text/plain", "c-2")
    assert 55_000 <= int(properties.expiration) <= 60_000
    assert properties.headers["z"] == ["1", "2"], "an array for a repeated name"
    assert properties.headers["a"] == "ü"
    mqtt.publish(f"{own}/to/amqp", b"x", said={"CorrelationData": b"\xff\xfe"})
    assert amqp.next()[2].correlation_id is None, "bytes that are no text"
