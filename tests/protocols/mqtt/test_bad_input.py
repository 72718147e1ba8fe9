"""Bad input by the byte: a test for each row about MQTT of what a broker must stand, as far as the codec sees it.

MQTT 5 is answered with the reason code, in CONNACK if CONNECT is at fault, else in DISCONNECT; MQTT 3 with the end of
the connection, and before it with the return code if it is CONNECT and there is one.
"""

from __future__ import annotations

import pytest

from protocols.mqtt.connect_codec import CLIENT_ID_SIZE_MAX
from protocols.mqtt.packet_codec import decode_packet
from protocols.mqtt.packet_fields import FILTER_COUNT_MAX
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import PACKETS, Auth, Connack, Connect, Disconnect, Suback, Subscribe, Unsubscribe, Will
from protocols.mqtt.properties import USER_PROPERTY_COUNT_MAX
from protocols.mqtt.reason_codes import RETURN_CODES, ReasonCode, ReturnCode
from protocols.mqtt.version import Version
from tests.protocols.mqtt.wire import answer_to, properties, string, violation_of

V3_1, V3_1_1, V5 = Version
V3 = (V3_1, V3_1_1)
OPENINGS = {V3_1: b"\0\x06MQIsdp\x03", V3_1_1: b"\0\x04MQTT\x04", V5: b"\0\x04MQTT\x05"}
CLEAN, WILL, WILL_QOS_1, WILL_RETAIN, PASSWORD, USER_NAME = 0x02, 0x04, 0x08, 0x20, 0x40, 0x80
ID = string("c")
CONTROLS = ("\x01", "\n", "\x1f", "\x7f", "\x85", "\x9f")


def connect(version: Version, flags: int, *fields: bytes, own: bytes = b"\0") -> bytes:
    """The body of a CONNECT; ``own``: its properties, in version 5."""
    return b"".join((OPENINGS[version], bytes((flags,)), b"\0\x3c", own if version is V5 else b"", *fields))


def will(version: Version, topic: str | bytes = "w", payload: bytes = b"", own: bytes = b"\0") -> bytes:
    return (own if version is V5 else b"") + string(topic) + string(payload)


def answer_to_connect(body: bytes) -> tuple[ReasonCode | None, Version | None]:
    violation = violation_of(1, 0, body, None)
    return (None, None) if violation is None else (violation.reason_code, violation.version)


def request(version: Version, text: str | bytes, options: int, packet_id: int = 1, own: bytes = b"\0") -> bytes:
    return packet_id.to_bytes(2, "big") + (own if version is V5 else b"") + string(text) + bytes((options,))


def unsubscribe(version: Version, text: str | bytes, packet_id: int = 1, own: bytes = b"\0") -> bytes:
    return packet_id.to_bytes(2, "big") + (own if version is V5 else b"") + string(text)


@pytest.mark.parametrize("version", list(Version))
def test_what_is_good_is_read(version: Version) -> None:
    flags = CLEAN | WILL | WILL_QOS_1 | WILL_RETAIN | PASSWORD | USER_NAME
    body = connect(version, flags, ID, will(version, "w/x", b"\xff"), string("ü"), string(b"\0\xff"))
    last_will = Will("w/x", b"\xff", 1, True)
    assert decode_packet(1, 0, body, None) == Connect(version, "c", True, 60, last_will, "ü", b"\0\xff")
    own = properties(b"\x0b\x80\x01")
    options = 2 if version is not V5 else 2 | 4 | 8 | 0x20
    subscribe = decode_packet(8, 2, request(version, "a/#", options, own=own), version)
    assert isinstance(subscribe, Subscribe)
    assert subscribe.requests[0].qos == 2
    assert subscribe.requests[0].retain_handling == (2 if version is V5 else 0)
    assert subscribe.properties == ({"subscription_identifiers": (128,)} if version is V5 else {})
    assert decode_packet(10, 2, unsubscribe(version, "a"), version) == Unsubscribe(1, ("a",))
    assert decode_packet(14, 0, b"", version) == Disconnect()


@pytest.mark.parametrize("packet_type", [t for t in PACKETS if t is not PacketType.CONNECT])
def test_nothing_comes_before_connect(packet_type: PacketType) -> None:
    violation = violation_of(packet_type, PACKETS[packet_type].flags, b"", None)
    assert violation is not None
    assert (violation.reason_code, violation.version) == (ReasonCode.PROTOCOL_ERROR, None)


