"""The packets that paho-mqtt writes, read by us, and ours read by it: all versions, with what it has of each.

Its decoders are functions; what it sends is caught where it would be queued.  amqtt, the other codec of MQTT 3.1.1 in
Python, is no dependency: it brings a broker, a database and a web stack along.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt import _packet as paho_packet
from paho.mqtt.client import MQTT_BRIDGE, MQTT_CLIENT, Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.reasoncodes import ReasonCode as PahoReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from protocols.mqtt.data_types import VARIABLE_BYTE_INTEGER_MAX
from protocols.mqtt.packet_codec import encode_packet
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import Connack, Connect, Disconnect, Suback, Subscribe, Unsuback, Unsubscribe
from protocols.mqtt.properties import Holder, Properties
from protocols.mqtt.reason_codes import RETURN_CODES, ReasonCode, carried
from protocols.mqtt.version import Version
from tests.protocols.mqtt.drawn_packets import connects, packet_ids, packets_of, properties_of, strings
from tests.protocols.mqtt.wire import body_of, decoded

pytestmark = pytest.mark.slow
versions = st.sampled_from(Version)


class PahoClient(Client):
    """Keeps what it would send."""

    def __init__(self, version: Version, client_id: str = "c", clean_start: bool = True) -> None:
        protocol = MQTTProtocolVersion(version)
        if version is Version.MQTT_5:
            super().__init__(CallbackAPIVersion.VERSION2, client_id, protocol=protocol)
            self._clean_start = clean_start
        else:
            super().__init__(CallbackAPIVersion.VERSION2, client_id, clean_start, protocol=protocol)
        self.sent: list[bytes] = []

    def _packet_queue(self, command: Any, packet: Any, mid: Any, qos: Any, info: Any = None) -> MQTTErrorCode:
        self.sent.append(bytes(packet))
        return MQTTErrorCode.MQTT_ERR_SUCCESS


def paho_properties(properties: Properties, packet_type: int) -> Any:
    """Its names are ours without underscores."""
    theirs = PahoProperties(packet_type)  # type: ignore[no-untyped-call]
    by_name = {name.lower().replace(" ", ""): name.replace(" ", "") for name in theirs.names}
    for name, value in properties.items():
        ours = name.replace("_", "").replace("properties", "property").replace("identifiers", "identifier")
        for one in value if isinstance(value, tuple) else (value,):
            setattr(theirs, by_name[ours], one)
    return theirs


def is_small(properties: Properties) -> bool:
    """Its maximum packet sizes end where remaining lengths do."""
    return properties.get("maximum_packet_size", 0) <= VARIABLE_BYTE_INTEGER_MAX


def is_theirs(packet: Connect) -> bool:
    """What paho's interface lets one ask for."""
    has_password_alone = packet.user_name is None and packet.password is not None
    return bool(packet.client_id) and not has_password_alone and is_small(packet.properties)


@settings(max_examples=100)
@given(versions.flatmap(connects).filter(is_theirs))
def test_its_connect(packet: Connect) -> None:
    client = PahoClient(packet.protocol_level, packet.client_id, packet.clean_start)
    client._client_mode = MQTT_BRIDGE if packet.bridge else MQTT_CLIENT
    if packet.protocol_level is Version.MQTT_5:
        client._connect_properties = paho_properties(packet.properties, PacketTypes.CONNECT)
    if packet.will is not None:
        own = None
        if packet.protocol_level is Version.MQTT_5:
            own = paho_properties(packet.will.properties, PacketTypes.WILLMESSAGE)
        client.will_set(packet.will.topic, packet.will.payload, packet.will.qos, packet.will.retain, own)
    client._username = None if packet.user_name is None else packet.user_name.encode()
    client._password = packet.password
    client._send_connect(packet.keep_alive)
    assert decoded(client.sent[0], None) == packet
    if not packet.properties and (packet.will is None or not packet.will.properties):
        assert client.sent == [encode_packet(packet, packet.protocol_level)]


