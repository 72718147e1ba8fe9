"""After the broker was killed and started: what a session is owed, and what is retained."""

from __future__ import annotations

from programs import Broker, fresh
from restarting import restart_broker

COUNT = 20


def run(broker: Broker) -> None:
    topic, client_id = fresh("restart"), fresh("session")
    kept = ("-i", client_id, "-c", "-t", f"{topic}/+", "-q", "1")
    broker.subscribe(*kept).kill()
    broker.publish(f"{topic}/x", "-q", "1", "-l", lines=b"".join(b"%d\n" % number for number in range(COUNT)))
    broker.publish(topic, "-q", "1", "-m", "retained", "-r")
    restart_broker()
    subscriber = broker.subscribe(*kept)
    assert subscriber.take(COUNT) == [str(number) for number in range(COUNT)]
    late = broker.subscribe("-t", topic, "-q", "1", form="%r %p")
    assert late.next() == "1 retained"
    broker.publish(topic, "-r", "-n", "-q", "1")
    broker.publish(f"{topic}/x", "-m", "end", "-q", "1")
    assert subscriber.until("end") == []
    subscriber.stop()
    late.stop()
    broker.subscribe("-i", client_id, "-t", topic).stop()
