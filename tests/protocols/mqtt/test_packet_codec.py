"""Packets: every one round and round, exact about bad bytes, and none larger than the peer takes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.packet_codec import LEFT_OUT, PACKET_SIZE_MAX, decode_packet, encode_packet
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import (
    PACKETS,
    Auth,
    Connack,
    Disconnect,
    Packet,
    Pingresp,
    Puback,
    Pubrec,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
)
from protocols.mqtt.properties import Holder, Properties
from protocols.mqtt.reason_codes import CARRIERS, ReasonCode, ReturnCode
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation
from tests.protocols.mqtt.drawn_packets import SENT, packets_of, sent_packets
from tests.protocols.mqtt.wire import body_of, decoded, violation_of

V3_1, V3_1_1, V5 = Version
DUP = 0x08


def test_the_table_holds_all_packets_but_publish() -> None:
    assert set(PACKETS) == set(PacketType) - {PacketType.PUBLISH}
    without = {PacketType.PINGREQ, PacketType.PINGRESP}
    assert {holder.name for holder in Holder} == {packet.name for packet in set(PacketType) - without} | {"WILL"}


@pytest.mark.parametrize(("packet_type", "version", "sender"), SENT)
@given(st.data())
def test_what_is_encoded_is_decoded(
    packet_type: PacketType, version: Version, sender: Sender, data: st.DataObject
) -> None:
    packet = data.draw(packets_of(packet_type, version, sender))
    encoded = encode_packet(packet, version)
    assert encoded[0] >> 4 == packet_type
    again = decoded(encoded, None if packet_type is PacketType.CONNECT else version, sender)
    assert again == packet
    assert encode_packet(again, version) == encoded


@given(sent_packets())
def test_a_packet_cut_anywhere_is_a_violation_or_a_shorter_packet(sent: tuple[Packet, Version, Sender]) -> None:
    packet, version, sender = sent
    encoded = encode_packet(packet, version)
    body = body_of(encoded)
    packet_type, flags = encoded[0] >> 4, encoded[0] & 0x0F
    for size in range(len(body)):
        violation = violation_of(packet_type, flags, body[:size], version, sender)
        if violation is None:
            # Only where what ends it may be left out, or be fewer.
            shorter = decode_packet(packet_type, flags, body[:size], version, sender)
            assert type(shorter) is type(packet)
            # The empty properties of a DISCONNECT may be, and are not.
            assert shorter != packet or type(packet) is Disconnect
        else:
            assert violation.version in (version, None)


@given(sent_packets(), st.binary(min_size=1, max_size=3))
def test_bytes_after_the_end_are_never_passed_over(sent: tuple[Packet, Version, Sender], more: bytes) -> None:
    packet, version, sender = sent
    encoded = encode_packet(packet, version)
    packet_type, flags, body = encoded[0] >> 4, encoded[0] & 0x0F, body_of(encoded)
    try:
        longer = decode_packet(packet_type, flags, body + more, version, sender)
    except ProtocolViolation:
        return
    # Lists end with the packet; and zeros that may be left out may be there.
    assert longer != packet or not any(more)


@pytest.mark.parametrize(("packet_type", "version", "sender"), SENT)
def test_every_reserved_flag_is_malformed(packet_type: PacketType, version: Version, sender: Sender) -> None:
    due = PACKETS[packet_type].flags
    for flags in range(16):
        if flags == due or (version is V3_1 and due and flags == due | DUP):
            continue
        violation = violation_of(packet_type, flags, b"", version, sender)
        assert violation is not None
        assert violation.reason_code is ReasonCode.MALFORMED_PACKET
        assert violation.detail == f"{packet_type.name}: reserved flag is set"


def test_mqtt_3_1_sends_a_subscribe_again_with_its_dup_flag() -> None:
    body = b"\0\x07\0\x01a\x01"
    assert decode_packet(8, 2 | DUP, body, V3_1) == Subscribe(7, (SubscriptionRequest("a", 1),))
    assert decode_packet(10, 2 | DUP, body[:-1], V3_1) == decode_packet(10, 2, body[:-1], V3_1)


types = st.integers(0, 15).filter(lambda number: number != PacketType.PUBLISH)


@given(types, st.integers(0, 15), st.binary(max_size=80), st.none() | st.sampled_from(Version), st.sampled_from(Sender))
def test_garbage_is_a_violation_and_nothing_else(
    packet_type: int, flags: int, body: bytes, version: Version | None, sender: Sender
) -> None:
    flags = PACKETS[PacketType(packet_type)].flags if packet_type and flags < 12 else flags
    violation = violation_of(packet_type, flags, body, version, sender)
    if violation is None:
        packet = decode_packet(packet_type, flags, body, version, sender)
        assert type(packet) is PACKETS[PacketType(packet_type)].packet
    else:
        assert violation.reason_code >= ReasonCode.UNSPECIFIED_ERROR
        assert violation.detail.isprintable()


@given(sent_packets(), st.data())
def test_a_changed_byte_is_a_violation_or_another_packet(
    sent: tuple[Packet, Version, Sender], data: st.DataObject
) -> None:
    packet, version, sender = sent
    encoded = encode_packet(packet, version)
    body = bytearray(body_of(encoded))
    for _ in range(data.draw(st.integers(1, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        changed = decode_packet(encoded[0] >> 4, encoded[0] & 0x0F, bytes(body), version, sender)
    except ProtocolViolation:
        return
    assert type(changed) is type(packet)


@given(sent_packets(), st.integers(0, 100))
def test_a_packet_is_never_larger_than_the_peer_takes(sent: tuple[Packet, Version, Sender], size_max: int) -> None:
    packet, version, sender = sent
    encoded = encode_packet(packet, version, size_max)
    assert len(encoded) <= size_max
    whole = encode_packet(packet, version)
    shortest: Properties = {k: v for k, v in getattr(packet, "properties", {}).items() if k not in LEFT_OUT}  # type: ignore[assignment]
    least = encode_packet(msgspec.structs.replace(packet, properties=shortest), version) if shortest else b""
    if len(whole) <= size_max:
        assert encoded == whole
    elif encoded:
        assert len(encoded) >= len(least)
        without = decoded(encoded, version, sender)
        kept = getattr(without, "properties", {})
        dropped = [name for name in packet.properties if name not in kept]  # type: ignore[attr-defined]
        assert dropped
        assert set(dropped) <= set(LEFT_OUT)
        assert msgspec.structs.replace(packet, properties=kept) == without


def test_the_reason_string_goes_first_and_then_the_user_properties() -> None:
    said: Properties = {"user_properties": (("k", "v"),), "reason_string": "full", "assigned_client_identifier": "a"}
    packet = Connack(False, ReasonCode.SUCCESS, said)
    whole = encode_packet(packet, V5)
    assert len(whole) == 23
    assert encode_packet(packet, V5, 23) == whole
    user: Properties = {"user_properties": (("k", "v"),), "assigned_client_identifier": "a"}
    for size_max in (22, 16):
        assert encode_packet(packet, V5, size_max) == encode_packet(Connack(False, ReasonCode.SUCCESS, user), V5)
    least = encode_packet(Connack(False, ReasonCode.SUCCESS, {"assigned_client_identifier": "a"}), V5)
    for size_max in (15, 9):
        assert encode_packet(packet, V5, size_max) == least
    assert encode_packet(packet, V5, 8) == b""
    assert encode_packet(Pingresp(), V5, 1) == b""


@pytest.mark.parametrize(
    ("packet", "version", "encoded"),
    [
        (Connack(True), V5, "20 03 01 00 00"),
        (Connack(True), V3_1_1, "20 02 01 00"),
        (Connack(True), V3_1, "20 02 00 00"),
        (Connack(False, ReasonCode.BAD_USER_NAME_OR_PASSWORD), V3_1_1, "20 02 00 04"),
        (Connack(False, ReasonCode.SERVER_BUSY), V3_1_1, "20 02 00 03"),
        (Connack(False, ReasonCode.SERVER_BUSY), V5, "20 03 00 89 00"),
        (Connack(False, ReasonCode.SUCCESS, {"receive_maximum": 20, "maximum_qos": 1}), V5, "20080000 05 210014 2401"),
        (Suback(10, (ReasonCode.GRANTED_QOS_2, ReasonCode.NOT_AUTHORIZED)), V5, "90 05 000a 00 02 87"),
        (Suback(10, (ReasonCode.GRANTED_QOS_2, ReasonCode.NOT_AUTHORIZED)), V3_1_1, "90 04 000a 02 80"),
        (Unsuback(10, (ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED)), V5, "b0 05 000a 00 00 11"),
        (Unsuback(10, (ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED)), V3_1_1, "b0 02 000a"),
        (Puback(1), V5, "40 02 0001"),
        (Puback(1, ReasonCode.NOT_AUTHORIZED), V5, "40 03 0001 87"),
        (Puback(1, ReasonCode.SUCCESS, {"reason_string": "no"}), V5, "40 09 0001 00 05 1f00026e6f"),
        (Puback(1), V3_1_1, "40 02 0001"),
        (Pingresp(), V5, "d0 00"),
        (Disconnect(), V5, "e0 00"),
        (Disconnect(ReasonCode.SESSION_TAKEN_OVER), V5, "e0 02 8e 00"),
        (Disconnect(), V3_1_1, "e0 00"),
        (Auth(), V5, "f0 00"),
    ],
)  # fmt: skip
def test_answers_by_the_byte(packet: Packet, version: Version, encoded: str) -> None:
    assert encode_packet(packet, version).hex() == encoded.replace(" ", "")


def test_what_mqtt_3_can_not_say_is_not_written_as_a_success() -> None:
    with pytest.raises(AssertionError):
        encode_packet(Pubrec(1, ReasonCode.QUOTA_EXCEEDED), V3_1_1)
    with pytest.raises(KeyError):
        encode_packet(Connack(False, ReasonCode.MALFORMED_PACKET), V3_1_1)


@pytest.mark.parametrize("version", list(Version))
def test_codes_that_a_packet_does_not_carry_are_not_written(version: Version) -> None:
    for code in set(ReasonCode) - {code for code, packets in CARRIERS.items() if PacketType.PUBREC in packets}:
        if version is V5:
            with pytest.raises(AssertionError):
                encode_packet(Pubrec(1, code), version)


def test_return_codes_are_read_as_reason_codes() -> None:
    for code in ReturnCode:
        packet = decode_packet(2, 0, bytes((0, code)), V3_1_1, Sender.SERVER)
        assert isinstance(packet, Connack)
        assert encode_packet(packet, V3_1_1)[3] == code
    assert PACKET_SIZE_MAX == 268_435_460
