"""CONNECT: the one packet that names its version, and whose fields depend on its flags (MQTT 5 and 3.1.1, 3.1).

Law: no bytes whatever make ``decode_connect`` raise anything but a ProtocolViolation.
"""

from __future__ import annotations

from collections.abc import Mapping

from protocols.mqtt.data_types import (
    cut_short,
    decode_binary_data,
    decode_name,
    encode_binary_data,
    encode_byte,
    encode_string,
    encode_two_byte_integer,
)
from protocols.mqtt.packets import Connect, Will
from protocols.mqtt.properties import Holder, Properties, properties_decoder, properties_encoder
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topic_name import topic_name_problem
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation, malformed, protocol_error

CLIENT_ID_SIZE_MAX = 233
"""Bytes of UTF-8.  A session's queues are called ``mqtt-subscription-<client id>qos0`` and ``qos1``, as RabbitMQ calls
them, and a queue's name has 255 bytes."""

_NAMES: Mapping[Version, bytes] = {
    Version.MQTT_3_1: encode_string("MQIsdp"),
    Version.MQTT_3_1_1: encode_string("MQTT"),
    Version.MQTT_5: encode_string("MQTT"),
}
_BRIDGE = 0x80
"""On the protocol level.  Mosquitto's bridges set it, so that brokers know each other."""
_OPENINGS: Mapping[bytes, tuple[Version, bool]] = {
    name + bytes((version | bridge,)): (version, bool(bridge))
    for version, name in _NAMES.items()
    for bridge in (0, _BRIDGE)
}
"""Protocol name and level, all that there are."""
_OPENING_SIZES = {name: len(name) + 1 for name in _NAMES.values()}

_RESERVED = 0x01
_CLEAN_START = 0x02
_WILL = 0x04
_WILL_QOS_SHIFT = 3
_WILL_QOS = 0x18
_WILL_RETAIN = 0x20
_PASSWORD = 0x40
_USER_NAME = 0x80

_decode_properties = properties_decoder(Holder.CONNECT)
_decode_will_properties = properties_decoder(Holder.WILL)
_encode_properties = properties_encoder(Holder.CONNECT)
_encode_will_properties = properties_encoder(Holder.WILL)


def decode_connect(body: bytes) -> Connect:
    """The packet.  Raises ProtocolViolation, with the version to answer in once that is known."""
    version, bridge, position = _decode_opening(body)
    try:
        return _decode_rest(version, bridge, body, position)
    except ProtocolViolation as violation:
        raise ProtocolViolation(violation.reason_code, f"CONNECT: {violation.detail}", version) from None


def _decode_opening(body: bytes) -> tuple[Version, bool, int]:
    for name, size in _OPENING_SIZES.items():
        if not body.startswith(name) or len(body) < size:
            continue
        opening = _OPENINGS.get(body[:size])
        if opening is not None:
            return *opening, size
        # A client of a version to come reads 5's answers, if it has any sense; an older one reads 3.1.1's.
        version = Version.MQTT_5 if body[size - 1] & ~_BRIDGE > Version.MQTT_5 else Version.MQTT_3_1_1
        detail = f"CONNECT: protocol level {body[size - 1]} of this protocol name is not spoken"
        raise ProtocolViolation(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, detail, version)
    if any(name.startswith(body) for name in _OPENING_SIZES):
        raise ProtocolViolation(ReasonCode.MALFORMED_PACKET, "CONNECT: cut short")
    raise ProtocolViolation(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, "CONNECT: not the name of a protocol we speak")


