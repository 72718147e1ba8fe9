"""One codec for all packets but PUBLISH: what follows the fixed header to a packet, and a packet to all its bytes.

Law: no bytes whatever make ``decode_packet`` raise anything but a ProtocolViolation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from protocols.mqtt.connect_codec import decode_connect, encode_connect
from protocols.mqtt.data_types import VARIABLE_BYTE_INTEGER_MAX, encode_variable_byte_integer
from protocols.mqtt.packet_fields import Decode, Encode, field_decoder, field_encoder
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import PACKETS, V5_KINDS, Ack, Auth, Connack, Connect, Disconnect, Kind, Layout, Packet
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation, malformed, protocol_error

PACKET_SIZE_MAX = 1 + 4 + VARIABLE_BYTE_INTEGER_MAX
"""Type and flags, remaining length, and what remains."""
LEFT_OUT = ("reason_string", "user_properties")
"""What a packet that is too large goes without, in this order ([MQTT-3.2.2-19], [MQTT-3.2.2-20] and alike)."""
_DUP = 0x08
"""MQTT 3.1 has the flag on a SUBSCRIBE, UNSUBSCRIBE or PUBREL that is sent again (3.1, 2.1)."""


def _check_connack(packet: Any, sender: Sender) -> None:
    if packet.session_present and packet.reason_code:
        raise protocol_error("session present and refused")  # [MQTT-3.2.2-6]


def _check_disconnect(packet: Any, sender: Sender) -> None:
    name = "server_reference" if sender is Sender.CLIENT else "session_expiry_interval"
    if name in packet.properties:
        raise protocol_error(f"{name}, which this sender can't give it")  # 3.14.2.2.5, [MQTT-3.14.2-2]


def _check_auth(packet: Any, sender: Sender) -> None:
    properties = packet.properties
    # Where the reason code may be left out the method may be, too (3.15.2.1).
    if "authentication_method" not in properties and (packet.reason_code or "authentication_data" in properties):
        raise protocol_error("no authentication method")  # 3.15.2.2.2


_CHECKS: dict[type[Packet], Callable[[Any, Sender], None]] = {
    Connack: _check_connack,
    Disconnect: _check_disconnect,
    Auth: _check_auth,
}
"""What is between fields."""


class _Reader(NamedTuple):
    """How a packet of this version and sender is read."""

    flags: int
    packet: type[Packet]
    fields: tuple[tuple[str, Decode], ...]
    check: Callable[[Any, Sender], None] | None


class _Writer(NamedTuple):
    """How a packet of this version is written; ``shortens``: zeros at its end are left out."""

    first_byte: bytes
    fields: tuple[tuple[str, Encode], ...]
    shortens: bool


def _kinds(layout: Layout, version: Version) -> list[tuple[str, Kind]]:
    return [(name, kind) for name, kind in layout.fields if version is Version.MQTT_5 or kind not in V5_KINDS]


def _readers() -> dict[tuple[int, Version, Sender], _Reader]:
    readers: dict[tuple[int, Version, Sender], _Reader] = {}
    for packet_type, layout in PACKETS.items():
        for version in Version:
            for sender in layout.senders if version is Version.MQTT_5 else layout.senders_v3:
                fields = tuple(
                    (name, field_decoder(kind, packet_type, version, sender)) for name, kind in _kinds(layout, version)
                )
                check = _CHECKS.get(layout.packet) if version is Version.MQTT_5 or layout.packet is Connack else None
                readers[packet_type, version, sender] = _Reader(layout.flags, layout.packet, fields, check)
    return readers


def _writers() -> dict[tuple[type[Packet], Version], _Writer]:
    writers = {}
    for packet_type, layout in PACKETS.items():
        for version in Version:
            if version is not Version.MQTT_5 and not layout.senders_v3:
                continue
            kinds = _kinds(layout, version)
            fields = tuple((name, field_encoder(kind, packet_type, version)) for name, kind in kinds)
            first_byte = bytes((packet_type << 4 | layout.flags,))
            shortens = any(kind is Kind.LAST_PROPERTIES for _, kind in kinds)
            writers[layout.packet, version] = _Writer(first_byte, fields, shortens)
    return writers


_READERS = _readers()
_WRITERS = _writers()


def decode_packet(
    packet_type: int, flags: int, body: bytes, version: Version | None, sender: Sender = Sender.CLIENT
) -> Packet:
    """The packet whose fixed header has this type and these flags, and whose remaining bytes these are.

    ``version`` is the connection's, or None as long as there was no CONNECT; CONNECT's own is what it says.  PUBLISH is
    never given.  Raises ProtocolViolation, with the version to answer in if it is known: MALFORMED_PACKET for what
    can't be read, PROTOCOL_ERROR for what is not allowed, and whatever else a field has a reason code for.
    """
    if packet_type == PacketType.CONNECT and sender is Sender.CLIENT:
        if flags:
            raise ProtocolViolation(ReasonCode.MALFORMED_PACKET, "CONNECT: reserved flag is set", version)
        return decode_connect(body)
    reader = None if version is None else _READERS.get((packet_type, version, sender))
    if reader is None:
        raise _unexpected(packet_type, version)
    try:
        if flags != reader.flags:
            _check_flags(flags, reader.flags, version)
        return _decode(reader, body, sender)
    except ProtocolViolation as violation:
        detail = f"{PacketType(packet_type).name}: {violation.detail}"
        raise ProtocolViolation(violation.reason_code, detail, version) from None


def _check_flags(flags: int, flags_due: int, version: Version | None) -> None:
    sent_again = version is Version.MQTT_3_1 and flags_due and flags == flags_due | _DUP
    if not sent_again:
        raise malformed("reserved flag is set")  # [MQTT-2.1.3-1]


def _unexpected(packet_type: int, version: Version | None) -> ProtocolViolation:
    assert packet_type != PacketType.PUBLISH
    layout = PACKETS.get(packet_type)  # type: ignore[call-overload]  # an int finds it
    if layout is None or (version is not None and version is not Version.MQTT_5 and not layout.senders_v3):
        return ProtocolViolation(ReasonCode.MALFORMED_PACKET, f"packet of type {packet_type}", version)
    name = PacketType(packet_type).name
    if version is None:
        return ProtocolViolation(ReasonCode.PROTOCOL_ERROR, f"{name} before CONNECT")
    return ProtocolViolation(ReasonCode.PROTOCOL_ERROR, f"{name}, which this sender can't send", version)


def _decode(reader: _Reader, body: bytes, sender: Sender) -> Packet:
    values: dict[str, Any] = {}
    position = 0
    for name, decode in reader.fields:
        values[name], position = decode(body, position)
    if position != len(body):
        raise malformed(f"{len(body) - position} bytes after its end")
    packet = reader.packet(**values)
    if reader.check is not None:
        reader.check(packet, sender)
    return packet


def encode_packet(packet: Packet, version: Version, packet_size_max: int = PACKET_SIZE_MAX) -> bytes:
    """The packet with its fixed header, for a peer that takes ``packet_size_max`` bytes of one.

    A packet that would be larger goes without its reason string, and then without its user properties; if it still is,
    there are no bytes, and it can't be sent.  CONNECT is in its own version.
    """
    encoded = _encode(packet, version)
    for name in LEFT_OUT:
        if len(encoded) <= packet_size_max:
            break
        packet, encoded = _encode_without(name, packet, version, encoded)
    return encoded if len(encoded) <= packet_size_max else b""


def _encode_without(name: str, packet: Packet, version: Version, encoded: bytes) -> tuple[Packet, bytes]:
    properties = getattr(packet, "properties", {})
    if name not in properties:
        return packet, encoded
    rest = {other: value for other, value in properties.items() if other != name}
    packet = msgspec.structs.replace(packet, properties=rest)
    return packet, _encode(packet, version)


def _encode(packet: Packet, version: Version) -> bytes:
    if isinstance(packet, Connect):
        assert packet.protocol_level is version
        body = encode_connect(packet)
        return b"\x10" + encode_variable_byte_integer(len(body)) + body
    first_byte, fields, shortens = _WRITERS[type(packet), version]
    parts = [encode(getattr(packet, name)) for name, encode in fields]
    if version is not Version.MQTT_5 and isinstance(packet, Ack | Disconnect):
        assert packet.reason_code < ReasonCode.UNSPECIFIED_ERROR, "MQTT 3 can't say so: it would read as a success"
    if shortens:
        # In MQTT 5, 3.4.2.1 and alike: no properties, and then no reason code if it is 0.  A DISCONNECT that has a
        # reason keeps its empty properties, as Mosquitto's does: paho.golang can't read one without.
        least = 2 if type(packet) is Disconnect and packet.reason_code else 0
        while len(parts) > least and parts[-1] == b"\0":
            parts.pop()
    body = b"".join(parts)
    return first_byte + encode_variable_byte_integer(len(body)) + body
