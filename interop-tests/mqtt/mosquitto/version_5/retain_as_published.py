"""Retain As Published, as mosquitto_sub asks for it."""

from __future__ import annotations

from programs import Broker, fresh


def run(broker: Broker) -> None:
    topic = fresh("retain")
    plain = broker.subscribe("-t", topic, "-q", "1", form="%r %p")
    flagged = broker.subscribe("-t", topic, "-q", "1", "--retain-as-published", form="%r %p")
    broker.publish(topic, "-m", "live", "-r", "-q", "1")
    broker.publish(topic, "-m", "passing", "-q", "1")
    assert plain.take(2) == ["0 live", "0 passing"]
    assert flagged.take(2) == ["1 live", "0 passing"]
    broker.publish(topic, "-n", "-r", "-q", "1")
    plain.stop()
    flagged.stop()
