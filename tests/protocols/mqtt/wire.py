"""Bytes by hand, for tests."""

from __future__ import annotations

from protocols.mqtt.data_types import encode_variable_byte_integer
from protocols.mqtt.packet_codec import decode_packet
from protocols.mqtt.packet_type import Sender
from protocols.mqtt.packets import Packet
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation


def body_of(packet: bytes) -> bytes:
    """What follows the fixed header; the remaining length is right."""
    position, shift, size = 1, 0, 0
    while True:
        size |= (packet[position] & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if packet[position - 1] < 0x80:
            break
    assert len(packet) == position + size
    return packet[position:]


def decoded(packet: bytes, version: Version | None, sender: Sender = Sender.CLIENT) -> Packet:
    """A whole packet, as the decoder of the kernel would hand it on."""
    return decode_packet(packet[0] >> 4, packet[0] & 0x0F, body_of(packet), version, sender)


def violation_of(
    packet_type: int, flags: int, body: bytes, version: Version | None, sender: Sender = Sender.CLIENT
) -> ProtocolViolation | None:
    try:
        decode_packet(packet_type, flags, body, version, sender)
    except ProtocolViolation as violation:
        return violation
    return None


def answer_to(packet_type: int, flags: int, body: bytes, version: Version | None) -> ReasonCode | None:
    """The reason code of the violation; None if there is none."""
    violation = violation_of(packet_type, flags, body, version)
    return None if violation is None else violation.reason_code


def string(text: str | bytes) -> bytes:
    encoded = text.encode() if isinstance(text, str) else text
    return len(encoded).to_bytes(2, "big") + encoded


def properties(*parts: bytes) -> bytes:
    """The property length, of less than 128, and the properties."""
    joined = b"".join(parts)
    assert len(joined) < 0x80
    return bytes((len(joined),)) + joined


def remaining_length(size: int) -> bytes:
    """How a packet says how long it is."""
    return encode_variable_byte_integer(size)
