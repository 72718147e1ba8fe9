"""Bad input by the byte, as the adapter answers it: what is said, and that it hangs up.

``test_bad_input.py`` has what the codec alone knows.  MQTT 5 is told the reason in CONNACK or DISCONNECT; MQTT 3 has a
return code in CONNACK, or none.
"""

from __future__ import annotations

import pytest

import kernel
from broker.model import client_sessions as cs
from broker.model import replies
from broker.model.names import ClientId
from kernel import PacketIds
from protocols.mqtt.connect_codec import CLIENT_ID_SIZE_MAX
from protocols.mqtt.packet_codec import encode_packet
from protocols.mqtt.packet_type import PacketType
from protocols.mqtt.packets import (
    Auth,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
)
from protocols.mqtt.reason_codes import RETURN_CODES, ReasonCode
from protocols.mqtt.settings import CONNECT_SIZE_MAX
from protocols.mqtt.version import Version
from tests.protocols.mqtt.conversation import Conversation, connected, messages, packet, publish, server_packets
from tests.protocols.mqtt.wire import properties, remaining_length, string

V3_1, V3_1_1, V5 = Version
VERSIONS = list(Version)
V3 = [V3_1, V3_1_1]


def said(talk: Conversation, data: bytes) -> tuple[list[tuple[int, bytes]], list[str], bool]:
    """Packets, commands and whether it hangs up, after these bytes."""
    talk.adapter.receive_data(data, talk.now)
    ready = talk.adapter.take_ready()
    output = b"".join(bytes(part) for part in ready.output)
    return server_packets(output), [type(command).__name__ for command in ready.commands], ready.closing


def reason_of(talk: Conversation, data: bytes) -> int | None:
    """The reason code of the DISCONNECT, or of the CONNACK that refuses, behind which it hangs up; None: it is mute.

    Whatever is refused so asks nothing of the core.
    """
    packets, commands, closing = said(talk, data)
    assert closing
    assert commands == []
    if not packets:
        return None
    ((first, body),) = packets
    if first == PacketType.CONNACK << 4:
        assert not body[0]
        return body[1]
    assert (first, talk.version) == (PacketType.DISCONNECT << 4, V5)
    return body[0]


def expected(version: Version, code: int) -> int | None:
    return code if version is V5 else None


def own(version: Version) -> bytes:
    return b"\0" if version is V5 else b""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc0\x80\x80\x80\x80\x01", 0x81),  # a remaining length of five bytes
        (b"\xc0\xff\xff\xff\xff", 0x81),
        (b"\x00\x00", 0x81),  # type 0
        (b"\x36\x05\0\1t\0\1", 0x81),  # QoS 3
        (b"\x3e\x05\0\1t\0\1", 0x81),
        (b"\xc0\x01\0", 0x81),  # PINGREQ with a body
        (b"\x20\x02\0\0", 0x82),  # what servers send
        (b"\x90\x03\0\1\0", 0x82),
        (b"\xb0\x02\0\1", 0x82),
        (b"\xd0\x00", 0x82),
    ],
)
def test_what_is_malformed_in_every_version(version: Version, data: bytes, code: int) -> None:
    assert reason_of(connected(version), data) == expected(version, code)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (b"", 0x82),
        (b"a/+", 0x90),
        (b"#", 0x90),
        (b"a/" * 128, 0x90),
        (b"a\0", 0x81),
        (b"\xff", 0x81),
        (b"\xed\xa0\x80", 0x81),
        (b"a\nb", 0x81),
    ],
)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_topic_of_a_publish(version: Version, topic: bytes, code: int, qos: int) -> None:
    body = string(topic) + (b"\0\1" if qos else b"") + own(version)
    reason = reason_of(connected(version), packet(0x30 | qos << 1, body))
    if version in V3 or not topic:
        assert reason in (None, 0x82, 0x90)
        assert (reason is None) == (version in V3)
    else:
        assert reason == code


@pytest.mark.parametrize("version", VERSIONS)
def test_packet_identifier_0(version: Version) -> None:
    bodies = [
        (0x32, string("t") + b"\0\0" + own(version)),
        (0x34, string("t") + b"\0\0" + own(version)),
        (0x40, b"\0\0"),
        (0x50, b"\0\0"),
        (0x62, b"\0\0"),
        (0x70, b"\0\0"),
        (0x82, b"\0\0" + own(version) + string("a") + b"\0"),
        (0xA2, b"\0\0" + own(version) + string("a")),
    ]
    for first, body in bodies:
        reason = reason_of(connected(version), packet(first, body))
        assert (reason in (0x81, 0x82)) if version is V5 else reason is None


