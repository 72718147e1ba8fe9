"""The two ends of a crossing: pika on AMQP's side, paho on MQTT's, both at ``amq.topic``."""

from __future__ import annotations

import queue
import re
import threading
import uuid
from collections.abc import Mapping
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pika
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

EXCHANGE = "amq.topic"
WAIT_S = 10.0


def fresh(name: str) -> str:
    """A name nobody used, and that is one level in both protocols."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


class AmqpEnd:
    """A channel with publisher confirms and an exclusive queue."""

    def __init__(self, url: str) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.queue = self.channel.queue_declare("", exclusive=True).method.queue

    def bind(self, key: str) -> None:
        self.channel.queue_bind(self.queue, EXCHANGE, key)

    def publish(self, key: str, body: bytes, exchange: str = EXCHANGE, **properties: object) -> None:
        self.channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties))

    def next(self) -> tuple[str, bytes, pika.BasicProperties]:
        """Routing key, body and properties."""
        for method, properties, body in self.channel.consume(self.queue, auto_ack=True, inactivity_timeout=WAIT_S):
            assert method is not None, "nothing came to AMQP"
            return method.routing_key, body, properties
        raise AssertionError("the consumer was cancelled")


class MqttEnd:
    """A client in MQTT 3.1.1 (level 4) or 5."""

    def __init__(self, url: str, level: int) -> None:
        parts = urlsplit(url)
        self.client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, fresh("cross"), protocol=mqtt.MQTTProtocolVersion(level)
        )
        client.username_pw_set(parts.username or "", parts.password or "")
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self._subscribed = threading.Event()
        self._unsubscribed = threading.Event()
        connected = threading.Event()
        client.on_connect = lambda *_: connected.set()
        client.on_message = lambda _, __, message: self.messages.put(message)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_unsubscribe = lambda *_: self._unsubscribed.set()
        client.connect(str(parts.hostname), parts.port or 1883)
        client.loop_start()
        assert connected.wait(WAIT_S)

    def subscribe(self, text: str, qos: int = 2) -> None:
        self._subscribed.clear()
        self.client.subscribe(text, qos)
        assert self._subscribed.wait(WAIT_S)

    def unsubscribe(self, text: str) -> None:
        self._unsubscribed.clear()
        self.client.unsubscribe(text)
        assert self._unsubscribed.wait(WAIT_S)

    def publish(self, topic: str, payload: bytes, qos: int = 1, said: Mapping[str, object] | None = None) -> None:
        """``said`` has paho's names: ContentType, ResponseTopic, ..."""
        properties = None
        if said:
            properties = Properties(PacketTypes.PUBLISH)
            for name, value in said.items():
                setattr(properties, name, value)
        sent = self.client.publish(topic, payload, qos, properties=properties)
        sent.wait_for_publish(WAIT_S)
        assert sent.is_published()

    def next(self) -> mqtt.MQTTMessage:
        try:
            return self.messages.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError("nothing came to MQTT") from None


def told(message: mqtt.MQTTMessage) -> dict[str, object]:
    """What a message says of itself, with paho's names."""
    return {name: value for name, value in vars(message.properties or object).items() if re.match("[A-Z]", name)}
