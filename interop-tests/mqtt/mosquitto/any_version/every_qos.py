"""A thousand lines of each QoS arrive once, in order."""

from __future__ import annotations

from programs import Broker, fresh

COUNT = 1000


def run(broker: Broker) -> None:
    for qos in "012":
        topic = fresh(f"qos{qos}")
        subscriber = broker.subscribe("-t", topic, "-q", qos, form="%q %r %t %p")
        assert subscriber.codes == [int(qos)]
        lines = [f"line {number}" for number in range(COUNT)]
        broker.publish(topic, "-q", qos, "-l", lines="".join(f"{line}\n" for line in lines).encode())
        assert subscriber.take(COUNT) == [f"{qos} 0 {topic} {line}" for line in lines], f"QoS {qos}"
        broker.publish(topic, "-q", qos, "-m", "end")
        assert subscriber.until("end") == [], f"QoS {qos}: more than was sent"
        subscriber.stop()
