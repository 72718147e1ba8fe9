"""Coverage-guided fuzzing of the packet codec.

``python -m tests.protocols.mqtt.fuzz [--seconds 60] [--seed N] [--keep] [FILE...]``

Starts from ``corpus/``, where an input is the first byte of a packet, a byte for version and sender, and the body.
``FILE`` checks an input again.  ``fuzzing.py`` has the rest.
"""

from __future__ import annotations

import random
from pathlib import Path

from protocols.mqtt.packet_codec import decode_packet, encode_packet
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import PACKETS, Connect, Packet, Subscribe, Unsubscribe
from protocols.mqtt.properties import PROPERTIES
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topic_filter import TopicFilter, parse_filter
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation
from tests.protocols.fuzzing import TELLING, Target, main

CORPUS = Path(__file__).parent / "corpus"
VERSIONS = (None, *Version)
IDENTIFIERS = tuple(row.identifier for row in PROPERTIES.values())


def encode_input(packet: bytes, version: Version | None, sender: Sender, body: bytes) -> bytes:
    return packet[:1] + bytes((VERSIONS.index(version) << 1 | sender,)) + body


def check(data: bytes) -> None:
    """The laws; AssertionError, or whatever else is raised, where one is broken."""
    first, what = (*data[:2], 0, 0)[:2]
    packet_type, flags = first >> 4, first & 0x0F
    version, sender = VERSIONS[what >> 1 & 3], Sender(what & 1)
    if packet_type == PacketType.PUBLISH:
        return
    try:
        packet = decode_packet(packet_type, flags, data[2:], version, sender)
    except ProtocolViolation as violation:
        assert violation.reason_code >= ReasonCode.UNSPECIFIED_ERROR  # noqa: PT017
        assert violation.detail.isprintable()  # noqa: PT017
        return
    assert type(packet) is PACKETS[PacketType(packet_type)].packet
    spoken = packet.protocol_level if isinstance(packet, Connect) else version
    assert spoken is not None
    _check_again(packet, spoken, sender)
    _check_filters(packet)


def _check_again(packet: Packet, version: Version, sender: Sender) -> None:
    encoded = encode_packet(packet, version)
    size_size = next(size for size in range(1, 5) if encoded[size] < 0x80)
    again = decode_packet(encoded[0] >> 4, encoded[0] & 0x0F, encoded[1 + size_size :], version, sender)
    assert again == packet
    for size_max in (len(encoded) - 1, len(encoded) // 2, 2):
        assert len(encode_packet(packet, version, size_max)) <= size_max


def _check_filters(packet: Packet) -> None:
    filters: tuple[str, ...] = ()
    if isinstance(packet, Subscribe):
        filters = tuple(request.filter for request in packet.requests)
    elif isinstance(packet, Unsubscribe):
        filters = packet.filters
    for text in filters:
        parsed = parse_filter(text)
        if isinstance(parsed, TopicFilter):
            assert "/".join(parsed.levels) == parsed.filter
            assert parsed.filter


def _insert_property(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out[at:at] = bytes((rng.choice(IDENTIFIERS), 0, rng.randrange(4), *rng.choices(TELLING, k=3)))


def _retype(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out[:2] = bytes((rng.choice((*out[:1], rng.randrange(256))), rng.randrange(8)))


TARGET = Target("the MQTT packet codec", CORPUS, check, (_insert_property, _retype))

if __name__ == "__main__":
    main(TARGET)
