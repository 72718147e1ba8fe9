"""A mandatory message that leads nowhere comes back."""

from __future__ import annotations

import aio_pika
import aio_pika.exceptions

from on_aio_pika.connection import fresh, persistent


async def run(url: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        try:
            await channel.default_exchange.publish(persistent(b"back"), fresh("nowhere"), mandatory=True)
        except aio_pika.exceptions.DeliveryError as error:
            assert error.message.delivery.reply_code == 312
            assert error.message.body == b"back"
        else:
            raise AssertionError("not returned")
