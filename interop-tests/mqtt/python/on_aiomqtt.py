"""aiomqtt: 3.1.1 and 5, on asyncio and paho."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from async_device import AsyncDevice
from device import Connack, Filter, Message, RefusedError
from on_paho import decoded, encoded


class AiomqttDevice(AsyncDevice):
    async def _connect(self) -> Connack:
        options, address = self.options, self.address
        will, version5 = options.will, address.level == 5
        self._client = aiomqtt.Client(
            address.host,
            address.port,
            username=address.user if options.user is None else options.user,
            password=address.password if options.password is None else options.password,
            identifier=options.client_id,
            protocol=aiomqtt.ProtocolVersion(address.level),
            clean_session=None if version5 else options.clean,
            clean_start=options.clean if version5 else aiomqtt.client.mqtt.MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=options.keep_alive_s,
            properties=encoded(PacketTypes.CONNECT, options.properties) if version5 else None,
            will=will
            and aiomqtt.Will(
                will.topic, will.payload, will.qos, will.retain, encoded(PacketTypes.WILLMESSAGE, will.properties)
            ),
        )
        self._client.pending_calls_threshold = 10_000
        try:
            await self._client.__aenter__()
        except aiomqtt.exceptions.MqttConnectError as error:
            raise RefusedError(error.rc.value) from error
        self._reading = asyncio.ensure_future(self._read())
        return Connack(None, {})

    async def _read(self) -> None:
        try:
            async for got in self._client.messages:
                self.received.put(Message(got.topic.value, got.payload, got.qos, got.retain, decoded(got.properties)))
        except aiomqtt.MqttError as error:
            code = getattr(error.__cause__, "rc", None)
            value = getattr(code, "value", None)
            self.ended.put(value if value is not None and value > 0x80 else None)

    async def _subscribe(self, filters: Sequence[Filter], identifier: int | None) -> list[int]:
        if self.address.level < 5:
            codes = await self._client.subscribe([(f.text, f.qos) for f in filters])
        else:
            wanted = [
                (f.text, SubscribeOptions(f.qos, f.no_local, f.retain_as_published, f.retain_handling)) for f in filters
            ]
            named = {} if identifier is None else {"subscription_identifier": identifier}
            codes = await self._client.subscribe(wanted, properties=encoded(PacketTypes.SUBSCRIBE, named))
        return [code if isinstance(code, int) else code.value for code in codes]

    async def _unsubscribe(self, text: str) -> None:
        await self._client.unsubscribe(text)

    async def _publish(self, messages: Sequence[Message]) -> None:
        await asyncio.gather(*map(self._publish_one, messages))

    async def _publish_one(self, message: Message) -> None:
        properties = encoded(PacketTypes.PUBLISH, message.properties)
        await self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)

    async def _disconnect(self, reason: int, properties: Mapping[str, object]) -> None:
        assert not reason, "it knows no reason"
        assert not properties
        self._reading.cancel()
        await self._client.__aexit__(None, None, None)

    async def _hang_up(self) -> None:
        there = self._client._client.socket()
        if there is not None:
            there.shutdown(socket.SHUT_RDWR)

    def ping(self) -> None:
        raise NotImplementedError("it tells nobody of a PINGRESP")


CLIENT = AiomqttDevice
