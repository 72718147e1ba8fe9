"""Words and levels are the same; the other protocol's separator in one is escaped; wildcards match across."""

from __future__ import annotations

from bridge import AmqpEnd, MqttEnd, fresh

# Routing keys and topics; ~ is a level of this run alone.
PAIRS = (
    ("~.a.b.c", "~/a/b/c"),
    ("~", "~"),
    ("~..c", "~//c"),
    ("~.", "~/"),
    ("~.x%2Ey.z", "~/x.y/z"),
    ("~.p/q.z", "~/p%2Fq/z"),
    ("~.a b.日本", "~/a b/日本"),
)
# Binding keys, filters, and which of the pairs they match.
PATTERNS = (
    ("~.#", "~/#", range(len(PAIRS))),
    ("~.*.z", "~/+/z", (4, 5)),
    ("~.a.#", "~/a/#", (0,)),
    ("*.a.*.c", "+/a/+/c", (0,)),
)


def run(amqp: AmqpEnd, mqtt: MqttEnd) -> None:
    for binding_key, text, which in PATTERNS:
        own = fresh("levels")
        amqp.bind(binding_key.replace("~", own))
        mqtt.subscribe(text.replace("~", own))
        pairs = [(key.replace("~", own), topic.replace("~", own)) for key, topic in PAIRS]
        matched = [pairs[number] for number in which]
        for key, _ in pairs:
            amqp.publish(key, b"from AMQP")
        for _, topic in pairs:
            mqtt.publish(topic, b"from MQTT")
        got = sorted((amqp.next()[:2]) for _ in range(2 * len(matched)))
        assert got == sorted((key, body) for key, _ in matched for body in (b"from AMQP", b"from MQTT")), binding_key
        topics = [mqtt.next() for _ in range(2 * len(matched))]
        assert sorted((each.topic, each.payload) for each in topics) == sorted(
            (topic, body) for _, topic in matched for body in (b"from AMQP", b"from MQTT")
        ), text
        amqp.channel.queue_unbind(amqp.queue, "amq.topic", binding_key.replace("~", own))
        mqtt.client.unsubscribe(text.replace("~", own))