@pytest.mark.parametrize(
    ("own_properties", "code"),
    [
        (b"\x23\0\0", 0x94),  # alias 0
        (b"\x23\0\x11", 0x94),  # over the maximum
        (b"\x23\0\1\x23\0\1", 0x82),  # twice
        (b"\x01\1\x01\1", 0x82),
        (b"\x02\0\0\0\1\x02\0\0\0\1", 0x82),
        (b"\x0b\1", 0x82),  # a client's subscription identifier
        (b"\x21\0\1", 0x81),  # the wrong packet
        (b"\x7f", 0x81),  # no property
        (b"\x26\0\1a\0\1\xff", 0x81),  # malformed UTF-8 in either half of a pair
        (b"\x26\0\1\xff\0\1a", 0x81),
        (b"\x26\0\1\0\0\1a", 0x81),
        (b"\x26\0\1a", 0x81),
        (b"\x03\0\2\xc3\x28", 0x81),
        (b"\x08\0\1#", 0x82),  # a wildcard in a response topic
        (b"\x08\0\3a/+", 0x82),
        (b"\x01\2", 0x82),
    ],
)
def test_properties_of_publish(own_properties: bytes, code: int) -> None:
    body = string("t") + properties(own_properties) + b"x"
    assert reason_of(connected(V5), packet(0x30, body)) == code
    whole = string("t") + properties(own_properties)
    assert reason_of(connected(V5), packet(0x30, whole[:3] + b"\x7f" + whole[4:])) == 0x81


def test_a_payload_that_is_not_what_it_is_said_to_be() -> None:
    body = string("t") + b"\0\1" + properties(b"\x01\1")
    assert reason_of(connected(V5), packet(0x32, body + b"\xff")) == 0x99
    _, commands, closing = said(connected(V5), packet(0x32, body + "é".encode()))
    assert (commands, closing) == (["Publish"], False)


def test_an_alias_is_the_connections_own() -> None:
    first = connected(V5)
    first.sends(publish(V5, "t", properties={"topic_alias": 1}))
    assert reason_of(connected(V5), publish(V5, "", properties={"topic_alias": 1})) == 0x82


@pytest.mark.parametrize("version", VERSIONS)
def test_empty_subscribe_and_unsubscribe(version: Version) -> None:
    for first in (0x82, 0xA2):
        assert reason_of(connected(version), packet(first, b"\0\1" + own(version))) == expected(version, 0x82)


@pytest.mark.parametrize("version", VERSIONS)
def test_reserved_subscription_options(version: Version) -> None:
    for options, code in ((0x03, 0x82), (0x40, 0x81), (0x80, 0x81), (0x30, 0x82), (0xFC, 0x81)):
        body = b"\0\1" + own(version) + string("a") + bytes((options,))
        assert reason_of(connected(version), packet(0x82, body)) == expected(version, code)


def test_no_local_on_a_shared_subscription() -> None:
    body = b"\0\1\0" + string("$share/g/a") + b"\x04"
    assert reason_of(connected(V5), packet(0x82, body)) == 0x82


@pytest.mark.parametrize("version", VERSIONS)
def test_a_packet_that_is_too_large_is_refused_by_its_head(version: Version) -> None:
    """Before CONNECT nobody knows how to say so."""
    head = b"\x30" + remaining_length(5_000)
    assert reason_of(connected(version, packet_size_max=5_000), head) == expected(version, 0x95)
    assert reason_of(Conversation(version), b"\x10" + remaining_length(CONNECT_SIZE_MAX)) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_second_connect(version: Version) -> None:
    again = encode_packet(Connect(version, "d"), version)
    assert reason_of(connected(version), again) == expected(version, 0x82)


