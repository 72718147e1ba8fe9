"""The kernel's AMQP decoder: its laws against the slow twin, and each row of bad input by its bytes."""

from __future__ import annotations

import itertools
import random
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp import frame as pamqp_frame
from pamqp import header as pamqp_header

from kernel import AmqpDecoder, Heartbeat, MessageRun, Method, Settlement, Violation
from tests.kernel.slow_amqp import (
    ACK,
    BODY,
    CLOSE_OK,
    FRAME_SIZE_MAX,
    FROM_SERVERS,
    HEADER,
    HEARTBEAT,
    MESSAGE_SIZE_MAX,
    METHOD,
    NACK,
    PROTOCOL_HEADER,
    PUBLISH,
    REJECT,
    Fact,
    body,
    decode_all,
    decode_slowly,
    frame,
    handshake,
    header,
    long_string,
    message,
    method,
    opened,
    publish,
    read_properties,
    short_string,
)

CORPUS = Path(__file__).parent / "corpus" / "amqp"

# Streams a client could send: mostly right, some bent.

CHANNELS = st.integers(1, 3)
NAMES = st.sampled_from([b"", b"q", b"a\nb", b"orders.new", "pedido-ñ".encode(), b"\xff", b"k" * 255])
HEADERS = st.sampled_from([b"", b"\x01at\x01", b"\x01kF\0\0\0\x03\x01aV", b"\x01kF\0\0\0\xff", b"\x01k?"])


@st.composite
def properties(draw: st.DrawFn) -> bytes:
    present = draw(st.sampled_from([0, 0x1000, 0x1800, 0x3100, 0xFFFC]) | st.integers(0, 0xFFFF))
    kinds = ["s", "s", "h", "m", "p", "s", "s", "e", "s", "t", "s", "s", "s", "s"]
    drawn = {
        "s": NAMES.map(short_string),
        "h": HEADERS.map(long_string),
        "m": st.sampled_from([b"\1", b"\2", b"\3"]),
        "p": st.binary(min_size=1, max_size=1),
        "e": st.sampled_from([b"0", b"60000", b"", b"-1", b"4294967295", b"4294967296"]).map(short_string),
        "t": st.binary(min_size=8, max_size=8),
    }
    values = [draw(drawn[kind]) for number, kind in enumerate(kinds) if present & 0x8000 >> number]
    return struct.pack(">H", present) + b"".join(values)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    size = draw(st.sampled_from([0, 1, 16, 300, 5000, MESSAGE_SIZE_MAX, MESSAGE_SIZE_MAX + 1]))
    return message(
        draw(CHANNELS),
        bytes(size),
        exchange=draw(NAMES),
        routing_key=draw(NAMES),
        bits=draw(st.sampled_from([0, 0, 1, 2])),
        properties=draw(properties() | st.just(b"\x10\0\2")),
        piece=draw(st.sampled_from([FRAME_SIZE_MAX - 8, 1000, 7000])) if size else 1,
    )


