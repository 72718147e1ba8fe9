"""Names and numbers, each of its own type, and which names are names at all."""

from __future__ import annotations

import re
from typing import NewType

Channel = NewType("Channel", int)
"""An AMQP channel; 0 where a protocol has none."""
ClientId = NewType("ClientId", str)
"""What an MQTT client calls itself; its session is found by it within a vhost."""
ClientSessionId = NewType("ClientSessionId", int)
"""u64, given once and never again."""
ConsumerTag = NewType("ConsumerTag", str)
DeliveryTag = NewType("DeliveryTag", int)
"""A delivery's number on its channel, from 1."""
ExchangeName = NewType("ExchangeName", str)
PeerId = NewType("PeerId", int)
"""u64, from 1: a data directory, and so a node, whatever the node is called."""
QueueId = NewType("QueueId", int)
"""u64, given once and never again."""
QueueName = NewType("QueueName", str)
RoutingKey = NewType("RoutingKey", str)
SessionId = NewType("SessionId", int)
"""u64, from 1."""
ShardId = NewType("ShardId", int)
UserName = NewType("UserName", str)
VhostName = NewType("VhostName", str)

NO_SESSION = SessionId(0)
NODE_SHIFT = 40
"""What a node numbers by itself begins at its own number in the cluster shifted by so much; alone at 0."""
NO_PEER = PeerId(0)

NAME_SIZE_MAX = 255
"""Bytes of UTF-8 (AMQP 0-9-1's short string)."""

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Unicode's class Cc.  No name of a client's may hold one, in any protocol: a line break that is a harmless byte in
AMQP would end a header in STOMP.  RabbitMQ strips CR and LF and takes the rest, so that two names become one; a name
is refused instead (docs/protocols/amqp.md)."""
