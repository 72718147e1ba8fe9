"""PyPI's ``mqtt5``, a strict codec of MQTT 5 in Rust: it reads what we write, and we what it writes."""

from __future__ import annotations

from typing import Any

import mqtt5
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.mqtt.packet_codec import decode_packet, encode_packet
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import (
    PACKET_TYPES,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
    Will,
)
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topic_filter import TopicFilter, parse_filter
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation
from tests.protocols.mqtt.drawn_packets import SENT, packets_of
from tests.protocols.mqtt.wire import body_of, decoded

pytestmark = pytest.mark.slow

SENT_V5 = [(packet_type, sender) for packet_type, version, sender in SENT if version is Version.MQTT_5]

NAMES = {
    "assigned_client_identifier": "assigned_client_id",
    "maximum_packet_size": "max_packet_size",
    "maximum_qos": "max_qos",
    "reason_string": "reason_str",
    "receive_maximum": "receive_max",
    "request_problem_information": "request_problem_info",
    "request_response_information": "request_response_info",
    "response_information": "response_info",
    "subscription_identifier_available": "subscription_id_available",
    "subscription_identifiers": "subscription_id",
    "topic_alias_maximum": "topic_alias_max",
}
"""Its names of properties, where they aren't ours."""
CHANGES: dict[str, Any] = {
    "max_qos": mqtt5.QoS,
    "request_problem_info": bool,
    "request_response_info": bool,
    "retain_available": bool,
    "shared_subscription_available": bool,
    "subscription_id": lambda identifiers: identifiers[0],
    "subscription_id_available": bool,
    "user_properties": list,
    "wildcard_subscription_available": bool,
}
"""Its types of values, where they aren't ours."""
DEFAULTS: dict[str, Any] = {
    "payload_format_indicator": 0,
    "receive_maximum": 65_535,
    "request_problem_information": 1,
    "request_response_information": 0,
    "retain_available": 1,
    "shared_subscription_available": 1,
    "subscription_identifier_available": 1,
    "topic_alias_maximum": 0,
    "wildcard_subscription_available": 1,
    "will_delay_interval": 0,
}
"""It doesn't write them, nor tells them from what isn't there."""
CODES: dict[str, Any] = {
    "CONNACK": mqtt5.ConnAckReasonCode,
    "PUBACK": mqtt5.PubAckReasonCode,
    "PUBREC": mqtt5.PubRecReasonCode,
    "PUBREL": mqtt5.PubRelReasonCode,
    "PUBCOMP": mqtt5.PubCompReasonCode,
    "SUBACK": mqtt5.SubAckReasonCode,
    "UNSUBACK": mqtt5.UnsubAckReasonCode,
    "DISCONNECT": mqtt5.DisconnectReasonCode,
    "AUTH": mqtt5.AuthReasonCode,
}
KINDS: dict[str, Any] = {
    "PUBACK": mqtt5.PubAckPacket,
    "PUBREC": mqtt5.PubRecPacket,
    "PUBREL": mqtt5.PubRelPacket,
    "PUBCOMP": mqtt5.PubCompPacket,
    "DISCONNECT": mqtt5.DisconnectPacket,
    "AUTH": mqtt5.AuthPacket,
}


def their_properties(properties: Properties) -> dict[str, Any]:
    theirs: dict[str, Any] = {NAMES.get(name, name): value for name, value in properties.items()}
    return {name: CHANGES[name](value) if name in CHANGES else value for name, value in theirs.items()}


def their_will(will: Will | None) -> mqtt5.Will | None:
    if will is None:
        return None
    return mqtt5.Will(
        will.topic,
        payload=will.payload,
        qos=mqtt5.QoS(will.qos),
        retain=will.retain,
        **their_properties(will.properties),
    )


def their_filter(request: SubscriptionRequest) -> mqtt5.TopicFilter:
    return mqtt5.TopicFilter(
        request.filter,
        max_qos=mqtt5.QoS(request.qos),
        no_local=request.no_local,
        retain_as_published=request.retain_as_published,
        retain_handling=mqtt5.RetainHandling(request.retain_handling),
    )


