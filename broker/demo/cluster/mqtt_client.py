"""An MQTT client with a durable session: paho, one object that keeps its state and goes from node to node."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker.demo.cluster.orders import Orders
from broker.demo.cluster.witness import Way, Witness

TURN_S = 0.02
RETRY_S = 0.1
KEEP_ALIVE_S = 3
CONNECT_TIMEOUT_S = 3.0
SESSION_EXPIRY_S = 3600


class Rememberer(mqtt.Client):
    """paho 2.2 forgets at its second try to reconnect that it had sent PUBREL, and publishes such messages anew."""

    def _messages_reconnect_reset_out(self) -> None:
        released = [m for m in self._out_messages.values() if m.state == mqtt.mqtt_ms_resend_pubrel]
        super()._messages_reconnect_reset_out()
        for message in released:
            message.state = mqtt.mqtt_ms_resend_pubrel


class MqttClient(threading.Thread):
    """Its session begins with its first connection and lives on; ``_work`` is called every ``TURN_S`` or so."""

    def __init__(self, name: str, ways: Sequence[Way], version: int, witness: Witness, orders: Orders) -> None:
        """``version``: 4 is MQTT 3.1.1.  The client's id is its name, which must not have been used before."""
        super().__init__(name=name, daemon=True)
        self.node = ""
        """That it is connected to."""
        self.connections = 0
        self._ways = ways
        self._witness = witness
        self._orders = orders
        self._at = ""
        self._version5 = version == mqtt.MQTTv5
        self.client = Rememberer(
            CallbackAPIVersion.VERSION2,
            name,
            clean_session=None if self._version5 else False,
            protocol=MQTTProtocolVersion(version),
        )
        self.client.connect_timeout = CONNECT_TIMEOUT_S
        self.client.on_connect = self._receive_connected
        self.client.on_disconnect = self._receive_disconnected

    @property
    def home(self) -> str:
        return self._ways[0].node

    def run(self) -> None:
        turn = 0
        while not self._orders.stop:
            way = self._ways[turn % len(self._ways)]
            self._at = way.node
            before = self.connections
            if self._connect(way):
                while not self._orders.stop and self.client.loop(TURN_S) == mqtt.MQTT_ERR_SUCCESS:
                    if self.node and self._orders.homing.is_set() and self.node != self.home:
                        self.client.disconnect()
                        turn = 0
                    elif self.node:
                        self._work()
            if self.connections == before:
                turn += 1  # one that had it may have asked it to come again
            self.node = ""
            self._lost()
            self._orders.stopping.wait(RETRY_S)
        self.client.disconnect()

    def _connect(self, way: Way) -> bool:
        try:
            if self._version5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = SESSION_EXPIRY_S
                self.client.connect(way.host, way.port, KEEP_ALIVE_S, clean_start=False, properties=properties)
            else:
                self.client.connect(way.host, way.port, KEEP_ALIVE_S)
        except OSError:
            return False
        return True

    def _receive_connected(
        self, _: mqtt.Client, __: object, flags: mqtt.ConnectFlags, reason: ReasonCode, ___: Properties | None
    ) -> None:
        if reason.is_failure:
            return
        if self.connections and not flags.session_present:
            self._witness.complain(f"{self.name} at {self._at}: its session is lost")
        self.connections += 1
        self.node = self._at
        self._begin()

    def _receive_disconnected(self, *_: object) -> None:
        self.node = ""

    def _begin(self) -> None:
        """It is connected."""

    def _lost(self) -> None:
        """It is not any more, or could not be."""

    def _work(self) -> None:
        """It is connected, and has nothing else to do."""
