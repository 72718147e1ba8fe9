"""gmqtt: 3.1.1 and 5, on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import gmqtt
from gmqtt.mqtt.handler import MQTTConnectError

from async_device import AsyncDevice
from device import Address, Connack, Filter, Message, Options, RefusedError

# Its own names for some properties.
NAMES = {
    "payload_format_indicator": "payload_format_id",
    "request_response_information": "request_response_info",
    "response_information": "response_info",
}
SPECIFIED = {own: name for name, own in NAMES.items()}
REPEATED = {"user_property", "subscription_identifier"}
CODES_3 = {4: 0x86, 5: 0x87}
BATCH = 20
"""In flight; it raises where the broker's Receive Maximum is used up."""


def named(properties: Mapping[str, object]) -> dict[str, object]:
    return {NAMES.get(name, name): value for name, value in properties.items()}


def specified(properties: Mapping[str, list]) -> dict[str, object]:
    """It gives a list of values for each."""
    there = {SPECIFIED.get(name, name): values for name, values in properties.items() if name not in ("dup", "retain")}
    return {name: values if name in REPEATED else values[0] for name, values in there.items()}


class GmqttDevice(AsyncDevice):
    def __init__(self, address: Address, options: Options) -> None:
        super().__init__(address, options)
        self._present = False
        self._told: Mapping[str, list] = {}
        self._answers: dict[int, asyncio.Future] = {}

    async def _connect(self) -> Connack:
        options, address = self.options, self.address
        will = options.will
        self._client = client = gmqtt.Client(
            options.client_id,
            clean_session=options.clean,
            will_message=will
            and gmqtt.Message(will.topic, will.payload, will.qos, will.retain, **named(will.properties)),
            **named(options.properties),
        )
        client.stop_reconnect()
        client.set_auth_credentials(
            address.user if options.user is None else options.user,
            address.password if options.password is None else options.password,
        )
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = lambda _, mid, codes, __: self._answer(mid, list(codes))
        client.on_unsubscribe = lambda _, mid, __: self._answer(mid, [])
        try:
            await client.connect(
                address.host, address.port, keepalive=options.keep_alive_s, version=gmqtt.constants.MQTTv50
                if address.level == 5 else gmqtt.constants.MQTTv311,
            )  # fmt: skip
        except MQTTConnectError as error:
            raise RefusedError(CODES_3.get(error._code, error._code)) from error
        return Connack(self._present, specified(self._told))

    def _on_connect(self, client: gmqtt.Client, flags: int, _, __) -> None:
        self._present = bool(flags)
        self._told = client._package_handler._connack_properties

    def _on_message(self, _, topic: str, payload: bytes, qos: int, properties: Mapping) -> int:
        self.received.put(Message(topic, payload, qos, bool(properties["retain"]), specified(properties)))
        return 0

    def _on_disconnect(self, _, packet: bytes | None, __=None) -> None:
        self.ended.put(packet[0] if isinstance(packet, bytes) and packet else None)

    def _answer(self, mid: int, codes: list[int]) -> None:
        self._answers.pop(mid).set_result(codes)

    async def _answered(self, mid: int) -> list[int]:
        self._answers[mid] = asyncio.get_running_loop().create_future()
        return await self._answers[mid]

    async def _subscribe(self, filters: Sequence[Filter], identifier: int | None) -> list[int]:
        wanted = [
            gmqtt.Subscription(
                f.text,
                f.qos,
                no_local=f.no_local,
                retain_as_published=f.retain_as_published,
                retain_handling_options=f.retain_handling,
            )
            for f in filters
        ]
        more = {} if identifier is None else {"subscription_identifier": identifier}
        return await self._answered(self._client.subscribe(wanted, **more))

    async def _unsubscribe(self, text: str) -> None:
        await self._answered(self._client.unsubscribe([text.encode()]))  # it counts letters, not bytes

    async def _publish(self, messages: Sequence[Message]) -> None:
        most = min([BATCH, *self._told.get("receive_maximum", [])]) - 2
        for number, message in enumerate(messages):
            if number % most == most - 1:
                await self._client._persistent_storage.wait_empty()
            properties = named(message.properties)
            self._client.publish(message.topic, message.payload, message.qos, message.retain, **properties)
        await self._client._persistent_storage.wait_empty()

    async def _disconnect(self, reason: int, properties: Mapping[str, object]) -> None:
        await self._client.disconnect(reason, **properties)

    async def _hang_up(self) -> None:
        self._client._is_active = False
        self._client._connection._transport.abort()

    def ping(self) -> None:
        raise NotImplementedError("it tells nobody of a PINGRESP")


CLIENT = GmqttDevice