@pytest.mark.parametrize("version", [None, *Version])
def test_type_0_and_auth_in_mqtt_3_are_malformed(version: Version | None) -> None:
    assert answer_to(0, 0, b"", version) is ReasonCode.MALFORMED_PACKET
    if version in V3:
        assert answer_to(15, 0, b"", version) is ReasonCode.MALFORMED_PACKET
        assert violation_of(14, 0, b"", version, Sender.SERVER) is not None


@pytest.mark.parametrize("version", list(Version))
def test_what_only_a_server_sends(version: Version) -> None:
    for packet_type in (PacketType.CONNACK, PacketType.SUBACK, PacketType.UNSUBACK, PacketType.PINGRESP):
        violation = violation_of(packet_type, 0, b"\0\1\0\0", version)
        assert violation is not None
        assert (violation.reason_code, violation.version) == (ReasonCode.PROTOCOL_ERROR, version)
    for packet_type in (PacketType.SUBSCRIBE, PacketType.PINGREQ):
        from_server = violation_of(packet_type, PACKETS[packet_type].flags, b"", version, Sender.SERVER)
        assert from_server is not None
        assert from_server.reason_code is ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("opening", "version", "return_code"),
    [
        (b"\0\x04MQTT\x03", V3_1_1, 1),
        (b"\0\x04MQTT\x00", V3_1_1, 1),
        (b"\0\x04MQTT\x06", V5, 1),
        (b"\0\x04MQTT\xff", V5, 1),
        (b"\0\x04MQTT\x80", V3_1_1, 1),
        (b"\0\x06MQIsdp\x04", V3_1_1, 1),
        (b"\0\x06MQIsdp\x02", V3_1_1, 1),
        (b"\0\x04mqtt\x04", None, 1),
        (b"\0\x05MQTT5\x05", None, 1),
        (b"\0\x00\x04", None, 1),
        (b"\0\x06MQTT", None, 1),
    ],
)
def test_a_version_that_is_not_spoken(opening: bytes, version: Version | None, return_code: int) -> None:
    answer = answer_to_connect(opening + b"\x02\0\x3c\0\x01c")
    assert answer == (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, version)
    assert RETURN_CODES[ReasonCode.UNSUPPORTED_PROTOCOL_VERSION] == return_code


@pytest.mark.parametrize("version", list(Version))
def test_a_bridge_says_so_in_the_protocol_level(version: Version) -> None:
    body = bytearray(connect(version, CLEAN, ID))
    body[len(OPENINGS[version]) - 1] |= 0x80
    assert decode_packet(1, 0, bytes(body), None) == Connect(version, "c", True, 60, bridge=True)


@pytest.mark.parametrize("version", list(Version))
def test_connect_cut_short_in_its_name_has_no_answer(version: Version) -> None:
    for size in range(len(OPENINGS[version])):
        answer = answer_to_connect(OPENINGS[version][:size])
        assert answer == (ReasonCode.MALFORMED_PACKET, None)


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (0x01, 0x81),  # reserved
        (0x01 | CLEAN, 0x81),
        (WILL | 0x18, 0x81),  # will QoS 3
        (WILL, 0x81),  # flags without fields
        (USER_NAME, 0x81),
        (PASSWORD | USER_NAME, 0x81),
        (WILL_RETAIN, 0x82),  # flags of a will without a will
        (WILL_QOS_1, 0x82),
        (0x10, 0x82),
        (0x18, 0x82),
        (PASSWORD, 0x81),  # without a user name, and without a field
    ],
)
def test_flags_of_connect(version: Version, flags: int, code: int) -> None:
    answer = answer_to_connect(connect(version, flags, ID))
    # MQTT 3.1 disregards a will's flags without a will, and lets the packet end before what the flags announce.
    lenient = version is V3_1 and (code == 0x82 or flags & (USER_NAME | PASSWORD))
    assert answer == ((None, None) if lenient else (code, version))
    if version in V3 and not lenient:
        assert ReasonCode(code) not in RETURN_CODES


