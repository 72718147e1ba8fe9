"""The control packets, one struct each, and the table that says how they are written.

What is frequent (PUBLISH and what acknowledges it) is read and written by the kernel; of it only the acknowledgements
are here, for when they hold a reason string or user properties.  Packets are the same for all versions: what a version
doesn't know isn't written, and reads as its default.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.version import Version


class Packet(msgspec.Struct, frozen=True):
    """A packet without its fixed header."""


class Will(msgspec.Struct, frozen=True):
    """What is published for a client that is lost."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = {}  # msgspec copies it


class Connect(Packet, frozen=True):
    """``bridge``: the client says that it is another broker (bit 7 of the protocol level).  ``keep_alive``: seconds.

    In MQTT 3 clean start is called clean session.
    """

    protocol_level: Version
    client_id: str
    clean_start: bool = True
    keep_alive: int = 0
    will: Will | None = None
    user_name: str | None = None
    password: bytes | None = None
    bridge: bool = False
    properties: Properties = {}


class Connack(Packet, frozen=True):
    """MQTT 3.1 has no session present; MQTT 3 has only the reason codes of ``RETURN_CODES``."""

    session_present: bool
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = {}


class Ack(Packet, frozen=True):
    """PUBACK, PUBREC, PUBREL and PUBCOMP; MQTT 3 can't say that something failed."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = {}


class Puback(Ack, frozen=True):
    pass


class Pubrec(Ack, frozen=True):
    pass


class Pubrel(Ack, frozen=True):
    pass


class Pubcomp(Ack, frozen=True):
    pass


class SubscriptionRequest(msgspec.Struct, frozen=True, gc=False):
    """``filter`` is as the client wrote it; ``parse_filter`` says whether it is one.  MQTT 3 knows of ``qos`` only."""

    filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(Packet, frozen=True):
    packet_id: int
    requests: tuple[SubscriptionRequest, ...]
    properties: Properties = {}


class Suback(Packet, frozen=True):
    """A reason code for each request; in MQTT 3 all that failed are 0x80."""

    packet_id: int
    reason_codes: tuple[ReasonCode, ...]
    properties: Properties = {}


class Unsubscribe(Packet, frozen=True):
    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = {}


class Unsuback(Packet, frozen=True):
    """A reason code for each filter; none in MQTT 3."""

    packet_id: int
    reason_codes: tuple[ReasonCode, ...] = ()
    properties: Properties = {}


class Pingreq(Packet, frozen=True):
    pass


class Pingresp(Packet, frozen=True):
    pass


class Disconnect(Packet, frozen=True):
    """A server has it in MQTT 5 only."""

    reason_code: ReasonCode = ReasonCode.NORMAL_DISCONNECTION
    properties: Properties = {}


class Auth(Packet, frozen=True):
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = {}


class Kind(enum.Enum):
    """How a field is written.  What is last may be left out where nothing but zeros follows."""

    PACKET_ID = enum.auto()
    PROPERTIES = enum.auto()
    LAST_REASON_CODE = enum.auto()
    LAST_PROPERTIES = enum.auto()
    CONNACK_FLAGS = enum.auto()
    CONNACK_REASON_CODE = enum.auto()
    SUBSCRIPTION_REQUESTS = enum.auto()
    SUBACK_REASON_CODES = enum.auto()
    FILTERS = enum.auto()
    UNSUBACK_REASON_CODES = enum.auto()


V5_KINDS = frozenset(
    {Kind.PROPERTIES, Kind.LAST_REASON_CODE, Kind.LAST_PROPERTIES, Kind.UNSUBACK_REASON_CODES},
)
"""MQTT 3 doesn't have them."""

_ID = ("packet_id", Kind.PACKET_ID)
_PROPERTIES = ("properties", Kind.PROPERTIES)
_LAST = (("reason_code", Kind.LAST_REASON_CODE), ("properties", Kind.LAST_PROPERTIES))
_CLIENT, _SERVER = frozenset({Sender.CLIENT}), frozenset({Sender.SERVER})
_BOTH = _CLIENT | _SERVER


class Layout(NamedTuple):
    """A row of the table: the lower four bits of the first byte, who sends it, and its fields in wire order."""

    packet: type[Packet]
    flags: int
    senders: frozenset[Sender]
    senders_v3: frozenset[Sender]
    fields: tuple[tuple[str, Kind], ...] = ()


PACKETS: Mapping[PacketType, Layout] = {
    # What it holds depends on its flags: see connect_codec.
    PacketType.CONNECT: Layout(Connect, 0, _CLIENT, _CLIENT),
    PacketType.CONNACK: Layout(
        Connack,
        0,
        _SERVER,
        _SERVER,
        (("session_present", Kind.CONNACK_FLAGS), ("reason_code", Kind.CONNACK_REASON_CODE), _PROPERTIES),
    ),
    PacketType.PUBACK: Layout(Puback, 0, _BOTH, _BOTH, (_ID, *_LAST)),
    PacketType.PUBREC: Layout(Pubrec, 0, _BOTH, _BOTH, (_ID, *_LAST)),
    PacketType.PUBREL: Layout(Pubrel, 2, _BOTH, _BOTH, (_ID, *_LAST)),
    PacketType.PUBCOMP: Layout(Pubcomp, 0, _BOTH, _BOTH, (_ID, *_LAST)),
    PacketType.SUBSCRIBE: Layout(
        Subscribe, 2, _CLIENT, _CLIENT, (_ID, _PROPERTIES, ("requests", Kind.SUBSCRIPTION_REQUESTS))
    ),
    PacketType.SUBACK: Layout(
        Suback, 0, _SERVER, _SERVER, (_ID, _PROPERTIES, ("reason_codes", Kind.SUBACK_REASON_CODES))
    ),
    PacketType.UNSUBSCRIBE: Layout(Unsubscribe, 2, _CLIENT, _CLIENT, (_ID, _PROPERTIES, ("filters", Kind.FILTERS))),
    PacketType.UNSUBACK: Layout(
        Unsuback, 0, _SERVER, _SERVER, (_ID, _PROPERTIES, ("reason_codes", Kind.UNSUBACK_REASON_CODES))
    ),
    PacketType.PINGREQ: Layout(Pingreq, 0, _CLIENT, _CLIENT),
    PacketType.PINGRESP: Layout(Pingresp, 0, _SERVER, _SERVER),
    PacketType.DISCONNECT: Layout(Disconnect, 0, _BOTH, _CLIENT, _LAST),
    PacketType.AUTH: Layout(Auth, 0, _BOTH, frozenset(), _LAST),
}
"""All but PUBLISH."""
PACKET_TYPES: Mapping[type[Packet], PacketType] = {layout.packet: number for number, layout in PACKETS.items()}