@settings(max_examples=50)
@given(versions, st.data())
def test_its_subscribe_and_unsubscribe(version: Version, data: st.DataObject) -> None:
    subscribe: Subscribe = data.draw(packets_of(PacketType.SUBSCRIBE, version, Sender.CLIENT))
    unsubscribe: Unsubscribe = data.draw(packets_of(PacketType.UNSUBSCRIBE, version, Sender.CLIENT))
    client = PahoClient(version)
    v5 = version is Version.MQTT_5
    topics: list[tuple[bytes, Any]] = [
        (
            request.filter.encode(),
            SubscribeOptions(request.qos, request.no_local, request.retain_as_published, request.retain_handling)
            if v5
            else request.qos,
        )
        for request in subscribe.requests
    ]
    client._last_mid = subscribe.packet_id - 1
    client._send_subscribe(0, topics, paho_properties(subscribe.properties, PacketTypes.SUBSCRIBE) if v5 else None)
    client._last_mid = unsubscribe.packet_id - 1
    client._send_unsubscribe(
        False,
        [text.encode() for text in unsubscribe.filters],
        paho_properties(unsubscribe.properties, PacketTypes.UNSUBSCRIBE) if v5 else None,
    )
    assert [decoded(packet, version) for packet in client.sent] == [subscribe, unsubscribe]


@given(st.sampled_from(sorted(carried(PacketType.DISCONNECT, Sender.CLIENT).values())), strings, st.booleans())
def test_its_disconnect_and_pingreq(code: ReasonCode, reason: str, full: bool) -> None:
    client = PahoClient(Version.MQTT_5)
    own: Properties = {"reason_string": reason} if full else {}
    theirs = paho_properties(own, PacketTypes.DISCONNECT) if full else None
    client._send_disconnect(PahoReasonCode(PacketTypes.DISCONNECT, identifier=code), theirs)
    assert decoded(client.sent[0], Version.MQTT_5) == Disconnect(code, own)
    for version in Version:
        client = PahoClient(version)
        client._send_disconnect()
        client._send_pingreq()
        assert decoded(client.sent[0], version) == Disconnect()
        assert client.sent[1] == b"\xc0\0"


def assert_same(theirs: Any, properties: Properties, packet_type: int) -> None:
    """Its properties object against ours."""
    ours = paho_properties(properties, packet_type)
    assert (theirs.json() if theirs is not None else {}) == ours.json()


@given(st.booleans(), st.data())
def test_it_reads_our_connack(session_present: bool, data: st.DataObject) -> None:
    code = data.draw(st.sampled_from(sorted(RETURN_CODES)))
    properties = data.draw(properties_of(Holder.CONNACK).filter(is_small))
    packet = Connack(session_present and not code, code, properties)
    for version in Version:
        encoded = encode_packet(packet, version)
        theirs = paho_packet.decode_connack(encoded[0], body_of(encoded), MQTTProtocolVersion(version))
        assert bool(theirs.flags & 1) is (packet.session_present and version is not Version.MQTT_3_1)
        if version is Version.MQTT_5:
            assert theirs.reason.value == code
            assert_same(theirs.properties, properties, PacketTypes.CONNACK)
        else:
            assert int(theirs.rc) == RETURN_CODES[code]


@given(packet_ids, st.data())
def test_it_reads_our_suback_and_unsuback(packet_id: int, data: st.DataObject) -> None:
    suback: Suback = data.draw(packets_of(PacketType.SUBACK, Version.MQTT_5, Sender.SERVER))
    unsuback: Unsuback = data.draw(packets_of(PacketType.UNSUBACK, Version.MQTT_5, Sender.SERVER))
    for version in Version:
        v5 = version is Version.MQTT_5
        encoded = encode_packet(suback, version)
        granted = paho_packet.decode_suback(encoded[0], body_of(encoded), MQTTProtocolVersion(version))
        assert granted.mid == suback.packet_id
        codes = [code.value for code in granted.reason_codes]
        assert codes == [int(code) if v5 else min(code, 0x80) for code in suback.reason_codes]
        encoded = encode_packet(unsuback, version)
        ended = paho_packet.decode_unsuback(encoded[0], body_of(encoded), MQTTProtocolVersion(version))
        assert ended.mid == unsuback.packet_id
        if v5:
            assert [code.value for code in ended.reason_codes] == list(unsuback.reason_codes)
            assert_same(granted.properties, suback.properties, PacketTypes.SUBACK)
            assert_same(ended.properties, unsuback.properties, PacketTypes.UNSUBACK)


@given(packets_of(PacketType.DISCONNECT, Version.MQTT_5, Sender.SERVER))
def test_it_reads_our_disconnect(packet: Disconnect) -> None:
    encoded = encode_packet(packet, Version.MQTT_5)
    theirs = paho_packet.decode_disconnect(encoded[0], body_of(encoded), MQTTProtocolVersion.MQTTv5)
    assert (0 if theirs.reason is None else theirs.reason.value) == packet.reason_code
    if packet.properties:
        assert_same(theirs.properties, packet.properties, PacketTypes.DISCONNECT)