def test_mqtt_3_1_lets_a_packet_end_before_the_user_name() -> None:
    assert decode_packet(1, 0, connect(V3_1, CLEAN | USER_NAME | PASSWORD, ID), None) == Connect(V3_1, "c", True, 60)
    body = connect(V3_1, CLEAN | USER_NAME | PASSWORD, ID, string("u"))
    assert decode_packet(1, 0, body, None) == Connect(V3_1, "c", True, 60, user_name="u")
    assert answer_to_connect(body + b"\0") == (ReasonCode.MALFORMED_PACKET, V3_1)


@pytest.mark.parametrize("version", list(Version))
def test_a_password_without_a_user_name(version: Version) -> None:
    answer = answer_to_connect(connect(version, CLEAN | PASSWORD, ID, string("p")))
    assert answer == ((None, None) if version is V5 else (ReasonCode.MALFORMED_PACKET, version))


@pytest.mark.parametrize(
    ("version", "flags", "refused"),
    [(V3_1, 0, True), (V3_1, CLEAN, True), (V3_1_1, 0, True), (V3_1_1, CLEAN, False), (V5, 0, False), (V5, 2, False)],
)
def test_an_empty_client_identifier(version: Version, flags: int, refused: bool) -> None:
    answer = answer_to_connect(connect(version, flags, string("")))
    assert answer == ((ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, version) if refused else (None, None))
    assert RETURN_CODES[ReasonCode.CLIENT_IDENTIFIER_NOT_VALID] is ReturnCode.IDENTIFIER_REJECTED


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize("unit", ["x", "ä", "漢"])
def test_the_longest_client_identifier(version: Version, unit: str) -> None:
    count = CLIENT_ID_SIZE_MAX // len(unit.encode())
    assert answer_to_connect(connect(version, CLEAN, string(unit * count))) == (None, None)
    answer = answer_to_connect(connect(version, CLEAN, string(unit * (count + 1))))
    assert answer == (ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, version)


BAD_TEXT = [
    b"\0",
    b"a\0b",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xe4",
    b"\xf4\x90\x80\x80",
    *map(str.encode, CONTROLS),
]


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize("text", BAD_TEXT)
def test_names_are_utf_8_without_control_characters(version: Version, text: bytes) -> None:
    bodies = (
        (1, 0, connect(version, CLEAN, string(text))),
        (1, 0, connect(version, CLEAN | USER_NAME, ID, string(text))),
        (1, 0, connect(version, CLEAN | WILL, ID, will(version, text))),
        (8, 2, request(version, text, 0)),
        (10, 2, unsubscribe(version, text)),
    )
    for packet_type, flags, body in bodies:
        violation = violation_of(packet_type, flags, body, None if packet_type == 1 else version)
        assert violation is not None
        assert (violation.reason_code, violation.version) == (ReasonCode.MALFORMED_PACKET, version)


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize("topic", ["", "#", "a/+", "a#", "/" * 128])
def test_the_topic_of_a_will(version: Version, topic: str) -> None:
    answer = answer_to_connect(connect(version, CLEAN | WILL, ID, will(version, topic)))
    assert answer == (ReasonCode.TOPIC_NAME_INVALID, version)
    assert ReasonCode.TOPIC_NAME_INVALID not in RETURN_CODES


def test_the_payload_of_a_will_is_what_it_is_said_to_be() -> None:
    for payload, flag, code in (
        (b"\xff", b"\x01\x01", 0x99),
        (b"\xff", b"\x01\0", None),
        (b"\xc3\xa4", b"\x01\1", None),
    ):
        body = connect(V5, CLEAN | WILL, ID, will(V5, payload=payload, own=properties(flag)))
        assert answer_to_connect(body)[0] == code


@pytest.mark.parametrize(
    ("own", "code"),
    [
        (properties(b"\x21\0\0"), 0x82),  # receive maximum 0
        (properties(b"\x27\0\0\0\0"), 0x82),  # maximum packet size 0
        (properties(b"\x21\0\1", b"\x21\0\1"), 0x82),  # twice
        (properties(b"\x17\x02"), 0x82),
        (properties(b"\x16\0\0"), 0x82),  # authentication data without a method
        (properties(b"\x16\0\0", b"\x15\0\x01m"), None),
        (properties(b"\x23\0\1"), 0x81),  # the wrong packet
        (properties(b"\x18\0\0\0\1"), 0x81),  # the will's
        (properties(b"\x1f\0\0"), 0x81),
        (properties(b"\x2b\0"), 0x81),  # no property
        (b"\x7f", 0x81),  # beyond the packet
        (b"\xff\xff\xff\xff\x01", 0x81),
        (b"\x04", 0x81),
    ],
)
def test_properties_of_connect(own: bytes, code: int | None) -> None:
    assert answer_to_connect(connect(V5, CLEAN, ID, own=own)) == (code, None if code is None else V5)
    assert answer_to_connect(connect(V5, CLEAN | WILL, ID, will(V5, own=b"\x7f")))[0] == 0x81
    assert answer_to_connect(connect(V5, CLEAN | WILL, ID, will(V5, own=properties(b"\x21\0\1"))))[0] == 0x81