def connect(version: Version, flags: int, *fields: bytes) -> bytes:
    name = b"\0\x06MQIsdp" if version is V3_1 else b"\0\x04MQTT"
    return packet(0x10, b"".join((name, bytes((version, flags)), b"\0\x3c", own(version), *fields)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("flags", "fields", "code"),
    [
        (0x03, (string("c"),), 0x81),  # the reserved flag
        (0x06, (string("c"),), 0x81),  # a will without its fields
        (0x1E, (string("c"),), 0x81),  # its QoS 3
        (0x02, (string("c" * (CLIENT_ID_SIZE_MAX + 1)),), 0x85),
        (0x02, (string(b"\xff"),), 0x81),
        (0x02, (string("c"), b"\0"), 0x81),  # goes on after its end
    ],
)
def test_a_bad_connect(version: Version, flags: int, fields: tuple[bytes, ...], code: int) -> None:
    reason = reason_of(Conversation(version), connect(version, flags, *fields))
    assert reason == (code if version is V5 else RETURN_CODES.get(ReasonCode(code)))


@pytest.mark.parametrize("topic", ["", "a/#", "+", "/" * 128])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_topic_of_a_will(version: Version, topic: str) -> None:
    data = connect(version, 0x06, string("c"), own(version), string(topic), string("x"))
    assert reason_of(Conversation(version), data) == expected(version, 0x90)


@pytest.mark.parametrize(
    ("name", "level", "reason"),
    [(b"MQTT", 6, 0x84), (b"MQTT", 3, 1), (b"MQIsdp", 4, 1), (b"mqtt", 4, None), (b"HTTP", 4, None)],
)
def test_a_version_that_is_not_spoken(name: bytes, level: int, reason: int | None) -> None:
    data = packet(0x10, string(name) + bytes((level, 2)) + b"\0\x3c\0\1c")
    assert reason_of(Conversation(V5), data) == reason


@pytest.mark.parametrize("code", range(256))
def test_the_reason_of_a_disconnect(code: int) -> None:
    """A reserved one is a protocol error, and sends the will: no goodbye was said."""
    packets, commands, closing = said(connected(V5), bytes((0xE0, 1, code)))
    assert closing
    if commands:
        assert not packets
        assert commands == ["DetachSession"]
    else:
        assert packets[0][1][0] == 0x82
    allowed = {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, *range(0x93, 0x9A)}
    assert bool(commands) == (code in allowed)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_comes_behind_disconnect_is_not_looked_at(version: Version) -> None:
    data = encode_packet(Disconnect(), version) + publish(version, qos=1, id=1) + b"\xff\xff"
    assert said(connected(version), data) == ([], ["DetachSession"], True)
    assert said(connected(version), data + data) == ([], ["DetachSession"], True)


def whole_packets(version: Version) -> dict[str, bytes]:
    """One of each that a client may send."""
    request = SubscriptionRequest("a/b", 1)
    kinds: list[Packet] = [
        Puback(1),
        Pubrec(1),
        Pubrel(1),
        Pubcomp(1),
        Subscribe(1, (request,)),
        Unsubscribe(1, ("a/b",)),
        Pingreq(),
        Disconnect(),
    ]
    if version is V5:
        kinds += [
            Puback(1, ReasonCode.QUOTA_EXCEEDED, {"reason_string": "full"}),
            Pubrec(1, ReasonCode.QUOTA_EXCEEDED, {"user_properties": (("a", "b"),)}),
            Pubrel(1, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND, {"reason_string": "what"}),
            Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, {"session_expiry_interval": 0}),
            Subscribe(1, (request,), {"subscription_identifiers": (200,)}),
            Auth(ReasonCode.RE_AUTHENTICATE, {"authentication_method": "m", "authentication_data": b"d"}),
        ]
    encoded = {f"{type(kind).__name__} {index}": encode_packet(kind, version) for index, kind in enumerate(kinds)}
    encoded |= {f"Publish {qos}": publish(version, "a/b", b"x", qos, 1) for qos in range(3)}
    if version is V5:
        encoded["Publish with properties"] = publish(V5, "a", b"", 1, 1, properties={"content_type": "text"})
    return encoded


def body_at(encoded: bytes) -> int:
    return next(at for at in range(1, 5) if encoded[at] < 0x80) + 1


@pytest.mark.parametrize("version", VERSIONS)
def test_every_packet_cut_at_every_byte(version: Version) -> None:
    """Cut and closed by a shorter length it is malformed, or a shorter packet; cut and open it waits for the rest."""
    for name, encoded in whole_packets(version).items():
        start = body_at(encoded)
        for size in range(len(encoded)):
            assert said(connected(version), encoded[:size]) == ([], [], False), name
        for size in range(len(encoded) - start):
            talk = connected(version)
            packets, commands, closing = said(talk, packet(encoded[0], encoded[start : start + size]))
            if closing and "DetachSession" not in commands:
                assert commands == []
                if version is V5:
                    ((first, body),) = packets
                    assert first == 0xE0
                    assert body[0] in (0x81, 0x82, 0x90)
                else:
                    assert packets == []
            else:
                may_be_shorter = ("Publish", "Puback", "Pubrec", "Pubrel", "Pubcomp", "Disconnect", "Subscribe", "Auth")
                assert name.startswith(may_be_shorter), (name, size)


