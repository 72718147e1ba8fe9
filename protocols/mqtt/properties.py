"""MQTT 5's properties: the table of them, and bytes to ``Properties`` and back.

Law: no bytes whatever make ``decode_properties`` raise anything but a ProtocolViolation.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias, TypedDict, get_type_hints

from protocols.mqtt.data_types import (
    VARIABLE_BYTE_INTEGER_MAX,
    decode_binary_data,
    decode_byte,
    decode_four_byte_integer,
    decode_name,
    decode_string,
    decode_string_pair,
    decode_two_byte_integer,
    decode_variable_byte_integer,
    encode_binary_data,
    encode_byte,
    encode_four_byte_integer,
    encode_string,
    encode_string_pair,
    encode_two_byte_integer,
    encode_variable_byte_integer,
)
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topic_name import topic_name_problem
from protocols.mqtt.violation import ProtocolViolation, malformed, protocol_error

USER_PROPERTY_COUNT_MAX = 1_024
"""In one packet: each is two strings to keep, and a packet could hold a million."""


class DataType(enum.Enum):
    """How a value is written; a topic name is a string that must be one."""

    BYTE = enum.auto()
    TWO_BYTE_INTEGER = enum.auto()
    FOUR_BYTE_INTEGER = enum.auto()
    VARIABLE_BYTE_INTEGER = enum.auto()
    STRING = enum.auto()
    TOPIC_NAME = enum.auto()
    BINARY_DATA = enum.auto()
    STRING_PAIR = enum.auto()


class Holder(enum.Flag):
    """What holds properties: most packets, and the will in CONNECT."""

    WILL = enum.auto()
    CONNECT = enum.auto()
    CONNACK = enum.auto()
    PUBLISH = enum.auto()
    PUBACK = enum.auto()
    PUBREC = enum.auto()
    PUBREL = enum.auto()
    PUBCOMP = enum.auto()
    SUBSCRIBE = enum.auto()
    SUBACK = enum.auto()
    UNSUBSCRIBE = enum.auto()
    UNSUBACK = enum.auto()
    DISCONNECT = enum.auto()
    AUTH = enum.auto()


_NONE = Holder(0)
_ALL = ~_NONE
_MESSAGE = Holder.PUBLISH | Holder.WILL
_CONNECTING = Holder.CONNECT | Holder.CONNACK
_ACKS = Holder.PUBACK | Holder.PUBREC | Holder.PUBREL | Holder.PUBCOMP | Holder.SUBACK | Holder.UNSUBACK


class Property(NamedTuple):
    """A row of the table.  Numbers have bounds where not all that fit the type are allowed; ``unbounded`` is what it is
    to break them.  What may repeat in any holder is a tuple in every one."""

    identifier: int
    type: DataType
    holders: Holder
    repeats_in: Holder = _NONE
    smallest: int = 0
    largest: int | None = None
    unbounded: ReasonCode = ReasonCode.PROTOCOL_ERROR


_Byte, _Short, _Long, _String = (
    DataType.BYTE,
    DataType.TWO_BYTE_INTEGER,
    DataType.FOUR_BYTE_INTEGER,
    DataType.STRING,
)
_SUBSCRIPTION_IDENTIFIER = Property(
    0x0B, DataType.VARIABLE_BYTE_INTEGER, Holder.PUBLISH | Holder.SUBSCRIBE, repeats_in=Holder.PUBLISH, smallest=1
)
_TOPIC_ALIAS = Property(0x23, _Short, Holder.PUBLISH, smallest=1, unbounded=ReasonCode.TOPIC_ALIAS_INVALID)


class Properties(TypedDict, total=False):
    """Those that are there, by name, and the table of all (MQTT 5, 2.2.2.2).  Intervals are seconds."""

    payload_format_indicator: Annotated[int, Property(0x01, _Byte, _MESSAGE, largest=1)]
    message_expiry_interval: Annotated[int, Property(0x02, _Long, _MESSAGE)]
    content_type: Annotated[str, Property(0x03, _String, _MESSAGE)]
    response_topic: Annotated[str, Property(0x08, DataType.TOPIC_NAME, _MESSAGE)]
    correlation_data: Annotated[bytes, Property(0x09, DataType.BINARY_DATA, _MESSAGE)]
    subscription_identifiers: Annotated[tuple[int, ...], _SUBSCRIPTION_IDENTIFIER]
    session_expiry_interval: Annotated[int, Property(0x11, _Long, _CONNECTING | Holder.DISCONNECT)]
    assigned_client_identifier: Annotated[str, Property(0x12, _String, Holder.CONNACK)]
    server_keep_alive: Annotated[int, Property(0x13, _Short, Holder.CONNACK)]
    authentication_method: Annotated[str, Property(0x15, _String, _CONNECTING | Holder.AUTH)]
    authentication_data: Annotated[bytes, Property(0x16, DataType.BINARY_DATA, _CONNECTING | Holder.AUTH)]
    request_problem_information: Annotated[int, Property(0x17, _Byte, Holder.CONNECT, largest=1)]
    will_delay_interval: Annotated[int, Property(0x18, _Long, Holder.WILL)]
    request_response_information: Annotated[int, Property(0x19, _Byte, Holder.CONNECT, largest=1)]
    response_information: Annotated[str, Property(0x1A, _String, Holder.CONNACK)]
    server_reference: Annotated[str, Property(0x1C, _String, Holder.CONNACK | Holder.DISCONNECT)]
    reason_string: Annotated[str, Property(0x1F, _String, _ACKS | Holder.CONNACK | Holder.DISCONNECT | Holder.AUTH)]
    receive_maximum: Annotated[int, Property(0x21, _Short, _CONNECTING, smallest=1)]
    topic_alias_maximum: Annotated[int, Property(0x22, _Short, _CONNECTING)]
    topic_alias: Annotated[int, _TOPIC_ALIAS]
    maximum_qos: Annotated[int, Property(0x24, _Byte, Holder.CONNACK, largest=1)]
    retain_available: Annotated[int, Property(0x25, _Byte, Holder.CONNACK, largest=1)]
    user_properties: Annotated[tuple[tuple[str, str], ...], Property(0x26, DataType.STRING_PAIR, _ALL, repeats_in=_ALL)]
    maximum_packet_size: Annotated[int, Property(0x27, _Long, _CONNECTING, smallest=1)]
    wildcard_subscription_available: Annotated[int, Property(0x28, _Byte, Holder.CONNACK, largest=1)]
    subscription_identifier_available: Annotated[int, Property(0x29, _Byte, Holder.CONNACK, largest=1)]
    shared_subscription_available: Annotated[int, Property(0x2A, _Byte, Holder.CONNACK, largest=1)]


PROPERTIES: Mapping[str, Property] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(Properties, include_extras=True).items()
}
"""The rows by name."""

_Decode: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
_Encode: TypeAlias = Callable[[Any], bytes]


def _decode_topic_name(data: bytes, position: int) -> tuple[str, int]:
    text, position = decode_name(data, position)
    if problem := topic_name_problem(text):
        raise ProtocolViolation(ReasonCode.TOPIC_NAME_INVALID, problem)
    return text, position


_CODECS: dict[DataType, tuple[_Decode, _Encode]] = {
    DataType.BYTE: (decode_byte, encode_byte),
    DataType.TWO_BYTE_INTEGER: (decode_two_byte_integer, encode_two_byte_integer),
    DataType.FOUR_BYTE_INTEGER: (decode_four_byte_integer, encode_four_byte_integer),
    DataType.VARIABLE_BYTE_INTEGER: (decode_variable_byte_integer, encode_variable_byte_integer),
    DataType.STRING: (decode_string, encode_string),
    DataType.TOPIC_NAME: (_decode_topic_name, encode_string),
    DataType.BINARY_DATA: (decode_binary_data, encode_binary_data),
    DataType.STRING_PAIR: (decode_string_pair, encode_string_pair),
}
LARGEST = {
    DataType.BYTE: 0xFF,
    DataType.TWO_BYTE_INTEGER: 0xFFFF,
    DataType.FOUR_BYTE_INTEGER: 0xFFFF_FFFF,
    DataType.VARIABLE_BYTE_INTEGER: VARIABLE_BYTE_INTEGER_MAX,
}
"""Of each type of number."""


def _decoder(name: str, row: Property) -> _Decode:
    decode = _CODECS[row.type][0]
    if not row.smallest and row.largest is None:
        return decode
    smallest = row.smallest
    largest = LARGEST[row.type] if row.largest is None else row.largest

    def decode_bounded(data: bytes, position: int) -> tuple[int, int]:
        value, position = decode(data, position)
        if not smallest <= value <= largest:
            raise ProtocolViolation(row.unbounded, f"{name} of {value}")
        return value, position

    return decode_bounded


def _encoder(row: Property) -> _Encode:
    encode = _bounded_encoder(row) if row.type in LARGEST else _CODECS[row.type][1]
    identifier = bytes((row.identifier,))
    if row.repeats_in:
        return lambda values: b"".join([identifier + encode(value) for value in values])
    return lambda value: identifier + encode(value)


def _bounded_encoder(row: Property) -> _Encode:
    encode = _CODECS[row.type][1]
    smallest = row.smallest
    largest = LARGEST[row.type] if row.largest is None else row.largest

    def encode_bounded(value: int) -> bytes:
        assert smallest <= value <= largest, value
        return encode(value)

    return encode_bounded


class _Reader(NamedTuple):
    """How a holder's property is read; ``count_max`` is 0 if its value is no tuple."""

    name: str
    decode: _Decode
    count_max: int


