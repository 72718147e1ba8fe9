"""Retain As Published and Retain Handling, as mosquitto_sub asks for them."""

from __future__ import annotations

from programs import Broker, fresh


def run(broker: Broker) -> None:
    topic = fresh("retain")
    broker.publish(topic, "-m", "kept", "-r", "-q", "1")
    never = broker.subscribe("-t", topic, "-q", "1", "--retain-handling", "never", form="%r %p")
    flagged = broker.subscribe("-t", topic, "-q", "1", "--retain-as-published", form="%r %p")
    assert flagged.next() == "1 kept"
    broker.publish(topic, "-m", "live", "-r", "-q", "1")
    assert (never.next(), flagged.next()) == ("0 live", "1 live")
    broker.publish(topic, "-n", "-r", "-q", "1")
    never.stop()
    flagged.stop()
