"""Properties: each in each holder, allowed or not, once or more often, in bounds or out of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.properties import (
    LARGEST,
    PROPERTIES,
    USER_PROPERTY_COUNT_MAX,
    DataType,
    Holder,
    properties_decoder,
    properties_encoder,
)
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.violation import ProtocolViolation
from tests.protocols.mqtt.drawn_packets import properties_of
from tests.protocols.mqtt.wire import properties, string

SAMPLES: dict[DataType, tuple[bytes, Any]] = {
    DataType.BYTE: (b"\x01", 1),
    DataType.TWO_BYTE_INTEGER: (b"\x01\x02", 0x0102),
    DataType.FOUR_BYTE_INTEGER: (b"\x01\x02\x03\x04", 0x01020304),
    DataType.VARIABLE_BYTE_INTEGER: (b"\x80\x01", 128),
    DataType.STRING: (b"\0\x02\xc3\xa4", "ä"),
    DataType.TOPIC_NAME: (b"\0\x03a/b", "a/b"),
    DataType.BINARY_DATA: (b"\0\x02\0\xff", b"\0\xff"),
    DataType.STRING_PAIR: (b"\0\x01k\0\x01v", ("k", "v")),
}
EACH = [(name, holder) for name in PROPERTIES for holder in Holder]


def answer(holder: Holder, data: bytes) -> ReasonCode | None:
    try:
        properties_decoder(holder)(data, 0)
    except ProtocolViolation as violation:
        return violation.reason_code
    return None


def test_the_table_is_that_of_the_specification() -> None:
    """MQTT 5, 2.2.2.2: identifiers, and how many holders each has."""
    counts = {row.identifier: len(row.holders) for row in PROPERTIES.values()}
    everywhere = len(Holder)
    assert counts == {
        0x01: 2, 0x02: 2, 0x03: 2, 0x08: 2, 0x09: 2, 0x0B: 2, 0x11: 3, 0x12: 1, 0x13: 1, 0x15: 3, 0x16: 3, 0x17: 1,
        0x18: 1, 0x19: 1, 0x1A: 1, 0x1C: 2, 0x1F: 9, 0x21: 2, 0x22: 2, 0x23: 1, 0x24: 1, 0x25: 1, 0x26: everywhere,
        0x27: 2, 0x28: 1, 0x29: 1, 0x2A: 1,
    }  # fmt: skip
    assert everywhere == 14


@pytest.mark.parametrize(("name", "holder"), EACH)
def test_a_property_is_there_or_in_the_wrong_place(name: str, holder: Holder) -> None:
    row = PROPERTIES[name]
    encoded, value = SAMPLES[row.type]
    section = properties(bytes((row.identifier,)) + encoded)
    if holder not in row.holders:
        assert answer(holder, section) is ReasonCode.MALFORMED_PACKET
        with pytest.raises(KeyError):
            properties_encoder(holder)({name: value})  # type: ignore[misc]
        return
    found = (value,) if row.repeats_in else value
    assert properties_decoder(holder)(section, 0) == ({name: found}, len(section))
    assert properties_encoder(holder)({name: found}) == section  # type: ignore[misc]


@pytest.mark.parametrize(("name", "holder"), [(n, h) for n, h in EACH if h in PROPERTIES[n].holders])
def test_a_property_that_is_there_twice(name: str, holder: Holder) -> None:
    row = PROPERTIES[name]
    one = bytes((row.identifier,)) + SAMPLES[row.type][0]
    other = properties(one, b"\x26\0\0\0\0", one)
    assert answer(holder, other) is (None if holder in row.repeats_in else ReasonCode.PROTOCOL_ERROR)


@pytest.mark.parametrize(("name", "holder"), [(n, h) for n, h in EACH if h in PROPERTIES[n].holders])
def test_a_property_cut_short(name: str, holder: Holder) -> None:
    row = PROPERTIES[name]
    whole = bytes((row.identifier,)) + SAMPLES[row.type][0]
    for size in range(1, len(whole)):
        assert answer(holder, properties(whole[:size])) is ReasonCode.MALFORMED_PACKET
        # What follows the properties is not theirs.
        assert answer(holder, properties(whole[:size]) + whole[size:]) is ReasonCode.MALFORMED_PACKET
        assert answer(holder, bytes((len(whole),)) + whole[:size]) is ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize(
    ("holder", "hex_bytes", "code"),
    [
        (Holder.CONNECT, "21 0000", 0x82),  # receive maximum
        (Holder.CONNECT, "27 00000000", 0x82),  # maximum packet size
        (Holder.CONNECT, "17 02", 0x82),  # request problem information
        (Holder.CONNECT, "19 02", 0x82),  # request response information
        (Holder.WILL, "01 02", 0x82),  # payload format indicator
        (Holder.SUBSCRIBE, "0b 00", 0x82),  # subscription identifier
        (Holder.SUBSCRIBE, "0b 01 0b 02", 0x82),
        (Holder.SUBSCRIBE, "0b ffffff7f", None),
        (Holder.SUBSCRIBE, "0b ffffffff", 0x81),
        (Holder.SUBSCRIBE, "0b ffffffff01", 0x81),
        (Holder.SUBSCRIBE, "0b 8100", 0x81),  # longer than it need be
        (Holder.SUBSCRIBE, "0b 8000", 0x81),
        (Holder.PUBLISH, "0b 01 0b 02", None),
        (Holder.PUBLISH, "23 0000", 0x94),  # topic alias
        (Holder.CONNACK, "24 02", 0x82),  # maximum QoS
        (Holder.CONNACK, "25 02", 0x82),
        (Holder.CONNACK, "28 02", 0x82),
        (Holder.CONNACK, "29 02", 0x82),
        (Holder.CONNACK, "2a 02", 0x82),
        (Holder.WILL, "08 0000", 0x90),  # response topic
        (Holder.WILL, "08 0001 2b", 0x90),
        (Holder.WILL, "08 0003 612f23", 0x90),
        (Holder.WILL, "08 0001 07", 0x81),
        (Holder.WILL, "03 0001 07", None),  # content type: other control characters are let through
        (Holder.WILL, "03 0001 00", 0x81),
        (Holder.WILL, "03 0003 eda080", 0x81),  # a surrogate
        (Holder.WILL, "03 0002 c080", 0x81),  # U+0000, too long
        (Holder.WILL, "03 0001 ff", 0x81),
        (Holder.WILL, "03 0004 f4908080", 0x81),  # beyond U+10FFFF
        (Holder.WILL, "03 0003 efbbbf", None),  # U+FEFF is kept ([MQTT-1.5.4-3])
        (Holder.CONNECT, "26 0001 6b 0001 00", 0x81),
        (Holder.CONNECT, "26 0001 ff 0001 76", 0x81),
        (Holder.CONNECT, "00", 0x81),
        (Holder.CONNECT, "7f", 0x81),
        (Holder.CONNECT, "9100 00000001", 0x81),  # an identifier longer than it need be
        (Holder.CONNECT, "ff", 0x81),
    ],
)
def test_bad_values_by_the_byte(holder: Holder, hex_bytes: str, code: int | None) -> None:
    assert answer(holder, properties(bytes.fromhex(hex_bytes))) == code


@pytest.mark.parametrize("length", ["", "01", "80", "8000", "ffffff7f", "ffffffff01", "05 2100"])
def test_a_bad_property_length(length: str) -> None:
    assert answer(Holder.CONNECT, bytes.fromhex(length)) is ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("name", [name for name, row in PROPERTIES.items() if row.type in LARGEST])
def test_our_own_numbers_are_in_bounds(name: str) -> None:
    row = PROPERTIES[name]
    largest = LARGEST[row.type] if row.largest is None else row.largest
    holder = next(holder for holder in Holder if holder in row.holders)
    for value in (row.smallest - 1, largest + 1):
        with pytest.raises(AssertionError):
            properties_encoder(holder)({name: (value,) if row.repeats_in else value})  # type: ignore[misc]


def test_user_properties_keep_their_order_and_have_a_limit() -> None:
    pair = b"\x26" + string("k") + string("v")
    kept = properties_decoder(Holder.SUBACK)(properties(pair, b"\x26\0\x01a\0\0", b"\x1f\0\0", pair), 0)[0]
    assert kept == {"user_properties": (("k", "v"), ("a", ""), ("k", "v")), "reason_string": ""}
    for count, code in ((USER_PROPERTY_COUNT_MAX, None), (USER_PROPERTY_COUNT_MAX + 1, ReasonCode.QUOTA_EXCEEDED)):
        section = pair * count
        size = len(section)
        assert answer(Holder.CONNECT, bytes((size & 0x7F | 0x80, size >> 7)) + section) is code


@pytest.mark.parametrize("holder", list(Holder))
@given(st.data())
def test_what_is_encoded_is_decoded(holder: Holder, data: st.DataObject) -> None:
    drawn = data.draw(properties_of(holder))
    encoded = properties_encoder(holder)(drawn)
    decoded, position = properties_decoder(holder)(b"\xff" + encoded + b"\0", 1)
    assert (decoded, position) == (drawn, 1 + len(encoded))
    assert list(decoded) == list(drawn)


@pytest.mark.parametrize("holder", list(Holder))
@given(st.binary(max_size=60))
def test_garbage_is_a_violation_and_nothing_else(holder: Holder, data: bytes) -> None:
    found = answer(holder, bytes((len(data),)) + data)
    allowed = {ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR, ReasonCode.TOPIC_NAME_INVALID}
    assert found in (None, ReasonCode.TOPIC_ALIAS_INVALID, *allowed)
