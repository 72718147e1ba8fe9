"""Reason codes: every one has its carriers, as the specification's table and another codec have them."""

from __future__ import annotations

import mqtt5
import pytest

from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.reason_codes import CARRIERS, REASON_CODES, RETURN_CODES, ReasonCode, ReturnCode, carried

THEIRS: dict[PacketType, type] = {
    PacketType.CONNACK: mqtt5.ConnAckReasonCode,
    PacketType.PUBACK: mqtt5.PubAckReasonCode,
    PacketType.PUBREC: mqtt5.PubRecReasonCode,
    PacketType.PUBREL: mqtt5.PubRelReasonCode,
    PacketType.PUBCOMP: mqtt5.PubCompReasonCode,
    PacketType.SUBACK: mqtt5.SubAckReasonCode,
    PacketType.UNSUBACK: mqtt5.UnsubAckReasonCode,
    PacketType.DISCONNECT: mqtt5.DisconnectReasonCode,
    PacketType.AUTH: mqtt5.AuthReasonCode,
}


def test_every_code_has_its_carriers() -> None:
    assert set(CARRIERS) == set(ReasonCode)
    assert all(CARRIERS.values())


@pytest.mark.parametrize("packet_type", THEIRS)
def test_carriers_are_those_of_another_codec(packet_type: PacketType) -> None:
    ours = {int(code) for code, packets in CARRIERS.items() if packet_type in packets}
    theirs = {int(code) for name, code in vars(THEIRS[packet_type]).items() if name.isupper()}
    if packet_type is PacketType.DISCONNECT:
        theirs.add(ReasonCode.BAD_AUTHENTICATION_METHOD)  # it has the table of 3.14.2.1, we that of 2.4 too
    assert ours == theirs


def test_who_may_say_what() -> None:
    client = carried(PacketType.DISCONNECT, Sender.CLIENT)
    assert sorted(client) == [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, *range(0x93, 0x9A)]
    assert set(carried(PacketType.DISCONNECT, Sender.SERVER)) == {
        int(code) for code, packets in CARRIERS.items() if PacketType.DISCONNECT in packets and code != 0x04
    }
    assert sorted(carried(PacketType.AUTH, Sender.CLIENT)) == [0x18, 0x19]
    assert sorted(carried(PacketType.AUTH, Sender.SERVER)) == [0x00, 0x18]


def test_return_codes_of_mqtt_3() -> None:
    assert all(PacketType.CONNACK in CARRIERS[code] for code in RETURN_CODES)
    assert set(REASON_CODES) == set(RETURN_CODES.values()) == set(ReturnCode)
    assert [int(REASON_CODES[code]) for code in ReturnCode] == [0x00, 0x84, 0x85, 0x88, 0x86, 0x87]
    assert all(RETURN_CODES[reason] is code for code, reason in REASON_CODES.items())
    unsaid = {code for code, packets in CARRIERS.items() if PacketType.CONNACK in packets} - set(RETURN_CODES)
    # Of a will, or of MQTT 5 alone; and where the packet is broken MQTT 3 hangs up.
    assert sorted(unsaid) == [0x81, 0x82, 0x8C, 0x90, 0x95, 0x99, 0x9A, 0x9B]
