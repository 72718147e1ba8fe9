"""What is spoken inside: the protocols that may be, and how each is made for a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from kernel import AmqpDecoder, MqttDecoder, StompDecoder
from protocols.adapter import Adapter

InnerDecoder = AmqpDecoder | MqttDecoder | StompDecoder


class UpgradeRequest(msgspec.Struct, frozen=True):
    """What the upgrade said that a protocol may want to know."""

    path: str
    token: str | None
    """The subprotocol agreed on."""
    authorization: str | None
    """The header, as it came: a browser that has a user's name and password for this site sends them."""
    peer: str
    """The client's address."""
    loopback: bool


class Inner(msgspec.Struct, frozen=True):
    """A protocol's adapter, and the decoder that it resumes."""

    adapter: Adapter
    decoder: InnerDecoder


class InnerProtocol(msgspec.Struct, frozen=True):
    """One that may be spoken inside."""

    open: Callable[[UpgradeRequest, float], Inner]
    """Makes it for a connection, at a time."""
    text_allowed: bool = False
    """Clients may send text, and are answered in the kind they sent last."""


Protocols = Mapping[str, InnerProtocol]
"""Those that are enabled, by name: a key of the tables below."""

TOKENS = {
    "mqtt": "mqtt",
    "mqttv3.1": "mqtt",
    "v12.stomp": "stomp",
    "v11.stomp": "stomp",
    "v10.stomp": "stomp",
    "amqp": "amqp",
}
"""Subprotocols (IANA's registry; ``mqttv3.1`` is what clients of 3.1 offer) and what they name."""
PATHS = {"/ws": None, "/mqtt": "mqtt", "/stomp": "stomp", "/amqp": "amqp"}
"""Where to connect; at ``/ws`` a client without a token is known by its first byte."""
FIRST_BYTES = {0x10: "mqtt", ord("A"): "amqp", ord("C"): "stomp", ord("S"): "stomp", 0x0A: "stomp", 0x0D: "stomp"}
"""MQTT's CONNECT, AMQP's protocol header, STOMP's CONNECT, STOMP and the line ends that may be before them."""
