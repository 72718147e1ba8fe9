"""A small and steady load of AMQP and MQTT clients, spread over the nodes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence

import paho.mqtt.client as mqtt

from broker.demo.cluster.amqp_consumer import AmqpConsumer
from broker.demo.cluster.amqp_publisher import AmqpPublisher
from broker.demo.cluster.mqtt_publisher import MqttPublisher
from broker.demo.cluster.mqtt_subscriber import MqttSubscriber
from broker.demo.cluster.orders import Orders
from broker.demo.cluster.witness import Way, Witness

END_S = 15.0
ASK_INTERVAL_S = 0.05
QOS_OF_TOPICS = (1, 2)
VERSIONS = (mqtt.MQTTv311, mqtt.MQTTv5)


def turned(ways: Sequence[Way], by: int) -> list[Way]:
    """So that a client begins at another node than its neighbour."""
    by %= len(ways)
    return [*ways[by:], *ways[:by]]


class Load:
    """``queue_count`` durable queues with two publishers and a consumer each, at three nodes; two MQTT topics, of QoS 1
    and 2, with a publisher and a subscriber each."""

    def __init__(
        self, ways: Mapping[str, Sequence[Way]], witness: Witness, queue_count: int, rate: float, mqtt_rate: float
    ) -> None:
        """``ways``: by protocol, each node's.  Rates: messages per second of all publishers of AMQP, and of MQTT."""
        self.orders = orders = Orders()
        name = uuid.uuid4().hex[:6]
        amqp, by_mqtt = ways["amqp"], ways.get("mqtt", ())
        self.publishers: list[AmqpPublisher | MqttPublisher] = []
        self.consumers: list[AmqpConsumer | MqttSubscriber] = []
        each = rate / (2 * queue_count)
        for number in range(queue_count):
            queue = f"load.{name}.{number + 1}"
            for turn in range(2):
                publisher = f"publisher {turn + 1} of {queue}"
                places = turned(amqp, number + turn)
                made = AmqpPublisher(publisher, places, queue, each, witness, orders)
                self.publishers.append(made)
            consumer = AmqpConsumer(f"consumer of {queue}", turned(amqp, number + 2), queue, witness, orders)
            self.consumers.append(consumer)
        self.exactly_once: list[str] = []
        """Topics of QoS 2."""
        for number, qos in enumerate(QOS_OF_TOPICS if by_mqtt else ()):
            topic, version = f"load/{name}/qos{qos}", VERSIONS[number % 2]
            if qos == 2:
                self.exactly_once.append(topic)
            id, places, each = f"load-{name}-{qos}", turned(by_mqtt, number), mqtt_rate / len(QOS_OF_TOPICS)
            self.publishers.append(MqttPublisher(f"{id}-from", places, version, topic, qos, each, witness, orders))
            places = turned(by_mqtt, number + 1)
            self.consumers.append(MqttSubscriber(f"{id}-to", places, version, topic, qos, witness, orders))

    def start(self, timeout_s: float) -> list[str]:
        """Publishes once all consumers are there; who isn't after that time."""
        for consumer in self.consumers:
            consumer.start()
        deadline = time.monotonic() + timeout_s
        late = [each.name for each in self.consumers if not each.ready.wait(max(deadline - time.monotonic(), 0.0))]
        if not late:
            for publisher in self.publishers:
                publisher.start()
        return late

    def go_home(self, timeout_s: float) -> list[str]:
        """Each client goes back to the node that it came to first; who isn't there after that time."""
        clients = (*self.publishers, *self.consumers)
        deadline = time.monotonic() + timeout_s
        self.orders.homing.set()
        while (away := [each.name for each in clients if each.node != each.home]) and time.monotonic() < deadline:
            time.sleep(ASK_INTERVAL_S)
        self.orders.homing.clear()
        return away

    def places_without(self, node: str) -> set[str]:
        """To which somebody publishes at another node."""
        return {publisher.place for publisher in self.publishers if publisher.node not in ("", node)}

    def stop(self) -> list[str]:
        """Who does not end."""
        self.orders.stopping.set()
        deadline = time.monotonic() + END_S
        stuck = []
        for thread in (*self.publishers, *self.consumers):
            if thread.ident is not None:
                thread.join(max(deadline - time.monotonic(), 0.0))
                if thread.is_alive():
                    stuck.append(thread.name)
        return stuck
