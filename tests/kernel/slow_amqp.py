"""AMQP 0-9-1 as slowly as it reads: the twin of the kernel's decoder, and builders of frames.

The twin is given a whole stream at once and resumed whenever it stops, so it keeps no state over reads.
Signatures of methods come from pamqp, which generated them from the specification.
Facts are what the frames say once runs are undone, so that two decodings of the same bytes can be compared.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from pamqp import commands

from kernel import (
    FLAG_BAD_EXPIRATION,
    FLAG_HAS_USER_ID,
    FLAG_MANDATORY,
    FLAG_PERSISTENT,
    AmqpDecoder,
    Heartbeat,
    MessageRun,
    Method,
    ProtocolHeader,
    SettleKind,
    Settlement,
    Violation,
)

Fact = tuple[Any, ...]

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
FRAME_SIZE_MAX = 4096
MESSAGE_SIZE_MAX = 10_000
CHANNEL_MAX = 2047
START_OK, SECURE_OK, TUNE_OK, OPEN = (10, 11), (10, 21), (10, 31), (10, 40)
PUBLISH, ACK, REJECT, NACK = (60, 40), (60, 80), (60, 90), (60, 120)
CLOSE_OK = (20, 41)
# Methods that only servers send; the adapter refuses them, so nobody looks at their arguments.
FROM_SERVERS = {
    (10, m) for m in (10, 20, 30, 41, 60, 61, 71)
} | {(20, 11)} | {(40, m) for m in (11, 21, 31, 51)} | {(50, m) for m in (11, 21, 31, 41, 51)} | {
    (60, m) for m in (11, 21, 50, 60, 71, 72, 111)
} | {(85, 11)} | {(90, m) for m in (11, 21, 31)}  # fmt: skip


# Builders


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(channel: int, ids: tuple[int, int], arguments: bytes = b"") -> bytes:
    return frame(METHOD, channel, struct.pack(">HH", *ids) + arguments)


def short_string(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def long_string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def publish(channel: int, exchange: bytes = b"", routing_key: bytes = b"q", bits: int = 0) -> bytes:
    return method(channel, PUBLISH, b"\0\0" + short_string(exchange) + short_string(routing_key) + bytes([bits]))


def header(channel: int, body_size: int, properties: bytes = b"\0\0") -> bytes:
    return frame(HEADER, channel, struct.pack(">HHQ", 60, 0, body_size) + properties)


def body(channel: int, payload: bytes) -> bytes:
    return frame(BODY, channel, payload)


def message(
    channel: int,
    payload: bytes = b"",
    *,
    exchange: bytes = b"",
    routing_key: bytes = b"q",
    bits: int = 0,
    properties: bytes = b"\0\0",
    piece: int = FRAME_SIZE_MAX - 8,
) -> bytes:
    """A whole publish, its body cut into frames of ``piece`` bytes."""
    pieces = [body(channel, payload[at : at + piece]) for at in range(0, len(payload), piece)]
    return publish(channel, exchange, routing_key, bits) + header(channel, len(payload), properties) + b"".join(pieces)


def handshake() -> bytes:
    """What a client sends until it is in its vhost."""
    start_ok = long_string(b"") + short_string(b"PLAIN") + long_string(b"\0guest\0guest") + short_string(b"en_US")
    return (
        PROTOCOL_HEADER
        + method(0, START_OK, start_ok)
        + method(0, TUNE_OK, struct.pack(">HIH", 2047, FRAME_SIZE_MAX, 60))
        + method(0, OPEN, short_string(b"/") + short_string(b"") + b"\0")
    )


# The kernel's decoder, undone into facts


def opened(frame_size_max: int = FRAME_SIZE_MAX, message_size_max: int = MESSAGE_SIZE_MAX) -> AmqpDecoder:
    """A decoder of a connection that is in its vhost."""
    decoder = AmqpDecoder(frame_size_max, message_size_max)
    decode_all(decoder, [handshake()])
    return decoder


def decode_all(decoder: AmqpDecoder, pieces: Sequence[bytes]) -> list[Fact]:
    """Feeds it piece by piece and resumes it whenever it stops."""
    facts: list[Fact] = []
    for piece in pieces:
        facts += to_facts(decoder.receive_data(piece))
        while decoder.stopped:
            facts += to_facts(decoder.resume())
    return facts


def to_facts(frames: Sequence[object]) -> Iterator[Fact]:
    for got in frames:
        match got:
            case MessageRun():
                assert got.count > 0
                assert got.keys() == list(dict.fromkeys(row[:2] for row in got.rows()))
                yield from (("message", got.channel, *row, got.priority(i)) for i, row in enumerate(got.rows()))
            case Settlement() if got.first == 0:
                yield "settle", got.channel, got.kind, True, got.last
            case Settlement():
                yield from (("settle", got.channel, got.kind, False, tag) for tag in range(got.first, got.last + 1))
            case Method():
                yield "method", got.channel, (got.class_id, got.method_id), got.arguments
            case ProtocolHeader():
                yield "header", got.data
            case Heartbeat():
                yield ("heartbeat",)
            case Violation():
                ids = (got.class_id, got.method_id)
                yield "violation", got.code, got.channel, ids, got.connection
            case _:
                raise AssertionError(got)


# The twin


class SlowViolation(Exception):
    def __init__(self, code: int, channel: int = 0, ids: tuple[int, int] = (0, 0)) -> None:
        self.fact = ("violation", code, channel, ids, True)


def decode_slowly(
    stream: bytes, frame_size_max: int = FRAME_SIZE_MAX, message_size_max: int = MESSAGE_SIZE_MAX
) -> list[Fact]:
    """All facts of a stream from its protocol header on."""
    facts: list[Fact] = []
    if len(stream) < 8:
        return facts
    facts.append(("header", stream[:8]))
    connection = SlowConnection(message_size_max)
    try:
        for kind, channel, payload in split_frames(stream[8:], frame_size_max):
            facts += connection.receive(kind, channel, payload)
    except SlowViolation as violation:
        facts.append(violation.fact)
    return facts


def split_frames(stream: bytes, frame_size_max: int) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while len(stream) - at >= 7:
        kind, channel, size = struct.unpack_from(">BHI", stream, at)
        if kind not in (METHOD, HEADER, BODY, HEARTBEAT) or size + 8 > frame_size_max:
            raise SlowViolation(501)
        if len(stream) - at < size + 8:
            return
        if stream[at + 7 + size] != 0xCE:
            raise SlowViolation(501)
        yield kind, channel, stream[at + 7 : at + 7 + size]
        at += size + 8


class SlowConnection:
    def __init__(self, message_size_max: int) -> None:
        self.message_size_max = message_size_max
        self.in_vhost = False
        self.messages: dict[int, dict[str, Any]] = {}

    def receive(self, kind: int, channel: int, payload: bytes) -> Iterator[Fact]:
        if not self.in_vhost and channel != 0:
            raise SlowViolation(505, channel)
        if kind == HEARTBEAT:
            if channel != 0:
                raise SlowViolation(505, channel)
            if payload:
                raise SlowViolation(501)
            yield ("heartbeat",)
        elif kind == METHOD:
            yield from self.receive_method(channel, payload)
        elif kind == HEADER:
            yield from self.receive_header(channel, payload)
        else:
            yield from self.receive_body(channel, payload)

    def receive_method(self, channel: int, payload: bytes) -> Iterator[Fact]:
        if len(payload) < 4:
            raise SlowViolation(502, channel)
        ids = struct.unpack_from(">HH", payload)
        arguments = payload[4:]
        if ids not in FROM_SERVERS:
            check_arguments(channel, ids, arguments)
        if ids == CLOSE_OK:
            self.messages.pop(channel, None)
        if channel in self.messages:
            raise SlowViolation(505, channel, ids)
        if ids[0] == 10 and channel != 0:
            raise SlowViolation(503, channel, ids)
        if ids == PUBLISH:
            self.receive_publish(channel, arguments)
        elif ids in (ACK, NACK, REJECT):
            yield settlement(channel, ids, arguments)
        else:
            self.in_vhost |= ids == OPEN
            yield "method", channel, ids, arguments

    def receive_publish(self, channel: int, arguments: bytes) -> None:
        exchange, rest = take_short_string(arguments[2:])
        routing_key, rest = take_short_string(rest)
        if rest[0] & 2:
            raise SlowViolation(540, channel, PUBLISH)
        if not 1 <= channel <= CHANNEL_MAX:
            raise SlowViolation(504, channel, PUBLISH)
        self.messages[channel] = {"key": (exchange, routing_key), "mandatory": rest[0] & 1, "left": None}

    def receive_header(self, channel: int, payload: bytes) -> Iterator[Fact]:
        open_message = self.messages.get(channel)
        if open_message is None or open_message["left"] is not None:
            raise SlowViolation(505, channel)
        if len(payload) < 12:
            raise SlowViolation(502, channel, PUBLISH)
        class_id, weight, size = struct.unpack_from(">HHQ", payload)
        if (class_id, weight) != (60, 0):
            raise SlowViolation(505, channel)
        try:
            facts = read_properties(payload[12:])
        except (ValueError, IndexError, struct.error) as problem:
            raise SlowViolation(502, channel, PUBLISH) from problem
        names = b"".join(open_message["key"]).decode()
        refused = size > self.message_size_max or any(unicodedata.category(c) == "Cc" for c in names)
        if refused:
            yield "violation", 406, channel, PUBLISH, False
        open_message |= {"left": size, "properties": payload[12:], "facts": facts, "body": b"", "dropped": refused}
        yield from self.end_message_if_whole(channel)

    def receive_body(self, channel: int, payload: bytes) -> Iterator[Fact]:
        open_message = self.messages.get(channel)
        if open_message is None or open_message["left"] is None:
            raise SlowViolation(505, channel)
        if len(payload) > open_message["left"]:
            raise SlowViolation(501, channel, PUBLISH)
        open_message["left"] -= len(payload)
        open_message["body"] += payload
        yield from self.end_message_if_whole(channel)

    def end_message_if_whole(self, channel: int) -> Iterator[Fact]:
        whole = self.messages[channel]
        if whole["left"] > 0:
            return
        del self.messages[channel]
        if not whole["dropped"]:
            flags, expiration_ms, priority = whole["facts"]
            flags |= FLAG_MANDATORY if whole["mandatory"] else 0
            content = (whole["properties"], whole["body"], flags, expiration_ms)
            yield "message", channel, *whole["key"], *content, priority


def settlement(channel: int, ids: tuple[int, int], arguments: bytes) -> Fact:
    tag, bits = struct.unpack(">QB", arguments)
    multiple = bool(bits & 1) and ids != REJECT
    if tag == 0 and not multiple:
        return "violation", 406, channel, ids, False
    requeue = bits & (1 if ids == REJECT else 2)
    kinds = {
        ACK: (SettleKind.ACK, SettleKind.ACK),
        NACK: (SettleKind.NACK, SettleKind.NACK_REQUEUE),
        REJECT: (SettleKind.REJECT, SettleKind.REJECT_REQUEUE),
    }
    return "settle", channel, kinds[ids][bool(requeue)], multiple, tag


def take_short_string(data: bytes) -> tuple[bytes, bytes]:
    size = data[0]
    if len(data) < 1 + size:
        raise ValueError("short string beyond its frame")
    return data[1 : 1 + size], data[1 + size :]


def take_long_string(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack_from(">I", data)
    if len(data) < 4 + size:
        raise ValueError("long string beyond its frame")
    return data[4 : 4 + size], data[4 + size :]


def take_fixed(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise ValueError("too short")
    return data[:size], data[size:]


FIXED_SIZES = {"bit": 1, "octet": 1, "short": 2, "long": 4, "longlong": 8, "timestamp": 8}


def check_arguments(channel: int, ids: tuple[int, int], arguments: bytes) -> None:
    known: Any = commands.INDEX_MAPPING.get(ids[0] << 16 | ids[1])
    if known is None:
        raise SlowViolation(540, channel, ids)
    rest, previous = arguments, ""
    try:
        for name in known.attributes():
            kind = known.amqp_type(name)
            # Bits in a row share an octet; no method has more than eight.
            if kind != "bit" or previous != "bit":
                rest = check_value(kind, rest)
            previous = kind
        if rest:
            raise ValueError("bytes after the arguments")
    except (ValueError, IndexError, struct.error) as problem:
        raise SlowViolation(502, channel, ids) from problem


def check_value(kind: str, data: bytes) -> bytes:
    """Checks the value in front and gives what follows it."""
    if kind == "shortstr":
        text, rest = take_short_string(data)
        text.decode()
        return rest
    if kind == "longstr":
        return take_long_string(data)[1]
    if kind == "table":
        content, rest = take_long_string(data)
        check_table(content)
        return rest
    return take_fixed(data, FIXED_SIZES[kind])[1]


FIELD_SIZES = {b"V": 0, b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"f": 4, b"D": 5,
               b"l": 8, b"d": 8, b"T": 8}  # fmt: skip


def check_table(data: bytes, named: bool = True, depth: int = 1) -> None:
    if depth > 32:
        raise ValueError("nested too deep")
    while data:
        if named:
            name, data = take_short_string(data)
            name.decode()
        kind, data = take_fixed(data, 1)
        if kind in (b"S", b"x", b"F", b"A"):
            content, data = take_long_string(data)
            if kind in (b"F", b"A"):
                check_table(content, kind == b"F", depth + 1)
        elif kind in FIELD_SIZES:
            data = take_fixed(data, FIELD_SIZES[kind])[1]
        else:
            raise ValueError("unknown type")


PROPERTIES = ("shortstr", "shortstr", "table", "octet", "octet", "shortstr", "shortstr", "shortstr", "shortstr",
              "timestamp", "shortstr", "shortstr", "shortstr", "shortstr")  # fmt: skip


def split_properties(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and value of each property that is there."""
    (present,) = struct.unpack_from(">H", data)
    if present & 3:
        raise ValueError("unknown property")
    rest = data[2:]
    for number, kind in enumerate(PROPERTIES):
        if not present & 0x8000 >> number:
            continue
        if kind == "shortstr":
            value, rest = take_short_string(rest)
        elif kind == "table":
            value, rest = take_long_string(rest)
            check_table(value)
        else:
            value, rest = take_fixed(rest, FIXED_SIZES[kind])
        yield number, value
    if rest:
        raise ValueError("bytes after the properties")


def read_properties(data: bytes) -> tuple[int, int | None, int]:
    """Flags, expiration and priority."""
    values = dict(split_properties(data))
    flags, expiration_ms = 0, None
    if values.get(3) == b"\2":
        flags |= FLAG_PERSISTENT
    if 11 in values:
        flags |= FLAG_HAS_USER_ID
    expiration = values.get(7, b"none")
    if expiration.isdigit() and int(expiration) < 2**32:
        expiration_ms = min(int(expiration), 2**32 - 2)
    elif 7 in values:
        flags |= FLAG_BAD_EXPIRATION
    return flags, expiration_ms, values.get(4, b"\0")[0]
