"""How each kind of field is read and written, for a type of packet, a version and a sender.

Law: whatever the bytes are, a field is read from within them, or it is a ProtocolViolation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from protocols.mqtt.data_types import (
    cut_short,
    decode_byte,
    decode_name,
    decode_two_byte_integer,
    encode_byte,
    encode_string,
    encode_two_byte_integer,
)
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import Kind, SubscriptionRequest
from protocols.mqtt.properties import Holder, Properties, properties_decoder, properties_encoder
from protocols.mqtt.reason_codes import CARRIERS, REASON_CODES, RETURN_CODES, ReasonCode, carried
from protocols.mqtt.topic_filter import is_shared
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation, malformed, protocol_error

FILTER_COUNT_MAX = 1_024
"""In one SUBSCRIBE or UNSUBSCRIBE: each is work for all nodes, and a packet could hold some hundred thousand."""
REFUSED_V3 = 0x80
"""What SUBACK says in MQTT 3 of a subscription that is refused, whatever the reason."""

Decode: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
Encode: TypeAlias = Callable[[Any], bytes]
_Codes: TypeAlias = Mapping[int, ReasonCode]

_SUBACK_CODES_V3: _Codes = {code: ReasonCode(code) for code in (0, 1, 2, REFUSED_V3)}
_CONNACK_CODES_V3: _Codes = {int(return_code): code for return_code, code in REASON_CODES.items()}


def _decode_packet_id(data: bytes, position: int) -> tuple[int, int]:
    packet_id, position = decode_two_byte_integer(data, position)
    if not packet_id:
        raise protocol_error("packet identifier 0")  # [MQTT-2.2.1-3]
    return packet_id, position


def _encode_packet_id(packet_id: int) -> bytes:
    assert packet_id
    return encode_two_byte_integer(packet_id)


def _reason_code_decoder(codes: _Codes) -> Decode:
    def decode(data: bytes, position: int) -> tuple[ReasonCode, int]:
        number, position = decode_byte(data, position)
        code = codes.get(number)
        if code is None:
            raise protocol_error(f"reason code 0x{number:02X}, which this sender can't give it")
        return code, position

    return decode


def _reason_codes_decoder(codes: _Codes) -> Decode:
    decode_one = _reason_code_decoder(codes)

    def decode(data: bytes, position: int) -> tuple[tuple[ReasonCode, ...], int]:
        if position == len(data):
            raise protocol_error("no reason code")
        return tuple([decode_one(data, at)[0] for at in range(position, len(data))]), len(data)

    return decode


def _reason_code_encoder(packet_type: PacketType) -> Encode:
    def encode(code: ReasonCode) -> bytes:
        assert packet_type in CARRIERS[code], code
        return encode_byte(code)

    return encode


def _reason_codes_encoder(packet_type: PacketType) -> Encode:
    def encode(codes: tuple[ReasonCode, ...]) -> bytes:
        assert codes
        assert all(packet_type in CARRIERS[code] for code in codes), codes
        return bytes(codes)

    return encode


def _encode_suback_codes_v3(codes: tuple[ReasonCode, ...]) -> bytes:
    return bytes([min(code, REFUSED_V3) for code in codes])


def _encode_connack_code_v3(code: ReasonCode) -> bytes:
    return encode_byte(RETURN_CODES[code])


def _last_reason_code_decoder(codes: _Codes) -> Decode:
    decode_whole = _reason_code_decoder(codes)
    success = codes.get(ReasonCode.SUCCESS)

    def decode(data: bytes, position: int) -> tuple[ReasonCode, int]:
        if position < len(data):
            return decode_whole(data, position)
        if success is None:
            raise protocol_error("reason code 0x00, which this sender can't give it")
        return success, position

    return decode


def _last_properties_decoder(holder: Holder) -> Decode:
    decode_whole = properties_decoder(holder)

    def decode(data: bytes, position: int) -> tuple[Properties, int]:
        return decode_whole(data, position) if position < len(data) else ({}, position)

    return decode


def _decode_connack_flags(data: bytes, position: int) -> tuple[bool, int]:
    flags, position = decode_byte(data, position)
    if flags > 1:
        raise malformed("reserved flag is set")  # [MQTT-3.2.2-1]
    return bool(flags), position


def _decode_connack_flags_v3_1(data: bytes, position: int) -> tuple[bool, int]:
    """A byte that is reserved and not used (3.1, 3.2)."""
    return False, decode_byte(data, position)[1]


def _encode_connack_flags_v3_1(session_present: bool) -> bytes:
    return b"\0"


def _requests_decoder(version: Version) -> Decode:
    reserved = 0xC0 if version is Version.MQTT_5 else 0xFC

    def decode(data: bytes, position: int) -> tuple[tuple[SubscriptionRequest, ...], int]:
        requests = []
        while position < len(data):
            text, position = decode_name(data, position)
            if position == len(data):
                raise cut_short()
            options = data[position]
            position += 1
            if options > 2:
                _check_options(text, options, reserved)
            requests.append(
                SubscriptionRequest(text, options & 3, bool(options & 4), bool(options & 8), options >> 4 & 3)
            )
        _check_filter_count(len(requests))
        return tuple(requests), position

    return decode


def _check_options(text: str, options: int, reserved: int) -> None:
    if options & reserved:
        raise malformed("reserved bit of the subscription options is set")  # [MQTT-3.8.3-5]
    if options & 0x03 == 0x03:
        raise protocol_error("subscription of QoS 3")
    if options & 0x30 == 0x30:
        raise protocol_error("retain handling 3")
    if options & 0x04 and is_shared(text):
        raise protocol_error("no local on a shared subscription")  # [MQTT-3.8.3-4]


def _requests_encoder(version: Version) -> Encode:
    v5 = version is Version.MQTT_5

    def encode(requests: tuple[SubscriptionRequest, ...]) -> bytes:
        assert requests
        parts: list[bytes] = []
        for request in requests:
            options = request.qos
            if v5:
                options |= request.no_local << 2 | request.retain_as_published << 3 | request.retain_handling << 4
            parts += encode_string(request.filter), encode_byte(options)
        return b"".join(parts)

    return encode


def _decode_filters(data: bytes, position: int) -> tuple[tuple[str, ...], int]:
    filters = []
    while position < len(data):
        text, position = decode_name(data, position)
        filters.append(text)
    _check_filter_count(len(filters))
    return tuple(filters), position


def _encode_filters(filters: tuple[str, ...]) -> bytes:
    assert filters
    return b"".join([encode_string(text) for text in filters])


def _check_filter_count(count: int) -> None:
    if not count:
        raise protocol_error("no topic filter")  # [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    if count > FILTER_COUNT_MAX:
        raise ProtocolViolation(ReasonCode.QUOTA_EXCEEDED, f"{count} topic filters, at most {FILTER_COUNT_MAX}")


_DECODERS: Mapping[Kind, Callable[[PacketType, Version, Sender], Decode]] = {
    Kind.PACKET_ID: lambda packet_type, version, sender: _decode_packet_id,
    Kind.PROPERTIES: lambda packet_type, version, sender: properties_decoder(Holder[packet_type.name]),
    Kind.LAST_PROPERTIES: lambda packet_type, version, sender: _last_properties_decoder(Holder[packet_type.name]),
    Kind.LAST_REASON_CODE: lambda packet_type, version, sender: _last_reason_code_decoder(carried(packet_type, sender)),
    Kind.CONNACK_FLAGS: lambda packet_type, version, sender: (
        _decode_connack_flags_v3_1 if version is Version.MQTT_3_1 else _decode_connack_flags
    ),
    Kind.CONNACK_REASON_CODE: lambda packet_type, version, sender: _reason_code_decoder(
        carried(packet_type, sender) if version is Version.MQTT_5 else _CONNACK_CODES_V3
    ),
    Kind.SUBACK_REASON_CODES: lambda packet_type, version, sender: _reason_codes_decoder(
        carried(packet_type, sender) if version is Version.MQTT_5 else _SUBACK_CODES_V3
    ),
    Kind.UNSUBACK_REASON_CODES: lambda packet_type, version, sender: _reason_codes_decoder(
        carried(packet_type, sender)
    ),
    Kind.SUBSCRIPTION_REQUESTS: lambda packet_type, version, sender: _requests_decoder(version),
    Kind.FILTERS: lambda packet_type, version, sender: _decode_filters,
}
_ENCODERS: Mapping[Kind, Callable[[PacketType, Version], Encode]] = {
    Kind.PACKET_ID: lambda packet_type, version: _encode_packet_id,
    Kind.PROPERTIES: lambda packet_type, version: properties_encoder(Holder[packet_type.name]),
    Kind.LAST_PROPERTIES: lambda packet_type, version: properties_encoder(Holder[packet_type.name]),
    Kind.LAST_REASON_CODE: lambda packet_type, version: _reason_code_encoder(packet_type),
    Kind.CONNACK_FLAGS: lambda packet_type, version: (
        _encode_connack_flags_v3_1 if version is Version.MQTT_3_1 else encode_byte
    ),
    Kind.CONNACK_REASON_CODE: lambda packet_type, version: (
        _reason_code_encoder(packet_type) if version is Version.MQTT_5 else _encode_connack_code_v3
    ),
    Kind.SUBACK_REASON_CODES: lambda packet_type, version: (
        _reason_codes_encoder(packet_type) if version is Version.MQTT_5 else _encode_suback_codes_v3
    ),
    Kind.UNSUBACK_REASON_CODES: lambda packet_type, version: _reason_codes_encoder(packet_type),
    Kind.SUBSCRIPTION_REQUESTS: lambda packet_type, version: _requests_encoder(version),
    Kind.FILTERS: lambda packet_type, version: _encode_filters,
}


def field_decoder(kind: Kind, packet_type: PacketType, version: Version, sender: Sender) -> Decode:
    """What reads such a field."""
    return _DECODERS[kind](packet_type, version, sender)


def field_encoder(kind: Kind, packet_type: PacketType, version: Version) -> Encode:
    """What writes such a field.  Values that no packet may hold are our mistake, and assertions."""
    return _ENCODERS[kind](packet_type, version)
