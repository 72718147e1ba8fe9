"""Subscribes once; its session keeps what comes while it goes from node to node."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import paho.mqtt.client as mqtt

from broker.demo.cluster.mqtt_client import MqttClient
from broker.demo.cluster.orders import Orders
from broker.demo.cluster.witness import Life, Way, Witness


class MqttSubscriber(MqttClient):
    def __init__(
        self,
        name: str,
        ways: Sequence[Way],
        version: int,
        topic: str,
        qos: int,
        witness: Witness,
        orders: Orders,
    ) -> None:
        super().__init__(name, ways, version, witness, orders)
        self.place = topic
        self.ready = threading.Event()
        self._qos = qos
        self._life = Life(name, "")
        self.client.on_subscribe = self._receive_subscribed
        self.client.on_message = self._receive_message

    def _begin(self) -> None:
        self._life = Life(self.name, self.node)
        if not self.ready.is_set():
            self.client.subscribe(self.place, self._qos)

    def _lost(self) -> None:
        self._witness.end(self._life)

    def _receive_subscribed(self, *_: object) -> None:
        self.ready.set()

    def _receive_message(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        id = self._witness.deliver(self._life, self.place, bytes(message.payload), message.dup)
        if id is not None:
            self._witness.settle(self._life, (id,))  # paho does so at once
