"""Messages whose ``x-confirm`` says when their publisher wants to be told."""

from __future__ import annotations

from broker.model import commands as c
from kernel import FLAG_EXACTLY_ONCE, FLAG_PERSISTENT, ORIGIN_MQTT, MessageRun
from tests.core.node import CHANNEL

PLAIN = b"\x10\x00\x02"


def amqp_properties(level: str | None) -> bytes:
    """A delivery mode of 2, and the header."""
    if level is None:
        return PLAIN
    field = b"\x09x-confirmS" + len(level).to_bytes(4, "big") + level.encode()
    return b"\x30\x00" + len(field).to_bytes(4, "big") + field + b"\x02"


def asking(*levels: str | None, key: str = "q", tag: int = 0) -> c.Publish:
    """A message for each, whose body is what it asks for."""
    rows = [(b"", key.encode(), amqp_properties(level), str(level).encode(), FLAG_PERSISTENT, None) for level in levels]
    return c.Publish(CHANNEL, MessageRun.of(CHANNEL, rows), tag)


def asking_mqtt(*levels: str, topic: str = "t", qos: int = 1) -> MessageRun:
    """The same with the user property."""
    flags = FLAG_PERSISTENT | (FLAG_EXACTLY_ONCE if qos == 2 else 0)
    name = b"\x26\x00\x09x-confirm"
    rows = [
        (
            b"amq.topic",
            topic.encode(),
            name + len(level).to_bytes(2, "big") + level.encode(),
            level.encode(),
            flags,
            None,
        )
        for level in levels
    ]
    return MessageRun.of(0, rows, ORIGIN_MQTT)