def _reader(name: str, row: Property, holder: Holder) -> _Reader:
    if not row.repeats_in:
        return _Reader(name, _decoder(name, row), 0)
    return _Reader(name, _decoder(name, row), USER_PROPERTY_COUNT_MAX if holder in row.repeats_in else 1)


_READERS: dict[Holder, dict[int, _Reader]] = {
    holder: {row.identifier: _reader(name, row, holder) for name, row in PROPERTIES.items() if holder in row.holders}
    for holder in Holder
}
_WRITERS: dict[Holder, dict[str, _Encode]] = {
    holder: {name: _encoder(row) for name, row in PROPERTIES.items() if holder in row.holders} for holder in Holder
}


def properties_decoder(holder: Holder) -> Callable[[bytes, int], tuple[Properties, int]]:
    """What reads the property length and the properties of such a holder, and gives the position after them.

    It raises ProtocolViolation: MALFORMED_PACKET for what is cut short, unknown or not this holder's; PROTOCOL_ERROR
    for what is there twice or out of bounds; QUOTA_EXCEEDED for more than USER_PROPERTY_COUNT_MAX.
    """
    readers = _READERS[holder]

    def decode_properties(data: bytes, position: int) -> tuple[Properties, int]:
        size, start = decode_variable_byte_integer(data, position)
        if not size:
            return {}, start
        end = start + size
        if end > len(data):
            raise malformed("property length goes beyond the packet")
        return _decode(readers, data[start:end]), end

    return decode_properties


