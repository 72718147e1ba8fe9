"""paho-mqtt: 3.1, 3.1.1 and 5, with its network thread."""

from __future__ import annotations

import queue
import re
import socket
from collections.abc import Mapping, Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from device import NOTHING, WAIT_S, Address, Connack, Device, Filter, Message, Options, RefusedError


def encoded(kind: int, values: Mapping[str, object]) -> Properties | None:
    """paho's names are camel case."""
    if not values:
        return None
    properties = Properties(kind)
    for name, value in values.items():
        setattr(properties, name.title().replace("_", ""), value)
    return properties


def decoded(properties: Properties | None) -> dict[str, object]:
    if properties is None:
        return {}
    there = {name: value for name, value in vars(properties).items() if name[0].isupper()}
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): value for name, value in there.items()}


def message_of(got: mqtt.MQTTMessage) -> Message:
    properties = decoded(got.properties) if got.properties is not None else {}
    return Message(got.topic, got.payload, got.qos, got.retain, properties)


class PahoDevice(Device):
    def __init__(self, address: Address, options: Options) -> None:
        super().__init__(address, options)
        version5 = address.level == 5
        self._client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            options.client_id,
            clean_session=None if version5 else options.clean,
            protocol=mqtt.MQTTProtocolVersion(address.level),
            reconnect_on_failure=False,
            manual_ack=options.manual_ack,
        )
        self._connacks: queue.Queue[tuple[int, Connack]] = queue.Queue()
        self._subacks: queue.Queue[list[int]] = queue.Queue()
        self._unsubacks: queue.Queue[int] = queue.Queue()
        self._pings: queue.Queue[None] = queue.Queue()
        self._unacknowledged: list[mqtt.MQTTMessage] = []
        self._published: dict[int, int] = {}
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = lambda _, __, mid, reason, ___: self._published.__setitem__(mid, reason.value)
        client.on_subscribe = lambda _, __, ___, codes, ____: self._subacks.put([code.value for code in codes])
        client.on_unsubscribe = lambda _, __, mid, ___, ____: self._unsubacks.put(mid)
        client.on_log = self._on_log

    def _on_connect(self, _, __, flags, reason, properties) -> None:
        present = flags.session_present if self.address.level > 3 else None
        self._connacks.put((reason.value, Connack(present, decoded(properties))))

    def _on_disconnect(self, _, __, flags, reason, ___) -> None:
        self.ended.put(reason.value if flags.is_disconnect_packet_from_server else None)

    def _on_message(self, _, __, got: mqtt.MQTTMessage) -> None:
        if self.options.manual_ack and got.qos:
            self._unacknowledged.append(got)
        self.received.put(message_of(got))

    def _on_log(self, _, __, ___, text: str) -> None:
        if text == "Received PINGRESP":
            self._pings.put(None)

    def connect(self) -> Connack:
        options, client = self.options, self._client
        user = self.address.user if options.user is None else options.user
        password = self.address.password if options.password is None else options.password
        if user:
            client.username_pw_set(user, password)
        if options.will is not None:
            will = options.will
            properties = encoded(PacketTypes.WILLMESSAGE, will.properties)
            client.will_set(will.topic, will.payload, will.qos, will.retain, properties)
        more = {}
        if self.address.level == 5:
            more = {"clean_start": options.clean, "properties": encoded(PacketTypes.CONNECT, options.properties)}
        client.connect(self.address.host, self.address.port, options.keep_alive_s, **more)
        client.loop_start()
        code, connack = self._connacks.get(timeout=WAIT_S)
        if code:
            raise RefusedError(code)
        return connack

    def subscribe(self, *filters: Filter, identifier: int | None = None) -> list[int]:
        if self.address.level < 5:
            self._client.subscribe([(filter.text, filter.qos) for filter in filters])
        else:
            wanted = [
                (f.text, SubscribeOptions(f.qos, f.no_local, f.retain_as_published, f.retain_handling)) for f in filters
            ]
            named = {} if identifier is None else {"subscription_identifier": identifier}
            self._client.subscribe(wanted, properties=encoded(PacketTypes.SUBSCRIBE, named))
        return self._subacks.get(timeout=WAIT_S)

    def unsubscribe(self, text: str) -> None:
        self._client.unsubscribe(text)
        self._unsubacks.get(timeout=WAIT_S)

    def _send(self, message: Message) -> mqtt.MQTTMessageInfo:
        properties = encoded(PacketTypes.PUBLISH, message.properties)
        return self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)

    def publish(self, message: Message) -> int:
        sent = self._send(message)
        sent.wait_for_publish(WAIT_S)
        assert sent.is_published(), f"{message.topic} is not acknowledged"
        return self._published.pop(sent.mid, 0)

    def publish_all(self, messages: Sequence[Message]) -> None:
        for sent in [self._send(message) for message in messages]:
            sent.wait_for_publish(WAIT_S)
            assert sent.is_published(), "not all are acknowledged"

    def acknowledge(self, message: Message) -> None:
        got = self._unacknowledged.pop(0)
        assert got.payload == message.payload
        self._client.ack(got.mid, got.qos)

    def ping(self) -> None:
        self._pings.get(timeout=self.options.keep_alive_s + WAIT_S)

    def disconnect(self, reason: int = 0, properties: Mapping[str, object] = NOTHING) -> None:
        code = ReasonCode(PacketTypes.DISCONNECT, identifier=reason) if self.address.level == 5 else None
        self._client.disconnect(code, encoded(PacketTypes.DISCONNECT, properties))
        self.wait_ended()
        self._client.loop_stop()

    def hang_up(self) -> None:
        there = self._client.socket()
        if there is not None:
            there.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()


CLIENT = PahoDevice