SETTLEMENTS = st.builds(
    lambda channel, ids, tag, bits: method(channel, ids, struct.pack(">QB", tag, bits)),
    CHANNELS,
    st.sampled_from([ACK, ACK, NACK, REJECT]),
    st.integers(0, 4) | st.just(2**64 - 1),
    st.integers(0, 3),
)
PIECES = st.one_of(
    messages(),
    SETTLEMENTS,
    st.builds(publish, CHANNELS),
    st.builds(header, CHANNELS, st.integers(0, 20)),
    st.builds(body, CHANNELS, st.binary(max_size=20)),
    st.builds(frame, st.just(HEARTBEAT), st.sampled_from([0, 0, 0, 1]), st.just(b"")),
    st.builds(
        method, CHANNELS, st.sampled_from([(20, 10), CLOSE_OK, (60, 61), (60, 60)]), st.sampled_from([b"", b"\0"])
    ),
    st.builds(frame, st.integers(0, 9), CHANNELS, st.binary(max_size=20)),
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Frames of several channels, shuffled into one another, some bytes changed."""
    pieces = draw(st.lists(PIECES, max_size=12))
    if draw(st.booleans()):
        pieces = list(shuffled(pieces, draw(st.integers(0, 2**32))))
    stream = bytearray(b"".join(pieces))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=2)):
        if stream:
            stream[at % len(stream)] = byte
    greeting = draw(st.sampled_from([handshake(), handshake(), PROTOCOL_HEADER]))
    return (greeting + bytes(stream))[: draw(st.integers(0, 10**5))]


def shuffled(pieces: list[bytes], seed: int) -> itertools.chain[bytes]:
    """The pieces' frames in a new order that keeps each channel's."""
    queues: dict[bytes, list[bytes]] = {}
    for piece in pieces:
        at = 0
        while at < len(piece):
            end = at + 8 + int.from_bytes(piece[at + 3 : at + 7], "big")
            queues.setdefault(piece[at + 1 : at + 3], []).append(piece[at:end])
            at = end
    order = [channel for channel, frames in queues.items() for _ in frames]
    random.Random(seed).shuffle(order)
    return itertools.chain(queues[channel].pop(0) for channel in order)


# Laws


@given(streams())
def test_the_twin_gives_the_same_facts(stream: bytes) -> None:
    decoder = AmqpDecoder(FRAME_SIZE_MAX, MESSAGE_SIZE_MAX)
    assert decode_all(decoder, [stream]) == decode_slowly(stream)


@given(streams(), st.data())
def test_how_the_bytes_are_cut_does_not_matter(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]
    whole, cut = (AmqpDecoder(FRAME_SIZE_MAX, MESSAGE_SIZE_MAX) for _ in range(2))
    assert decode_all(cut, pieces) == decode_all(whole, [stream])
    assert cut.stopped == whole.stopped


@given(st.lists(messages() | SETTLEMENTS, max_size=3).map(b"".join))
def test_byte_by_byte_is_the_same_as_whole(stream: bytes) -> None:
    pieces = [stream[at : at + 1] for at in range(len(stream))]
    assert decode_all(opened(), pieces) == decode_all(opened(), [stream])


@given(st.binary(), st.binary())
def test_any_garbage_gives_at_most_a_violation(greeting: bytes, garbage: bytes) -> None:
    for decoder, stream in ((AmqpDecoder(), greeting), (opened(), garbage)):
        facts = decode_all(decoder, [stream])
        assert sum(fact[0] == "violation" and fact[-1] for fact in facts) <= 1


@given(streams())
def test_what_is_held_is_bounded(stream: bytes) -> None:
    decoder = opened()
    for at in range(0, len(stream), 1000):
        decode_all(decoder, [stream[at : at + 1000]])
        assert decoder.buffered <= FRAME_SIZE_MAX + 3 * (MESSAGE_SIZE_MAX + 4096)
    assert opened().buffered == 0


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_the_corpus_decodes_as_the_twin_does(path: Path) -> None:
    stream = path.read_bytes()
    whole = decode_all(AmqpDecoder(FRAME_SIZE_MAX, MESSAGE_SIZE_MAX), [stream])
    assert whole == decode_slowly(stream)
    pieces = [stream[at : at + 7] for at in range(0, len(stream), 7)]
    assert decode_all(AmqpDecoder(FRAME_SIZE_MAX, MESSAGE_SIZE_MAX), pieces) == whole


# pamqp as another oracle, where it is right

CLIENT_METHODS = [
    command
    for index, command in sorted(commands.INDEX_MAPPING.items())
    if (index >> 16, index & 0xFFFF) not in FROM_SERVERS | {PUBLISH, ACK, NACK, REJECT}
]


@pytest.mark.parametrize("command", CLIENT_METHODS, ids=lambda command: str(command.name))
def test_every_method_as_pamqp_writes_it_passes_whole(command: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # recover-async
        written = command()
    for name in written.attributes():
        if written.amqp_type(name) == "table":
            setattr(written, name, {"text": "x", "number": 7, "table": {"list": [True, None, 1.5]}})
        elif getattr(written, name) is None:
            setattr(written, name, "x" if "str" in written.amqp_type(name) else 1)
    encoded = pamqp_frame.marshal(written, 0 if written.index >> 16 == 10 else 1)
    decoder = opened()
    (got,) = decoder.receive_data(encoded)
    assert isinstance(got, Method)
    assert (got.class_id << 16 | got.method_id, got.arguments) == (written.index, encoded[11:-1])
    # A byte less or more does not.
    for arguments in (encoded[11:-2], encoded[11:-1] + b"\0"):
        changed = method(got.channel, (got.class_id, got.method_id), arguments)
        if arguments or got.arguments:
            (violation,) = opened().receive_data(changed)
            assert isinstance(violation, Violation)
            assert (violation.code, violation.connection) == (502, True)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "content_type": st.sampled_from(["text/plain", "ñ"]),
            "headers": st.dictionaries(st.sampled_from("abc"), st.booleans() | st.integers(-9, 9) | st.just("text")),
            "delivery_mode": st.integers(1, 2),
            "priority": st.integers(0, 255),
            "correlation_id": st.just("c"),
            "expiration": st.integers(0, 2**32 - 2).map(str),
            "user_id": st.just("guest"),
        },
    )
)
def test_properties_as_pamqp_writes_them_are_read(values: dict[str, Any]) -> None:
    written = commands.Basic.Properties(**values)
    encoded = pamqp_frame.marshal(pamqp_header.ContentHeader(0, 0, written), 1)
    (run,) = opened().receive_data(publish(1) + encoded)
    assert isinstance(run, MessageRun)
    assert run.persistent == (written.delivery_mode == 2)
    assert run.expiration_ms(0) == (None if written.expiration is None else int(written.expiration))
    assert run.priority(0) == (written.priority or 0)
    assert run.first_with_other_user(b"guest") is None
    assert run.first_with_other_user(b"other") == (None if written.user_id is None else 0)
    assert run.properties(0) == encoded[19:-1]
    assert read_properties(run.properties(0))[0] == run.flags


# Runs


def test_publishes_of_one_channel_are_one_run() -> None:
    stream = b"".join(message(1, b"%d" % i, routing_key=b"k%d" % (i % 3)) for i in range(100))
    (run,) = opened().receive_data(stream)
    assert isinstance(run, MessageRun)
    assert (run.count, run.keys()) == (100, [(b"", b"k0"), (b"", b"k1"), (b"", b"k2")])
    assert [run.body(i) for i in range(100)] == [b"%d" % i for i in range(100)]


def test_a_run_is_ended_by_another_channel_and_by_any_other_frame() -> None:
    beat = frame(HEARTBEAT, 0, b"")
    got = opened().receive_data(message(1) + message(1) + message(2) + beat + message(2) + message(1))
    assert [(type(f), getattr(f, "channel", 0), getattr(f, "count", 0)) for f in got] == [
        (MessageRun, 1, 2), (MessageRun, 2, 1), (Heartbeat, 0, 0), (MessageRun, 2, 1), (MessageRun, 1, 1),
    ]  # fmt: skip


def test_a_run_stays_small_enough_for_one_record_batch() -> None:
    small = message(1, bytes(16)) * 20_000
    large = message(1, bytes(4000)) * 1000
    for stream, count in ((small, 20_000), (large, 1000)):
        runs = opened().receive_data(stream)
        assert all(isinstance(run, MessageRun) and run.size < 600_000 and run.count <= 8192 for run in runs)
        assert sum(len(run) for run in runs if isinstance(run, MessageRun)) == count


def test_single_acks_in_a_row_merge_and_others_do_not() -> None:
    def settle(channel: int, ids: tuple[int, int], tag: int, bits: int = 0) -> bytes:
        return method(channel, ids, struct.pack(">QB", tag, bits))

    got = opened().receive_data(
        b"".join(settle(1, ACK, tag) for tag in (5, 6, 7, 9))
        + settle(1, ACK, 10, 1)
        + settle(1, ACK, 11, 1)
        + settle(2, ACK, 12)
        + settle(2, NACK, 13)
        + settle(2, NACK, 14, 2)
        + settle(2, NACK, 15, 2)
    )
    assert all(isinstance(f, Settlement) for f in got)
    assert [(f.channel, f.first, f.last) for f in got if isinstance(f, Settlement)] == [
        (1, 5, 7), (1, 9, 9), (1, 0, 10), (1, 0, 11), (2, 12, 12), (2, 13, 13), (2, 14, 15),
    ]  # fmt: skip


# Stopping


def test_it_stops_where_its_limits_may_change_and_decodes_nothing_until_resumed() -> None:
    decoder = AmqpDecoder()
    got = decoder.receive_data(handshake() + message(1))
    stops = [decoder.stopped]
    for _ in range(4):
        assert len(got) == 1
        assert decoder.receive_data(b"") == []
        got = decoder.resume()
        stops.append(decoder.stopped)
    assert isinstance(got[0], MessageRun)
    assert stops == [True, True, True, True, False]
    assert decoder.buffered == 0


def test_limits_changed_while_stopped_hold_for_what_is_buffered() -> None:
    decoder = AmqpDecoder(4096)
    decoder.receive_data(handshake() + message(1, bytes(6000), piece=6000))
    for _ in range(3):
        decoder.resume()
    decoder.frame_size_max = 8192
    (run,) = decoder.resume()
    assert isinstance(run, MessageRun)
    assert run.size == 6000


def test_after_a_violation_of_the_connection_everything_is_discarded() -> None:
    decoder = opened()
    assert len(decoder.receive_data(message(1) + b"\x09" + bytes(20) + message(1))) == 2
    assert decoder.receive_data(message(1)) == []
    assert (decoder.stopped, decoder.buffered, decoder.resume()) == (False, 0, [])


def test_a_message_too_large_costs_the_channel_only_and_its_frames_are_skipped() -> None:
    got = opened().receive_data(message(1, b"a") + message(1, bytes(MESSAGE_SIZE_MAX + 1)) + message(1, b"b"))
    first, violation, last = got
    assert isinstance(first, MessageRun)
    assert isinstance(violation, Violation)
    assert isinstance(last, MessageRun)
    assert (violation.code, violation.connection) == (406, False)
    assert violation.text == "message size 10001 is larger than configured max size 10000 (311 CONTENT_TOO_LARGE)"
    assert (first.body(0), last.body(0)) == (b"a", b"b")


@pytest.mark.parametrize("name", [b"a\nb", b"\r", b"\0", b"\x7f", b"\xc2\x85"])
def test_a_name_with_a_control_character_costs_the_channel_only(name: bytes) -> None:
    for bad in (message(1, b"x", exchange=name), message(1, b"", routing_key=name)):
        for cut in ([bad + message(1, b"b")], [bad[:9], bad[9:], message(1, b"b")]):
            violation, after = decode_all(opened(), cut)
            assert violation == ("violation", 406, 1, PUBLISH, False)
            assert after[0] == "message"


def test_a_channel_closed_under_a_publisher_may_leave_its_message_unfinished() -> None:
    for unfinished in (publish(1), publish(1) + header(1, 10), publish(1) + header(1, 99999) + body(1, b"x")):
        facts = decode_all(opened(), [unfinished + method(1, CLOSE_OK) + method(1, (20, 10), b"\0") + message(1)])
        assert [fact[0] for fact in facts if fact[0] != "violation"] == ["method", "method", "message"]


def test_many_large_messages_at_once_are_refused_before_they_fill_memory() -> None:
    decoder = opened(message_size_max=1 << 20)
    facts: list[Fact] = []
    for channel in range(1, 100):
        pieces = [publish(channel), header(channel, 1 << 20), *[body(channel, bytes(4000))] * 200]
        facts += decode_all(decoder, [b"".join(pieces)])
        assert decoder.buffered < 20 << 20
    assert facts == [("violation", 506, facts[0][2], PUBLISH, True)]


# Bad input by the byte

DEEP = b""
for _ in range(500):
    DEEP = b"\x01kF" + long_string(DEEP)
TABLE_ARGUMENTS = b"\0\0" + short_string(b"q") + b"\0"

ROWS: dict[str, tuple[bytes, int]] = {
    "frame larger than frame_max": (frame(METHOD, 0, bytes(FRAME_SIZE_MAX - 7)), 501),
    "frame larger than frame_max, seen from its head": (struct.pack(">BHI", 1, 0, 2**32 - 1), 501),
    "end octet is not 0xCE": (frame(HEARTBEAT, 0, b"")[:-1] + b"\xcd", 501),
    "unknown frame type": (frame(4, 0, b""), 501),
    "frame type 0": (bytes(8), 501),
    "heartbeat on a channel": (frame(HEARTBEAT, 1, b""), 505),
    "heartbeat with a payload": (frame(HEARTBEAT, 0, b"x"), 501),
    "method without ids": (frame(METHOD, 1, b"\0\x3c\0"), 502),
    "truncated arguments": (method(1, (50, 10), b"\0\0\x05que"), 502),
    "bytes after the arguments": (method(1, (20, 10), b"\0\0"), 502),
    "short string beyond the frame": (method(1, (20, 10), b"\xff"), 502),
    "short string not UTF-8": (method(1, (20, 10), b"\x01\xff"), 502),
    "long string beyond the frame": (method(0, (10, 21), struct.pack(">I", 100) + b"x"), 502),
    "table beyond the frame": (method(1, (50, 10), TABLE_ARGUMENTS + struct.pack(">I", 9) + b"\x01kV"), 502),
    "table of unknown type": (method(1, (50, 10), TABLE_ARGUMENTS + long_string(b"\x01k?")), 502),
    "field name not UTF-8": (method(1, (50, 10), TABLE_ARGUMENTS + long_string(b"\x01\xffV")), 502),
    "500 nested tables": (method(1, (50, 10), TABLE_ARGUMENTS + long_string(DEEP)), 502),
    "500 nested tables in a message's headers": (publish(1) + header(1, 0, b"\x20\0" + long_string(DEEP)), 502),
    "publish on channel 0": (publish(0), 504),
    "publish on a channel past 2047": (message(2048), 504),
    "body without publish": (body(1, b"x"), 505),
    "body without header": (publish(1) + body(1, b"x"), 505),
    "header without publish": (header(1, 1), 505),
    "two headers": (publish(1) + header(1, 1) + header(1, 1), 505),
    "header after an empty message": (publish(1) + header(1, 0) + header(1, 0), 505),
    "body after an empty message": (message(1) + body(1, b""), 505),
    "body longer than declared": (publish(1) + header(1, 3) + body(1, b"four"), 501),
    "body longer than declared, later": (publish(1) + header(1, 3) + body(1, b"2 ") + body(1, b"2 "), 501),
    "header of another class": (publish(1) + frame(HEADER, 1, struct.pack(">HHQH", 50, 0, 0, 0)), 505),
    "header with a weight": (publish(1) + frame(HEADER, 1, struct.pack(">HHQH", 60, 1, 0, 0)), 505),
    "header too short": (publish(1) + frame(HEADER, 1, b"\0\x3c\0\0"), 502),
    "header without flags": (publish(1) + frame(HEADER, 1, struct.pack(">HHQ", 60, 0, 0)), 502),
    "unknown property": (publish(1) + header(1, 0, b"\0\1"), 502),
    "property missing": (publish(1) + header(1, 0, b"\x10\0"), 502),
    "bytes after the properties": (publish(1) + header(1, 0, b"\0\0x"), 502),
    "unknown class": (method(1, (61, 10)), 540),
    "unknown method": (method(1, (60, 41)), 540),
    "immediate": (publish(1, bits=2), 540),
    "publish within a publish": (publish(1) + publish(1), 505),
    "method within a message's content": (publish(1) + header(1, 5) + method(1, (20, 40), b"\0\0\0\0\0\0\0"), 505),
    "connection method on a channel": (method(1, (10, 51)), 503),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_bad_input_ends_the_connection_with_its_code(row: str) -> None:
    stream, code = ROWS[row]
    pieces = [stream[at : at + 1] for at in range(len(stream))]
    for cut in ([stream], pieces):
        decoder = opened()
        *before, violation = [got for piece in cut for got in decoder.receive_data(piece)]
        assert isinstance(violation, Violation)
        assert (violation.code, violation.connection) == (code, True)
        assert violation.text
        assert all(not isinstance(f, Violation) for f in before)
    assert decode_slowly(handshake() + stream)[-1][1] == code


def test_21000_nested_tables_are_refused_without_recursion() -> None:
    arguments = TABLE_ARGUMENTS + long_string(b"".join(_deep_tables(21_000)))
    (violation,) = opened(frame_size_max=1 << 20).receive_data(method(1, (50, 10), arguments))
    assert isinstance(violation, Violation)
    assert violation.code == 502


def _deep_tables(depth: int) -> list[bytes]:
    """Each table holds the next and nothing else: 7 bytes of name, type and size a level."""
    return [b"\x01kF" + struct.pack(">I", 7 * (depth - level - 1)) for level in range(depth)]


def test_a_bad_protocol_header_is_given_as_it_is() -> None:
    assert decode_all(AmqpDecoder(), [b"GET / HTTP/1.1\r\n"])[0] == ("header", b"GET / HT")
    assert decode_all(AmqpDecoder(), [b"AMQP\0\0\x09"]) == []


@pytest.mark.parametrize("stream", [message(1), method(1, (20, 10), b"\0"), frame(HEARTBEAT, 1, b"")])
def test_before_open_only_channel_0_is_heard(stream: bytes) -> None:
    assert decode_all(AmqpDecoder(), [PROTOCOL_HEADER + stream])[-1][:3] == ("violation", 505, 1)


def test_before_tune_ok_a_frame_has_at_most_8192_bytes() -> None:
    """A frame at the limit passes; one byte more is refused as soon as its head is there."""
    for missing, kind in ((0, "method"), (-1, "violation")):
        response = bytes(8192 - len(method(0, (10, 21), long_string(b""))) - missing)
        secure_ok = method(0, (10, 21), long_string(response))
        assert len(secure_ok) == 8192 - missing
        facts = decode_all(AmqpDecoder(), [PROTOCOL_HEADER + secure_ok])
        assert [fact[0] for fact in facts] == ["header", kind]
    decoder = AmqpDecoder()
    decode_all(decoder, [PROTOCOL_HEADER])
    (violation,) = decoder.receive_data(struct.pack(">BHI", METHOD, 0, 8185))
    assert isinstance(violation, Violation)
    assert violation.code == 501


def test_before_open_no_content_is_kept() -> None:
    for stream, code in ((publish(0), 504), (header(0, 10), 505), (body(0, b"x"), 505)):
        decoder = AmqpDecoder()
        assert decode_all(decoder, [PROTOCOL_HEADER + stream])[-1][:3] == ("violation", code, 0)
        assert decoder.buffered == 0


def test_a_single_settlement_of_tag_0_is_not_all_so_far() -> None:
    for ids in (ACK, NACK, REJECT):
        nothing, all_through_3 = struct.pack(">QB", 0, 0), struct.pack(">QB", 3, 1)
        facts = decode_all(opened(), [method(1, ids, nothing) + method(1, ACK, all_through_3)])
        assert facts[0] == ("violation", 406, 1, ids, False)
        assert facts[1][0] == "settle"


def test_constants_of_the_frame_kinds_are_the_specifications() -> None:
    assert (METHOD, HEADER, BODY, HEARTBEAT) == (1, 2, 3, 8)
