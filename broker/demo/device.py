"""A truck's connection: one MQTT 5 client, driven from outside (paho's loop_read, loop_write, loop_misc)."""

from __future__ import annotations

import selectors
from typing import Any
from urllib.parse import SplitResult, unquote

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from broker.demo.truck import Truck

KEEP_ALIVE_S = 30
CONNECT_TIMEOUT_S = 2.0
COMMAND_SIZE_MAX = 1000
"""Bytes that are echoed; what is longer is cut."""


class Device:
    """Publishes ``fleet/<name>/temperature``; answers ``fleet/<name>/command`` on its response topic or ``/echo``."""

    def __init__(self, truck: Truck, broker: SplitResult, selector: selectors.BaseSelector) -> None:
        self._truck = truck
        self._topic = f"fleet/{truck.name}"
        self._selector = selector
        self._address = (broker.hostname or "127.0.0.1", broker.port or 1883)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"demo-{truck.name}", protocol=mqtt.MQTTv5)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        if broker.username is not None:
            self._client.username_pw_set(unquote(broker.username), unquote(broker.password or ""))
        self._client.on_connect = self._receive_connect
        self._client.on_message = self._receive_command
        self._client.on_socket_open = self._receive_open
        self._client.on_socket_close = self._receive_close
        self._client.on_socket_register_write = lambda _, __, opened: self._watch(opened, selectors.EVENT_WRITE)
        self._client.on_socket_unregister_write = lambda _, __, opened: self._watch(opened, 0)

    @property
    def online(self) -> bool:
        """Has the broker let it in?"""
        return self._client.is_connected()

    @property
    def connecting(self) -> bool:
        return self._client.socket() is not None

    def connect(self) -> None:
        """OSError if nobody listens there."""
        self._client.connect(*self._address, keepalive=KEEP_ALIVE_S)

    def receive_events(self, events: int) -> None:
        """What the selector saw."""
        if events & selectors.EVENT_WRITE:
            self._client.loop_write()
        if events & selectors.EVENT_READ:
            self._client.loop_read()

    def receive_time(self) -> None:
        """Pings; to be called every second or so."""
        self._client.loop_misc()

    def publish_reading(self, seconds: float) -> None:
        """``seconds`` since the last one."""
        celsius = f"{self._truck.measure(seconds):.2f}"
        self._client.publish(f"{self._topic}/temperature", celsius, qos=1, properties=_properties())

    def disconnect(self) -> None:
        self._client.disconnect()
        while self._client.socket() is not None and self._client.want_write():
            self._client.loop_write()

    def _receive_open(self, _: object, __: object, opened: Any) -> None:
        self._selector.register(opened, selectors.EVENT_READ, self)

    def _receive_close(self, _: object, __: object, closed: Any) -> None:
        self._selector.unregister(closed)

    def _watch(self, opened: Any, write: int) -> None:
        self._selector.modify(opened, selectors.EVENT_READ | write, self)

    def _receive_connect(self, *_: object) -> None:
        if self.online:
            self._client.subscribe(f"{self._topic}/command", qos=1)

    def _receive_command(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        command = message.payload[:COMMAND_SIZE_MAX].decode(errors="replace")
        # paho's properties are attributes that aren't there if the message has none.
        answer_to = getattr(message.properties, "ResponseTopic", None) or f"{self._topic}/echo"
        answer = _properties()
        correlation = getattr(message.properties, "CorrelationData", None)
        if correlation is not None:
            answer.CorrelationData = correlation
        client.publish(answer_to, self._truck.obey(command), qos=1, properties=answer)


def _properties() -> Properties:
    """With a property for people who look on: a message is the same by whatever protocol it came."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = ("via", "MQTT")
    properties.ContentType = "text/plain"
    return properties