@pytest.mark.parametrize("version", list(Version))
def test_bytes_after_the_end(version: Version) -> None:
    packets = [
        (1, 0, connect(version, CLEAN, ID)),
        (12, 0, b""),
        (14, 0, b"\0\0" if version is V5 else b""),
        (4, 0, b"\0\1\0\0" if version is V5 else b"\0\1"),
    ]
    if version is V5:
        packets.append((15, 0, b"\x18" + properties(b"\x15\0\1m")))
    for packet_type, flags, body in packets:
        current = None if packet_type == 1 else version
        assert answer_to(packet_type, flags, body, current) is None
        assert answer_to(packet_type, flags, body + b"\0", current) is ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize("packet_type", [4, 5, 6, 7, 8, 10])
def test_packet_identifier_0(version: Version, packet_type: int) -> None:
    flags = PACKETS[PacketType(packet_type)].flags
    rest = {8: request(version, "a", 0)[2:], 10: unsubscribe(version, "a")[2:]}.get(packet_type, b"")
    assert answer_to(packet_type, flags, b"\0\1" + rest, version) is None
    assert answer_to(packet_type, flags, b"\0\0" + rest, version) is ReasonCode.PROTOCOL_ERROR
    assert answer_to(packet_type, flags, b"\0", version) is ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("version", list(Version))
def test_no_topic_filter(version: Version) -> None:
    head = b"\0\1\0" if version is V5 else b"\0\1"
    for packet_type in (8, 10):
        assert answer_to(packet_type, 2, head, version) is ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("version", list(Version))
def test_too_many_topic_filters(version: Version) -> None:
    head = b"\0\1\0" if version is V5 else b"\0\1"
    for packet_type, one in ((8, b"\0\1a\0"), (10, b"\0\1a")):
        assert answer_to(packet_type, 2, head + one * FILTER_COUNT_MAX, version) is None
        assert answer_to(packet_type, 2, head + one * (FILTER_COUNT_MAX + 1), version) is ReasonCode.QUOTA_EXCEEDED


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize("options", range(256))
def test_subscription_options(version: Version, options: int) -> None:
    reserved = 0xC0 if version is V5 else 0xFC
    code: int | None = None
    if options & reserved:
        code = 0x81
    elif options & 3 == 3 or options & 0x30 == 0x30:
        code = 0x82
    assert answer_to(8, 2, request(version, "a", options), version) == code


def test_no_local_on_a_shared_subscription() -> None:
    assert answer_to(8, 2, request(V5, "$share/g/a", 4), V5) is ReasonCode.PROTOCOL_ERROR
    assert answer_to(8, 2, request(V5, "$share/g/a", 8), V5) is None
    assert answer_to(8, 2, request(V5, "$shared/a", 4), V5) is None


@pytest.mark.parametrize("text", ["a#", "+a", "a/#/b", "$share//x", ""])
def test_a_filter_that_is_none_is_for_suback_to_say(text: str) -> None:
    for version in Version:
        assert answer_to(8, 2, request(version, text, 0), version) is None
        assert answer_to(10, 2, unsubscribe(version, text), version) is None


@pytest.mark.parametrize(
    ("own", "code"),
    [
        (properties(b"\x0b\0"), 0x82),  # subscription identifier 0
        (properties(b"\x0b\1", b"\x0b\2"), 0x82),
        (properties(b"\x0b\xff\xff\xff\xff\x01"), 0x81),
        (properties(b"\x21\0\1"), 0x81),
        (b"\x7f", 0x81),
    ],
)
def test_properties_of_subscribe(own: bytes, code: int) -> None:
    assert answer_to(8, 2, request(V5, "a", 0, own=own), V5) == code


