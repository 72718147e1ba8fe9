"""A client of each protocol that says and hears the same things: pika, paho, stomp.py."""

from __future__ import annotations

import queue
import threading
import uuid
from typing import Protocol

import paho.mqtt.client as mqtt
import pika
import stomp
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from said import WAIT_S, Said

EXCHANGE = "amq.topic"
LOGIN = "guest"


def fresh(name: str) -> str:
    """A name that nobody used, and that is one level in every protocol."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


class End(Protocol):
    """One client.  Keys are levels with dots."""

    def listen(self, key: str) -> None: ...
    def say(self, key: str, said: Said) -> None: ...
    def hear(self) -> tuple[str, Said]: ...


class Asking(End, Protocol):
    """One that can be answered too, in a place of its own."""

    def ask(self, key: str, question: bytes, correlation: str) -> None: ...
    def answer(self, suffix: bytes) -> None:
        """The next request that is heard: the question and the suffix, to where it says."""


class AmqpEnd:
    def __init__(self, port: int) -> None:
        login = pika.PlainCredentials(LOGIN, LOGIN)
        self.connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, "/", login))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.queue = self.channel.queue_declare("", exclusive=True).method.queue

    def listen(self, key: str) -> None:
        self.channel.queue_bind(self.queue, EXCHANGE, key)

    def say(self, key: str, said: Said) -> None:
        headers: dict[str, str] = dict(said.headers)
        reply_to = None
        if said.reply_to is not None:
            kind, reply_to = said.reply_to
            if kind == "topic":
                headers["mqtt-response-exchange"] = EXCHANGE
        properties = pika.BasicProperties(
            delivery_mode=2 if said.persistent else 1,
            content_type=said.content_type,
            correlation_id=said.correlation,
            reply_to=reply_to,
            expiration=None if said.expires_s is None else str(said.expires_s * 1000),
            headers=headers or None,
        )
        self.channel.basic_publish(EXCHANGE, key, said.payload, properties)

    def hear(self) -> tuple[str, Said]:
        for method, told, body in self.channel.consume(self.queue, auto_ack=True, inactivity_timeout=WAIT_S):
            assert method is not None, "nothing came to AMQP"
            headers = told.headers or {}
            kind = "topic" if headers.pop("mqtt-response-exchange", None) == EXCHANGE else "queue"
            return method.routing_key, Said(
                body,
                told.delivery_mode == 2,
                told.content_type,
                told.correlation_id,
                None if told.reply_to is None else (kind, told.reply_to),
                None if told.expiration is None else int(told.expiration) // 1000,
                headers,
            )
        raise AssertionError("the consumer was cancelled")

    def ask(self, key: str, question: bytes, correlation: str) -> None:
        self.say(key, Said(question, reply_to=("queue", self.queue), correlation=correlation))

    def answer(self, suffix: bytes) -> None:
        _, request = self.hear()
        assert request.reply_to is not None
        kind, name = request.reply_to
        properties = pika.BasicProperties(correlation_id=request.correlation)
        self.channel.basic_publish(EXCHANGE if kind == "topic" else "", name, request.payload + suffix, properties)


class MqttEnd:
    def __init__(self, port: int, level: int) -> None:
        self.level = level
        version = mqtt.MQTTProtocolVersion(level)
        self.client = client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, fresh("pairs"), protocol=version)
        client.username_pw_set(LOGIN, LOGIN)
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        connected, self.subscribed = threading.Event(), threading.Event()
        client.on_connect = lambda *_: connected.set()
        client.on_message = lambda _, __, message: self.messages.put(message)
        client.on_subscribe = lambda *_: self.subscribed.set()
        client.connect("127.0.0.1", port)
        client.loop_start()
        assert connected.wait(WAIT_S), "no CONNACK"

    def listen(self, key: str) -> None:
        self.subscribed.clear()
        self.client.subscribe(key.replace(".", "/"), 2)
        assert self.subscribed.wait(WAIT_S)

    def say(self, key: str, said: Said) -> None:
        properties = None
        if self.level == 5:
            properties = Properties(PacketTypes.PUBLISH)
            if said.content_type is not None:
                properties.ContentType = said.content_type
            if said.correlation is not None:
                properties.CorrelationData = said.correlation.encode()
            if said.reply_to is not None:
                kind, name = said.reply_to
                properties.ResponseTopic = f"$queue/{name}" if kind == "queue" else name.replace(".", "/")
            if said.expires_s is not None:
                properties.MessageExpiryInterval = said.expires_s
            if said.headers:
                properties.UserProperty = list(said.headers.items())
        sent = self.client.publish(key.replace(".", "/"), said.payload, int(said.persistent), properties=properties)
        sent.wait_for_publish(WAIT_S)
        assert sent.is_published()

    def hear(self) -> tuple[str, Said]:
        message = self.messages.get(timeout=WAIT_S)
        told = message.properties if self.level == 5 else None
        response = getattr(told, "ResponseTopic", None)
        reply_to = None
        if response is not None:
            name = response.removeprefix("$queue/")
            reply_to = ("topic", response.replace("/", ".")) if name == response else ("queue", name)
        correlation = getattr(told, "CorrelationData", None)
        return message.topic.replace("/", "."), Said(
            message.payload,
            message.qos > 0,
            getattr(told, "ContentType", None),
            None if correlation is None else correlation.decode(),
            reply_to,
            getattr(told, "MessageExpiryInterval", None),
            dict(getattr(told, "UserProperty", ())),
        )

    def ask(self, key: str, question: bytes, correlation: str) -> None:
        answers = fresh("answers")
        self.listen(answers)
        self.say(key, Said(question, reply_to=("topic", answers), correlation=correlation))

    def answer(self, suffix: bytes) -> None:
        request = self.messages.get(timeout=WAIT_S)
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = request.properties.CorrelationData
        topic = request.properties.ResponseTopic
        self.client.publish(topic, request.payload + suffix, 1, properties=properties).wait_for_publish(WAIT_S)


class StompEnd(stomp.ConnectionListener):
    def __init__(self, port: int) -> None:
        self.messages: queue.Queue[stomp.utils.Frame] = queue.Queue()
        self.receipts: queue.Queue[str] = queue.Queue()
        self.connection = stomp.Connection12([("127.0.0.1", port)], vhost="/", auto_decode=False)
        self.connection.set_listener("end", self)
        self.connection.connect(LOGIN, LOGIN, wait=True)

    def on_message(self, frame: stomp.utils.Frame) -> None:
        self.messages.put(frame)

    def on_receipt(self, frame: stomp.utils.Frame) -> None:
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame: stomp.utils.Frame) -> None:
        print("ERROR", frame.headers, frame.body, flush=True)

    def listen(self, key: str) -> None:
        self.connection.subscribe(f"/topic/{key}", id=fresh("id"), headers={"receipt": "listening"})
        assert self.receipts.get(timeout=WAIT_S) == "listening"

    def say(self, key: str, said: Said) -> None:
        headers = dict(said.headers)
        if said.persistent:
            headers["persistent"] = "true"
        if said.correlation is not None:
            headers["correlation-id"] = said.correlation
        if said.reply_to is not None:
            headers["reply-to"] = "/{}/{}".format(*said.reply_to)
        if said.expires_s is not None:
            headers["expiration"] = str(said.expires_s * 1000)
        self.connection.send(f"/topic/{key}", said.payload, said.content_type, {**headers, "receipt": "said"})
        assert self.receipts.get(timeout=WAIT_S) == "said"

    def hear(self) -> tuple[str, Said]:
        frame = self.messages.get(timeout=WAIT_S)
        told = frame.headers
        body = frame.body if isinstance(frame.body, bytes) else (frame.body or "").encode()
        reply_to = None
        if "reply-to" in told:
            _, kind, name = told["reply-to"].split("/", 2)
            reply_to = (kind, name)
        return told["destination"].removeprefix("/topic/"), Said(
            body,
            told.get("persistent") == "true",
            told.get("content-type"),
            told.get("correlation-id"),
            reply_to,
            int(told["expiration"]) // 1000 if "expiration" in told else None,
            told,
        )

    def ask(self, key: str, question: bytes, correlation: str) -> None:
        headers = {"reply-to": "/temp-queue/answers", "correlation-id": correlation}
        self.connection.send(f"/topic/{key}", question, headers=headers)

    def answer(self, suffix: bytes) -> None:
        request = self.messages.get(timeout=WAIT_S)
        headers = {"correlation-id": request.headers["correlation-id"]}
        self.connection.send(request.headers["reply-to"], request.body + suffix, headers=headers)