def _decode_rest(version: Version, bridge: bool, body: bytes, position: int) -> Connect:
    if position + 3 > len(body):
        raise cut_short()
    flags = body[position]
    keep_alive = body[position + 1] << 8 | body[position + 2]
    position += 3
    if flags & (_RESERVED | _WILL | _WILL_QOS | _WILL_RETAIN):
        _check_flags(flags, version)
    properties: Properties = {}
    if version is Version.MQTT_5:
        properties, position = _decode_properties(body, position)
        if "authentication_data" in properties and "authentication_method" not in properties:
            raise protocol_error("authentication data without a method")  # 3.1.2.11.10
    client_id, position = decode_name(body, position)
    _check_client_id(client_id, flags, version)
    will = user_name = password = None
    if flags & _WILL:
        will, position = _decode_will(flags, version, body, position)
    # MQTT 3.1 (3.1): the end of the packet counts, not the flags, "for compatibility with the original MQTT V3".
    if flags & _USER_NAME and not (version is Version.MQTT_3_1 and position == len(body)):
        user_name, position = decode_name(body, position)
    if flags & _PASSWORD and not (version is Version.MQTT_3_1 and position == len(body)):
        if not flags & _USER_NAME and version is not Version.MQTT_5:
            raise malformed("password without a user name")  # [MQTT-3.1.2-22] of 3.1.1
        password, position = decode_binary_data(body, position)
    if position != len(body):
        raise malformed(f"{len(body) - position} bytes after its end")
    return Connect(
        version, client_id, bool(flags & _CLEAN_START), keep_alive, will, user_name, password, bridge, properties
    )


def _check_flags(flags: int, version: Version) -> None:
    if flags & _RESERVED:
        raise malformed("reserved flag is set")  # [MQTT-3.1.2-3]
    # MQTT 3.1 (3.1): without a will its other flags are disregarded.
    if not flags & _WILL and flags & (_WILL_QOS | _WILL_RETAIN) and version is not Version.MQTT_3_1:
        raise protocol_error("flags of a will without a will")  # [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    if flags & _WILL and flags & _WILL_QOS == _WILL_QOS:
        raise malformed("will of QoS 3")  # [MQTT-3.1.2-12]


def _check_client_id(client_id: str, flags: int, version: Version) -> None:
    if len(client_id) * 4 > CLIENT_ID_SIZE_MAX and len(client_id.encode()) > CLIENT_ID_SIZE_MAX:
        detail = f"client identifier of more than {CLIENT_ID_SIZE_MAX} bytes"
        raise ProtocolViolation(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, detail)
    if client_id or version is Version.MQTT_5:
        return
    if version is Version.MQTT_3_1 or not flags & _CLEAN_START:  # [MQTT-3.1.3-8] of 3.1.1
        raise ProtocolViolation(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "client identifier that is empty")


def _decode_will(flags: int, version: Version, body: bytes, position: int) -> tuple[Will, int]:
    properties: Properties = {}
    if version is Version.MQTT_5:
        properties, position = _decode_will_properties(body, position)
    topic, position = decode_name(body, position)
    if problem := topic_name_problem(topic):
        raise ProtocolViolation(ReasonCode.TOPIC_NAME_INVALID, f"will: {problem}")
    payload, position = decode_binary_data(body, position)
    if properties.get("payload_format_indicator"):
        _check_payload(payload)
    return Will(
        topic, payload, (flags & _WILL_QOS) >> _WILL_QOS_SHIFT, bool(flags & _WILL_RETAIN), properties
    ), position


def _check_payload(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError:
        detail = "will: payload that is said to be UTF-8 and isn't"
        raise ProtocolViolation(ReasonCode.PAYLOAD_FORMAT_INVALID, detail) from None


def encode_connect(packet: Connect) -> bytes:
    """The body."""
    version, will = packet.protocol_level, packet.will
    v5 = version is Version.MQTT_5
    flags = packet.clean_start * _CLEAN_START
    fields = [encode_string(packet.client_id)]
    if v5:
        fields.insert(0, _encode_properties(packet.properties))
    if will is not None:
        flags |= _WILL | will.qos << _WILL_QOS_SHIFT | will.retain * _WILL_RETAIN
        if v5:
            fields.append(_encode_will_properties(will.properties))
        fields += encode_string(will.topic), encode_binary_data(will.payload)
    if packet.user_name is not None:
        flags |= _USER_NAME
        fields.append(encode_string(packet.user_name))
    if packet.password is not None:
        assert v5 or packet.user_name is not None
        flags |= _PASSWORD
        fields.append(encode_binary_data(packet.password))
    level = encode_byte(version | packet.bridge * _BRIDGE)
    return b"".join((_NAMES[version], level, encode_byte(flags), encode_two_byte_integer(packet.keep_alive), *fields))
