"""Publishes to a topic; its messages are under way until they are acknowledged, at whatever node."""

from __future__ import annotations

import time
from collections.abc import Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker.demo.cluster.mqtt_client import MqttClient
from broker.demo.cluster.orders import Orders
from broker.demo.cluster.witness import Way, Witness, body_of

IN_FLIGHT_MAX = 16


class MqttPublisher(MqttClient):
    def __init__(
        self,
        name: str,
        ways: Sequence[Way],
        version: int,
        topic: str,
        qos: int,
        rate: float,
        witness: Witness,
        orders: Orders,
    ) -> None:
        super().__init__(name, ways, version, witness, orders)
        self.place = topic
        self._qos = qos
        self._rate = rate
        self._in_flight: dict[int, int] = {}
        """Packet id -> message's id."""
        self._due_at = 0.0
        self._resent = 0
        """The connection on which all that was under way before is acknowledged."""
        self.client.on_publish = self._receive_acknowledged

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def _lost(self) -> None:
        for id in self._in_flight.values():
            self._witness.resend(id)

    def _work(self) -> None:
        now = time.monotonic()
        if self._due_at > now or self._orders.paused.is_set() or len(self._in_flight) >= IN_FLIGHT_MAX:
            return
        # Once connected again, paho may send a new message before those it has to send again.
        if self._in_flight and self._resent != self.connections:
            return
        self._resent = self.connections
        self._due_at = max(self._due_at + 1.0 / self._rate, now - 1.0 / self._rate)
        id = self._witness.publish(self.place, self.name)
        told = self.client.publish(self.place, body_of(id), self._qos)
        self._in_flight[told.mid] = id

    def _receive_acknowledged(
        self, _: mqtt.Client, __: object, mid: int, reason: ReasonCode, ___: Properties | None
    ) -> None:
        id = self._in_flight.pop(mid, None)
        if id is None:
            self._witness.complain(f"{self.name} was answered twice for one publish")
        elif reason.is_failure:
            self._witness.refuse(id)
        else:
            self._witness.confirm(id)