@pytest.mark.parametrize("version", VERSIONS)
def test_connect_cut_at_every_byte(version: Version) -> None:
    will = Will("w", b"x", 1)
    encoded = encode_packet(Connect(version, "c", will=will, user_name="u", password=b"p"), version)
    start = body_at(encoded)
    for size in range(len(encoded) - start):
        talk = Conversation(version)
        packets, commands, closing = said(talk, packet(0x10, encoded[start : start + size]))
        if version is V3_1 and not closing:
            assert commands in (["Authenticate"], ["AuthenticateAnonymous"])  # it may end before user name and password
            continue
        assert (commands, closing) == ([], True)
        assert [body[1] for _, body in packets] == ([0x81] if version is V5 and size > 6 else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_packet_with_every_reserved_flag(version: Version) -> None:
    """PUBLISH has none; MQTT 3.1 has DUP on what is sent again."""
    for name, encoded in whole_packets(version).items():
        if name.startswith("Publish"):
            continue
        for flags in range(16):
            if flags == encoded[0] & 0x0F or (version is V3_1 and encoded[0] & 2 and flags == 0x0A):
                continue
            data = bytes((encoded[0] & 0xF0 | flags,)) + encoded[1:]
            assert reason_of(connected(version), data) == expected(version, 0x81), (name, flags)
    for flags in range(1, 16):
        encoded = encode_packet(Connect(version, "c"), version)
        assert reason_of(Conversation(version), bytes((0x10 | flags,)) + encoded[1:]) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_packet_before_connect_is_hung_up_on(version: Version) -> None:
    for encoded in whole_packets(version).values():
        assert reason_of(Conversation(version), encoded) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_packet_waits_for_connack(version: Version) -> None:
    """While it logs in, while it attaches; if it is refused, nobody ever looks."""
    for encoded in whole_packets(version).values():
        opening = encode_packet(Connect(version, "c"), version)
        talk = Conversation(version)
        assert said(talk, opening + encoded) == ([], ["AuthenticateAnonymous"], False)
        talk.core(replies.Authenticated())
        (attaching,) = talk.core(replies.VhostOpened())
        assert "AttachSession" in attaching
        lines = talk.core(cs.SessionAttached(ClientId("c"), False))
        assert lines[0].startswith("S: connack")
        alone = connected(version)
        alone_lines = alone.sends(encoded)
        assert [line for line in lines[1:] if "deadline" not in line] == [
            line for line in alone_lines if "deadline" not in line
        ]


@pytest.mark.parametrize("frames", ["publishes", "acks"])
def test_what_no_decoder_would_hand_on_before_connack_is_refused(frames: str) -> None:
    """A second fence."""
    talk = Conversation(V5)
    talk.sends(encode_packet(Connect(V5, "c"), V5))
    frame = (
        kernel.Publishes(1, messages("x", qos=1), PacketIds.of([1]))
        if frames == "publishes"
        else kernel.Acks(4, 0, PacketIds.of([1]))
    )
    assert talk.frames(frame)[0].startswith("S: connack PROTOCOL_ERROR")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_packet_after_the_end_is_nothing(version: Version) -> None:
    for encoded in whole_packets(version).values():
        talk = connected(version)
        talk.sends(encode_packet(Disconnect(), version))
        assert said(talk, encoded) == ([], [], True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_v3_shaped_acknowledgement_is_legal_in_every_version(version: Version) -> None:
    """[MQTT-3.4.2-1]: a remaining length of 2."""
    for first in (0x40, 0x50, 0x62, 0x70):
        packets, commands, closing = said(connected(version), bytes((first, 2, 0, 1)))
        assert (packets, closing) == ([], False)
        assert commands == ["Release" if first == 0x62 else "Acknowledge"]


@pytest.mark.parametrize("code", range(256))
@pytest.mark.parametrize("first", [0x40, 0x50, 0x62, 0x70])
def test_reason_codes_of_acknowledgements(first: int, code: int) -> None:
    acks = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
    allowed = acks if first in (0x40, 0x50) else {0x00, 0x92}
    packets, commands, closing = said(connected(V5), bytes((first, 3, 0, 1, code)))
    assert closing == (code not in allowed)
    assert bool(commands) == (code in allowed)
    assert [body[0] for _, body in packets] == ([] if code in allowed else [0x82])