def _decode(readers: dict[int, _Reader], data: bytes) -> Properties:
    values: dict[str, Any] = {}
    tuples: set[str] | None = None
    position, end = 0, len(data)
    while position < end:
        # All identifiers are below 0x80, so each is one byte of the variable byte integer that it is.
        reader = readers.get(data[position])
        if reader is None:
            raise malformed(f"property 0x{data[position]:02X} where there is none such")
        name, decode, count_max = reader
        value, position = decode(data, position + 1)
        if not count_max:
            if name in values:
                raise protocol_error(f"{name} is there twice")
            values[name] = value
            continue
        if name in values:
            values[name].append(value)
            _check_count(name, len(values[name]), count_max)
        else:
            values[name] = [value]
            tuples = {name, *(tuples or ())}
    for name in tuples or ():
        values[name] = tuple(values[name])
    return values  # type: ignore[return-value]  # by the table


def _check_count(name: str, count: int, count_max: int) -> None:
    if count <= count_max:
        return
    if count_max == 1:
        raise protocol_error(f"{name}: more than one")
    raise ProtocolViolation(ReasonCode.QUOTA_EXCEEDED, f"{name}: more than {count_max}")


def properties_encoder(holder: Holder) -> Callable[[Properties], bytes]:
    """What writes the property length and the properties of such a holder, in the order of the mapping."""
    writers = _WRITERS[holder]

    def encode_properties(properties: Properties) -> bytes:
        if not properties:
            return b"\0"
        encoded = b"".join([writers[name](value) for name, value in properties.items()])
        return encode_variable_byte_integer(len(encoded)) + encoded

    return encode_properties
