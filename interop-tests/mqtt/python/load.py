"""A client for load under which the broker is killed: paho, one object that keeps its state and reconnects."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

SESSION_EXPIRY_S = 3600
RECONNECT_S = 0.1


class Rememberer(mqtt.Client):
    """paho 2.2 forgets at its second try to reconnect that it had sent PUBREL, and publishes such messages anew."""

    def _messages_reconnect_reset_out(self) -> None:
        released = [m for m in self._out_messages.values() if m.state == mqtt.mqtt_ms_resend_pubrel]
        super()._messages_reconnect_reset_out()
        for message in released:
            message.state = mqtt.mqtt_ms_resend_pubrel


class LastingClient:
    """Its session begins anew with its first connection and then lives as long as the object."""

    def __init__(self, url: str, level: str, client_id: str) -> None:
        self.connected = threading.Event()
        self.connections = 0
        self._first = True
        self._failed: str | None = None
        parts = urlsplit(url)
        version5 = level == "5"
        self.client = client = Rememberer(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if version5 else False,  # nobody had this name before
            protocol=mqtt.MQTTProtocolVersion(int(level)),
        )
        client.username_pw_set(parts.username or "", parts.password or "")
        client.reconnect_delay_set(RECONNECT_S, RECONNECT_S)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda *_: self.connected.clear()
        more = {}
        if version5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            more = {"clean_start": False, "properties": properties}
        client.connect_async(str(parts.hostname), parts.port or 1883, **more)
        client.loop_start()

    def _on_connect(self, client: mqtt.Client, _, flags: mqtt.ConnectFlags, reason, __) -> None:
        if reason.is_failure:
            return
        if flags.session_present == self._first:
            self._failed = f"session present: {flags.session_present}"
        self._first = False
        self.connections += 1
        self.connected.set()

    def check(self) -> None:
        assert self._failed is None, self._failed

    def receive(self, topic: str, qos: int, take: Callable[[int], None]) -> None:
        """Subscribes once; ``take`` gets each number."""
        self.client.on_message = lambda _, __, message: take(int(message.payload))
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: subscribed.set()
        assert self.connected.wait(10)
        self.client.subscribe(topic, qos)
        assert subscribed.wait(10)