def test_properties_of_unsubscribe() -> None:
    assert answer_to(10, 2, unsubscribe(V5, "a", own=properties(b"\x0b\1")), V5) is ReasonCode.MALFORMED_PACKET
    assert answer_to(10, 2, unsubscribe(V5, "a", own=properties(b"\x26\0\1k\0\1v")), V5) is None


def test_too_many_user_properties() -> None:
    pair = b"\x26\0\0\0\0"
    for count, code in ((USER_PROPERTY_COUNT_MAX, None), (USER_PROPERTY_COUNT_MAX + 1, ReasonCode.QUOTA_EXCEEDED)):
        size = 5 * count
        own = bytes((size & 0x7F | 0x80, size >> 7)) + pair * count
        assert answer_to_connect(connect(V5, CLEAN, ID, own=own))[0] is code
        assert answer_to_connect(connect(V5, CLEAN | WILL, ID, will(V5, own=own)))[0] is code
        assert answer_to(8, 2, request(V5, "a", 0, own=own), V5) is code


@pytest.mark.parametrize("code", range(256))
def test_reason_codes_of_disconnect_and_auth(code: int) -> None:
    allowed = {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, *range(0x93, 0x9A)}
    for body in (bytes((code,)), bytes((code, 0))):
        assert answer_to(14, 0, body, V5) == (None if code in allowed else 0x82)
    assert answer_to(14, 0, bytes((code,)), V3_1_1) is ReasonCode.MALFORMED_PACKET
    method = properties(b"\x15\0\1m")
    assert answer_to(15, 0, bytes((code,)) + method, V5) == (None if code in (0x18, 0x19) else 0x82)


def test_properties_of_disconnect() -> None:
    assert decode_packet(14, 0, b"\x04" + properties(b"\x11\0\0\0\x09"), V5) == Disconnect(
        ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, {"session_expiry_interval": 9}
    )
    assert answer_to(14, 0, b"\0" + properties(b"\x1c\0\1s"), V5) is ReasonCode.PROTOCOL_ERROR
    assert answer_to(14, 0, b"\0" + properties(b"\x15\0\1m"), V5) is ReasonCode.MALFORMED_PACKET
    assert answer_to(14, 0, b"\0\x05", V5) is ReasonCode.MALFORMED_PACKET
    from_server = violation_of(14, 0, b"\x8b" + properties(b"\x11\0\0\0\x09"), V5, Sender.SERVER)
    assert from_server is not None
    assert from_server.reason_code is ReasonCode.PROTOCOL_ERROR


def test_auth_names_its_method() -> None:
    assert decode_packet(15, 0, b"\x18" + properties(b"\x15\0\1m", b"\x16\0\1d"), V5) == Auth(
        ReasonCode.CONTINUE_AUTHENTICATION, {"authentication_method": "m", "authentication_data": b"d"}
    )
    for body in (b"", b"\x18", b"\x18\0", b"\x19\0", b"\x18" + properties(b"\x16\0\1d"), b"\0\0"):
        assert answer_to(15, 0, body, V5) is ReasonCode.PROTOCOL_ERROR


def test_what_a_server_says_is_read_as_strictly() -> None:
    for version, body, code in (
        (V5, b"\x02\0\0", 0x81),  # reserved flag
        (V5, b"\1\x87\0", 0x82),  # session present and refused
        (V5, b"\0\x04\0", 0x82),
        (V3_1_1, b"\0\x06", 0x82),
        (V3_1_1, b"\1\5", 0x82),
        (V3_1_1, b"\0\0\0", 0x81),
    ):
        violation = violation_of(2, 0, body, version, Sender.SERVER)
        assert violation is not None
        assert violation.reason_code == code
    assert decode_packet(2, 0, b"\xff\0", V3_1, Sender.SERVER) == Connack(False)
    for version, body in ((V5, b"\0\1\0"), (V3_1_1, b"\0\1"), (V5, b"\0\1\0\x03"), (V3_1_1, b"\0\1\x87")):
        assert violation_of(9, 0, body, version, Sender.SERVER) is not None
    assert decode_packet(9, 0, b"\0\1\x80", V3_1_1, Sender.SERVER) == Suback(1, (ReasonCode.UNSPECIFIED_ERROR,))
