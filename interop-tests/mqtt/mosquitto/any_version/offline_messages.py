"""What is published while a session has no program arrives when it has one again."""

from __future__ import annotations

from programs import Broker, fresh

COUNT = 200


def run(broker: Broker) -> None:
    topic, client_id = fresh("offline"), fresh("session")
    kept = ("-i", client_id, "-c", "-t", topic, "-q", "2")
    broker.subscribe(*kept).kill()  # -c is a session that never expires in MQTT 5
    for qos in "12":
        lines = "".join(f"{qos} {number}\n" for number in range(COUNT))
        broker.publish(topic, "-q", qos, "-l", lines=lines.encode())
    subscriber = broker.subscribe(*kept)
    got = subscriber.take(2 * COUNT)
    for qos in "12":
        assert [line for line in got if line.startswith(qos)] == [f"{qos} {number}" for number in range(COUNT)]
    subscriber.stop()
    subscriber = broker.subscribe("-i", client_id, "-t", topic, "-q", "2")
    broker.publish(topic, "-m", "end", "-q", "2")
    assert subscriber.until("end") == []
    subscriber.stop()
