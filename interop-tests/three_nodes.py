"""Three real nodes on loopback, and clients of three protocols that speak to one of them each."""

from __future__ import annotations

import queue
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import paho.mqtt.client as mqtt
import pika
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pika.adapters.blocking_connection import BlockingChannel

from tests.rig.nodes import Nodes

WAIT_S = 20.0
DAY_S = 86_400
META = 0


@contextmanager
def three_nodes(folder: Path) -> Iterator[Nodes]:
    """Started, and killed in the end."""
    nodes = Nodes(folder)
    try:
        nodes.start()
        wait_until(lambda: META in {shard for shards in nodes.led().values() for shard in shards})
        yield nodes
    finally:
        nodes.kill()


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.05)


def door(nodes: Nodes, name: str, protocol: str) -> tuple[str, int]:
    way = nodes[name].plan.way(protocol)
    assert way is not None
    return way.host, way.port


class MqttClient:
    """paho with its network thread; comes again by itself."""

    def __init__(self, nodes: Nodes, name: str, client_id: str, durable: bool = False, clean: bool = False) -> None:
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        self.paho.reconnect_delay_set(1, 1)
        self.received: queue.Queue[str] = queue.Queue()
        self.present: queue.Queue[bool] = queue.Queue()
        self.reasons: queue.Queue[int] = queue.Queue()
        """Why the broker disconnected it."""
        self._answers: queue.Queue[int] = queue.Queue()
        self._published: queue.Queue[int] = queue.Queue()
        self.paho.on_message = lambda client, data, message: self.received.put(message.payload.decode())
        self.paho.on_connect = lambda client, data, flags, reason, properties: self.present.put(flags.session_present)
        self.paho.on_disconnect = lambda client, data, flags, reason, properties: self.reasons.put(reason.value)
        self.paho.on_subscribe = lambda client, data, id, reasons, properties: self._answers.put(id)
        self.paho.on_publish = lambda client, data, id, reason, properties: self._published.put(id)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        clean_start: bool | Literal[3] = mqtt.MQTT_CLEAN_START_FIRST_ONLY if clean else False
        properties.SessionExpiryInterval = DAY_S if durable else 0
        self.paho.connect(*door(nodes, name, "mqtt"), clean_start=clean_start, properties=properties)
        self.paho.loop_start()
        self.was_present = self.present.get(timeout=WAIT_S)

    def subscribe(self, filter: str, qos: int = 2) -> None:
        self.paho.subscribe(filter, qos)
        self._answers.get(timeout=WAIT_S)

    def publish(self, topic: str, body: str, qos: int = 2, retain: bool = False) -> None:
        """Returns when it is confirmed."""
        ids = {self.paho.publish(topic, body, qos, retain).mid}
        while ids:
            ids.discard(self._published.get(timeout=WAIT_S))

    def take(self, count: int) -> list[str]:
        return [self.received.get(timeout=WAIT_S) for _ in range(count)]

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


@contextmanager
def amqp(nodes: Nodes, name: str) -> Iterator[BlockingChannel]:
    host, port = door(nodes, name, "amqp")
    connection = pika.BlockingConnection(pika.ConnectionParameters(host, port))
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        yield channel
    finally:
        if connection.is_open:
            connection.close()


class StompClient:
    """Version 1.2, said by hand: stomp.py is not in every environment that runs these tests."""

    def __init__(self, nodes: Nodes, name: str) -> None:
        self._socket = socket.create_connection(door(nodes, name, "stomp"), timeout=WAIT_S)
        self._input = self._socket.makefile("rb")
        self._bodies: deque[str] = deque()
        self._say("CONNECT", {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest"})
        assert self._read()[0] == "CONNECTED"

    def _say(self, command: str, headers: dict[str, str], body: str = "") -> None:
        lines = [command, *(f"{name}:{value}" for name, value in headers.items()), "", body]
        self._socket.sendall("\n".join(lines).encode() + b"\0")

    def _read(self) -> tuple[str, dict[str, str], str]:
        while not (command := self._input.readline().decode().strip()):
            assert self._input.peek(1), "it hung up"
        headers = {}
        while line := self._input.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name] = value
        body = bytearray()
        while (byte := self._input.read(1)) != b"\0":
            body += byte
        return command, headers, body.decode()

    def ask(self, command: str, body: str = "", **headers: str) -> None:
        """Returns when the broker says that it is done."""
        self._say(command, {**headers, "receipt": "asked"}, body)
        while (said := self._read())[0] == "MESSAGE":
            self._bodies.append(said[2])
        assert said[:2] == ("RECEIPT", {"receipt-id": "asked"}), said

    def take(self, count: int) -> list[str]:
        while len(self._bodies) < count:
            command, _, body = self._read()
            assert command == "MESSAGE"
            self._bodies.append(body)
        return [self._bodies.popleft() for _ in range(count)]

    def close(self) -> None:
        self._input.close()
        self._socket.close()
