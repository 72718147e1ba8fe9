"""What is refused for good goes to the dead-letter exchange."""

from __future__ import annotations

from on_aio_pika.connection import channel_to, durable_queue, message_count


async def run(url: str) -> None:
    async with channel_to(url) as channel:
        dead = await durable_queue(channel, "dead")
        queue = await durable_queue(channel, "nack", 3, x_dead_letter_exchange="", x_dead_letter_routing_key=dead.name)
        messages = [await queue.get() for _ in range(3)]
        await messages[2].reject(requeue=False)
        await messages[1].nack(multiple=True, requeue=False)
        bodies = []
        async with dead.iterator() as letters:
            async for letter in letters:
                bodies.append(letter.body)
                assert letter.headers["x-death"][0]["reason"] == "rejected"
                await letter.ack()
                if len(bodies) == 3:
                    break
        assert sorted(bodies) == [b"0", b"1", b"2"]
        assert await message_count(channel, queue) == 0
        await queue.delete()
        await dead.delete()
