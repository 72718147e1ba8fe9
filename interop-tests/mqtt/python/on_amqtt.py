"""amqtt: 3.1.1, on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from amqtt.client import MQTTClient
from amqtt.contexts import ClientConfig, ConnectionConfig, WillConfig
from amqtt.errors import ConnectError

from async_device import LOOP, AsyncDevice
from device import Connack, Filter, Message, RefusedError

CODES = {4: 0x86, 5: 0x87}


class AmqttDevice(AsyncDevice):
    async def _connect(self) -> Connack:
        options, address, will = self.options, self.address, self.options.will
        user = address.user if options.user is None else options.user
        password = address.password if options.password is None else options.password
        uri = f"mqtt://{user}:{password}@{address.host}:{address.port}"
        config = ClientConfig(
            keep_alive=options.keep_alive_s,
            ping_delay=0,
            auto_reconnect=False,
            cleansession=options.clean,
            connection=ConnectionConfig(uri=uri),
            will=will and WillConfig(will.topic, will.payload.decode(), will.qos, will.retain),
        )
        self._client = MQTTClient(options.client_id, config)
        try:
            await self._client.connect()
        except ConnectError as error:
            raise RefusedError(CODES[error.return_code]) from error
        self._reading = asyncio.ensure_future(self._read())
        return Connack(None, {})

    async def _read(self) -> None:
        while (got := await self._client.deliver_message()) is not None:
            self.received.put(Message(got.topic, bytes(got.data), got.qos, bool(got.retain)))
        self.ended.put(None)  # what it says of a lost connection

    async def _subscribe(self, filters: Sequence[Filter], identifier: int | None) -> list[int]:
        assert identifier is None
        return await self._client.subscribe([(f.text, f.qos) for f in filters])

    async def _unsubscribe(self, text: str) -> None:
        await self._client.unsubscribe([text])

    async def _publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            await self._client.publish(message.topic, message.payload, message.qos, message.retain)

    async def _disconnect(self, reason: int, properties: Mapping[str, object]) -> None:
        assert not reason
        assert not properties
        await self._client.disconnect()

    async def _hang_up(self) -> None:
        writer = self._client._handler.writer
        if writer is not None:
            writer._writer.transport.abort()

    def ping(self) -> None:
        LOOP.run(self._client.ping())


CLIENT = AmqttDevice