def their_packet(packet: Any) -> Any:
    name = PACKET_TYPES[type(packet)].name
    properties = their_properties(packet.properties) if hasattr(packet, "properties") else {}
    match packet:
        case Connect():
            return mqtt5.ConnectPacket(
                packet.client_id,
                username=packet.user_name,
                password=packet.password,
                clean_start=packet.clean_start,
                will=their_will(packet.will),
                keep_alive=packet.keep_alive,
                **properties,
            )
        case Connack():
            code = CODES[name](packet.reason_code)
            return mqtt5.ConnAckPacket(session_present=packet.session_present, reason_code=code, **properties)
        case Subscribe():
            return mqtt5.SubscribePacket(packet.packet_id, [their_filter(r) for r in packet.requests], **properties)
        case Unsubscribe():
            return mqtt5.UnsubscribePacket(packet.packet_id, list(packet.filters), **properties)
        case Suback() | Unsuback():
            kind: Any = mqtt5.SubAckPacket if isinstance(packet, Suback) else mqtt5.UnsubAckPacket
            return kind(packet.packet_id, [CODES[name](code) for code in packet.reason_codes], **properties)
        case Pingreq():
            return mqtt5.PingReqPacket()
        case Pingresp():
            return mqtt5.PingRespPacket()
    first = (packet.packet_id,) if hasattr(packet, "packet_id") else ()
    return KINDS[name](*first, reason_code=CODES[name](packet.reason_code), **properties)


def without_defaults(packet: Any) -> Any:
    """As ours reads what it writes of this."""
    if not hasattr(packet, "properties"):
        return packet
    defaults = {**DEFAULTS, "session_expiry_interval": 0} if isinstance(packet, Connect) else DEFAULTS
    kept = {name: value for name, value in packet.properties.items() if value != defaults.get(name)}
    packet = msgspec.structs.replace(packet, properties=kept)
    if isinstance(packet, Connect) and packet.will is not None:
        packet = msgspec.structs.replace(packet, will=without_defaults(packet.will))
    return packet


def is_theirs(packet: Any) -> bool:
    """Not what it has no word for, and filters that it refuses with the packet, we in SUBACK."""
    match packet:
        case Connect():
            return not packet.bridge
        case Disconnect():
            return packet.reason_code is not ReasonCode.BAD_AUTHENTICATION_METHOD  # not in 3.14.2.1
        case Auth():
            return bool(packet.reason_code or packet.properties)  # it can't read what 3.15.2.1 allows
        case Subscribe():
            return all(isinstance(parse_filter(request.filter), TopicFilter) for request in packet.requests)
        case Unsubscribe():
            return all(isinstance(parse_filter(text), TopicFilter) for text in packet.filters)
    return True


@pytest.mark.parametrize(("packet_type", "sender"), SENT_V5)
@settings(max_examples=50)
@given(st.data())
def test_it_reads_what_we_write(packet_type: PacketType, sender: Sender, data: st.DataObject) -> None:
    packet = data.draw(packets_of(packet_type, Version.MQTT_5, sender).filter(is_theirs))
    encoded = encode_packet(packet, Version.MQTT_5)
    assert mqtt5.read(memoryview(encoded)) == (their_packet(packet), len(encoded))


@pytest.mark.parametrize(("packet_type", "sender"), SENT_V5)
@settings(max_examples=50)
@given(st.data())
def test_we_read_what_it_writes(packet_type: PacketType, sender: Sender, data: st.DataObject) -> None:
    packet = data.draw(packets_of(packet_type, Version.MQTT_5, sender).filter(is_theirs))
    assert decoded(their_packet(packet).write(), Version.MQTT_5, sender) == without_defaults(packet)


def ours(encoded: bytes, sender: Sender) -> Packet | ProtocolViolation:
    try:
        return decode_packet(encoded[0] >> 4, encoded[0] & 0x0F, body_of(encoded), Version.MQTT_5, sender)
    except ProtocolViolation as violation:
        return violation


def theirs(encoded: bytes) -> Any:
    try:
        return mqtt5.read(memoryview(encoded))[0]
    except (ValueError, IndexError) as error:
        return error


@pytest.mark.parametrize(("packet_type", "sender"), SENT_V5)
@settings(max_examples=50)
@given(st.data())
def test_of_damaged_packets_we_take_none_that_it_does_not(
    packet_type: PacketType, sender: Sender, data: st.DataObject
) -> None:
    encoded = bytearray(encode_packet(data.draw(packets_of(packet_type, Version.MQTT_5, sender)), Version.MQTT_5))
    size_at = 2 if encoded[1] < 0x80 else 3
    for _ in range(data.draw(st.integers(1, 2))):
        if len(encoded) > size_at:
            encoded[data.draw(st.integers(size_at, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    ours_now = ours(bytes(encoded), sender)
    if isinstance(ours_now, ProtocolViolation) or not is_theirs(ours_now):
        return
    assert getattr(ours_now, "protocol_level", Version.MQTT_5) is Version.MQTT_5
    assert theirs(bytes(encoded)) == their_packet(ours_now)
