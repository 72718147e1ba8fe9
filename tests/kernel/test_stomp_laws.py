"""The laws of STOMP's decoder and encoder over streams that clients could send and over any bytes, by a slow twin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel import (
    DESTINATION_QUEUE,
    FLAG_PERSISTENT,
    ORIGIN_STOMP,
    DeliveryRun,
    Eols,
    MessageRun,
    Sends,
    Settlement,
    StompDecoder,
    StompFrame,
    StompReceipts,
    StompSubscription,
    Violation,
    encode_messages,
)
from tests.kernel.slow_stomp_decoder import SlowStompDecoder, destination_of, escaped

CORPUS = Path(__file__).parent / "corpus" / "stomp"
FRAME_SIZE_MAX = 512
SESSION = b"s-1"
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
CONNECT = b"CONNECT\naccept-version:1.2\n\n\0"

Fact = tuple[Any, ...]


def of_sends(got: Sends) -> Iterator[Fact]:
    assert len(got.messages) > 0
    assert got.messages.origin == ORIGIN_STOMP
    receipts = dict(got.receipts.to_list())
    assert len(receipts) == len(got.receipts)
    for number, (exchange, key, properties, body, flags, expiration) in enumerate(got.messages.rows()):
        more = (flags, expiration, receipts.get(number), got.transaction, got.parameters, got.temp_queue)
        yield ("send", got.kind, exchange, key, properties, body, *more)


def to_facts(frames: Sequence[object]) -> Iterator[Fact]:
    for got in frames:
        match got:
            case Sends():
                yield from of_sends(got)
            case Settlement():
                yield from (("settle", got.channel, tag, got.kind) for tag in range(got.first, got.last + 1))
            case StompFrame():
                settled = got.settlement and (got.settlement.channel, got.settlement.first, got.settlement.kind)
                yield "frame", got.command, got.headers, settled
            case Eols():
                yield "eols", got.count
            case Violation():
                assert (got.code, got.connection) == (0, True)
                message, separator, detail = got.text.partition(": ")
                assert separator
                assert detail
                assert got.text.isprintable()
                yield "violation", message, got.receipt_id
            case _:
                raise AssertionError(got)


def decode_all(version: int, pieces: Sequence[bytes]) -> list[Fact]:
    """Feeds it piece by piece and resumes it whenever it stops; line ends are summed up."""
    decoder = StompDecoder(FRAME_SIZE_MAX)
    decoder.session = SESSION
    facts: list[Fact] = []
    for piece in pieces:
        got = list(to_facts(decoder.receive_data(piece)))
        while decoder.stopped:
            decoder.version = version
            got += to_facts(decoder.resume())
        assert decoder.buffered <= FRAME_SIZE_MAX
        facts += got
    eols = sum(fact[1] for fact in facts if fact[0] == "eols")
    return [*(fact for fact in facts if fact[0] != "eols"), ("eols", eols)]


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = [0, *sorted(at % (len(stream) + 1) for at in cuts), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(ends)]


def slowly(version: int, stream: bytes) -> list[Fact]:
    return SlowStompDecoder(version, SESSION, FRAME_SIZE_MAX).decode(stream)


# Streams a client could send: mostly right, some bent.

DESTINATIONS = st.sampled_from(
    b"/queue/a /queue/a /queue/b%2Fc /topic/a.b /exchange/x /exchange/x/k /amq/queue/a /reply-queue/a/b /queue/%FF "
    b"/queue/a/b /queue/ /temp-queue/t /nowhere /queue/\xc3\xbc /queue/\xff".split()
)
VALUES = st.sampled_from(
    [b"1", b"true", b"false", b"a:b", b"\\n", b"\\r\\c\\\\", b"\\t", b" 7 ", b"", b"\xff", b"r", b"\0"]
)
NAMES = st.sampled_from([b" b ", b""]) | st.sampled_from(
    b"receipt receipt receipt content-type persistent expiration priority user-id transaction x-max-length durable "
    b"reply-to a a\\cb subscription requeue message-id id accept-version content-length".split()
)
BODIES = st.sampled_from([b"", b"hi", b"hi", b"a\0b", bytes(10), b"x" * 300, b"y" * 520])
EOLS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"])


@st.composite
def sends(draw: st.DrawFn) -> bytes:
    eol, body = draw(EOLS), draw(BODIES)
    lines = [b"destination:" + draw(DESTINATIONS)]
    lines += draw(st.lists(st.builds(b"%b:%b".__mod__, st.tuples(NAMES, VALUES)), max_size=3))
    if draw(st.booleans()):
        lines.insert(0, b"content-length:%d" % (len(body) + draw(st.sampled_from([0, 0, 0, 0, 1]))))
    frame = b"SEND" + eol + b"".join(line + eol for line in draw(st.permutations(lines))) + eol + body + b"\0"
    return frame * draw(st.sampled_from([1, 1, 3])) + draw(st.sampled_from([b"", b"\n", b"\r\n\n"]))


IDS = st.sampled_from([b"1@@s-1@@1", b"1@@s-1@@2", b"1@@s-1@@3", b"2@@s-1@@3", b"1@@s-2@@1", b"1@@s-1@@0", b"x"])
ACKS = st.builds(
    lambda command, name, id, more: command + b"\n" + name + b":" + id + b"\n" + more + b"\n\0",
    st.sampled_from([b"ACK", b"ACK", b"NACK"]),
    st.sampled_from([b"id", b"message-id", b"id:1@@s-1@@4\nmessage-id"]),
    IDS,
    st.sampled_from(
        [b"", b"", b"receipt:r\n", b"transaction:t\n", b"requeue:true\n", b"requeue:false\n", b"requeue:x\n"]
    ),
)
OTHERS = st.sampled_from(
    [
        b"SUBSCRIBE\nid:0\ndestination:/queue/a\nid:1\n\n\0",
        b"BEGIN\ntransaction:t\\c\n\n\0\n",
        b"DISCONNECT\nreceipt:77\n\0\n",
        b"COMMIT\n\nbody\0",
        b"ABORT\ncontent-length:0\n\n\0",
        b"ABORT\ncontent-length:2\nreceipt:r\n\n\0\0\0",
        b"\n",
        b"\r\n",
        b"\r",
        b"send\nreceipt:r\n\n\0",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"x" * 40,
        CONNECT,
    ]
)
CONNECTS = st.sampled_from(
    [
        CONNECT,
        CONNECT,
        CONNECT,
        b"\nSTOMP\r\naccept-version:1.2\r\na: b\r\n\r\n\0",
        b"CONNECT\nlogin : a\\b \n\nx\0",
        b"SEND\n\n\0",
    ]
)
STREAMS = st.builds(
    lambda connect, frames: connect + b"".join(frames),
    CONNECTS,
    st.lists(sends() | sends() | ACKS | OTHERS, max_size=10),
)
VERSIONS = st.sampled_from([10, 11, 12])


@UNTIMED
@given(version=VERSIONS, stream=STREAMS, cuts=st.lists(st.integers(0, 2**31), max_size=8))
def test_however_a_stream_is_cut_the_facts_are_those_of_the_slow_twin(
    version: int, stream: bytes, cuts: list[int]
) -> None:
    expected = slowly(version, stream)
    assert kinds_of(decode_all(version, [stream])) == kinds_of(expected)
    assert decode_all(version, cut(stream, cuts)) == decode_all(version, [stream])


def kinds_of(facts: list[Fact]) -> list[Fact]:
    """Which of several things wrong with one header block is told first is not what the twin is for."""
    return [("violation", fact[2]) if fact[0] == "violation" else fact for fact in facts]


@UNTIMED
@given(
    version=VERSIONS,
    stream=STREAMS,
    at=st.integers(0, 2**31),
    garbage=st.binary(max_size=40),
    cuts=st.lists(st.integers(0, 2**31)),
)
def test_no_bytes_give_more_than_a_violation(
    version: int, stream: bytes, at: int, garbage: bytes, cuts: list[int]
) -> None:
    at %= len(stream) + 1
    bent = stream[:at] + garbage + stream[at:]
    facts = decode_all(version, [bent])
    assert all(fact[0] != "violation" for fact in facts[:-2])
    assert decode_all(version, cut(bent, cuts)) == facts
    assert kinds_of(facts) == kinds_of(slowly(version, bent))


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: str(path.name))
def test_the_corpus_decodes_the_same_however_it_is_cut(path: Path) -> None:
    stream = path.read_bytes()
    whole = decode_all(12, [stream])
    assert kinds_of(whole) == kinds_of(slowly(12, stream))
    for size in (1, 7, 64):
        assert decode_all(12, [stream[at : at + size] for at in range(0, len(stream), size)]) == whole


# What is encoded can be read back: a MESSAGE's headers after those of the broker's own are the properties.

TEXT = st.binary(max_size=12).filter(lambda text: b"\0" not in text)
PROPERTIES = st.dictionaries(
    TEXT.filter(lambda n: n.strip() == n and n and n not in (b"ack", b"subscription", b"destination", b"message-id")),
    TEXT,
    max_size=3,
)


@UNTIMED
@given(
    version=VERSIONS,
    properties=PROPERTIES,
    body=st.binary(max_size=40),
    key=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20),
    exchange=st.sampled_from([b"", b"amq.topic", b"x", b"x/%"]),
    persistent=st.booleans(),
    first_tag=st.integers(1, 2**63),
    redelivered=st.booleans(),
    id=st.none() | TEXT,
)
def test_what_is_encoded_is_read_back(
    version: int,
    properties: dict[bytes, bytes],
    body: bytes,
    key: str,
    exchange: bytes,
    persistent: bool,
    first_tag: int,
    redelivered: bool,
    id: bytes | None,
) -> None:
    lines = b"".join(escaped(name) + b":" + escaped(value) + b"\n" for name, value in properties.items())
    flags = FLAG_PERSISTENT if persistent else 0
    row = (exchange, key.encode(), lines, body, flags, None)
    run = MessageRun.of(0, [row, row], ORIGIN_STOMP)
    subscription = StompSubscription(id, 3, SESSION, version, True)
    wire = bytes(encode_messages(DeliveryRun.of(run, 0, 2, redelivered), first_tag, subscription))
    one_by_one = (DeliveryRun.of(run, at, 1, redelivered) for at in (0, 1))
    singly = [bytes(encode_messages(one, tag, subscription)) for tag, one in enumerate(one_by_one, first_tag)]
    assert wire == b"".join(singly)
    head, _, rest = wire.partition(b"\n\n")
    assert rest.startswith(body + b"\0\n")
    command, *shown = head.split(b"\n")
    assert command == b"MESSAGE"
    reader = SlowStompDecoder(version, SESSION, FRAME_SIZE_MAX, connected=True)
    found = []
    for line in shown:
        name, value = line.split(b":", 1)
        found.append((name, value) if version == 10 else reader.header(line))
    known = dict(found)
    assert len(known) == len(found)
    assert destination_of(known.pop(b"destination"))[1:] == (exchange, key.encode())
    message_id = b"3@@s-1@@%d" % first_tag
    assert known.pop(b"message-id") == message_id
    assert known.pop(b"ack", None) == (message_id if version == 12 else None)
    if id is not None and not (version == 10 and set(id) & set(b"\r\n")):
        assert known.pop(b"subscription") == id
    assert known.pop(b"redelivered") == (b"true" if redelivered else b"false")
    assert known.pop(b"persistent", None) == (b"true" if persistent else None)
    assert known.pop(b"content-length") == b"%d" % len(body)
    unwritable = (
        {n for n, v in properties.items() if set(n + v) & set(b"\r\n") or b":" in n} if version == 10 else set()
    )
    assert known == {name: value for name, value in properties.items() if name not in unwritable}


@UNTIMED
@given(
    wanted=st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_receipts_come_once_each_in_order_whatever_the_order_of_confirms(wanted: list[list[bool]], order: Any) -> None:
    decoder = StompDecoder()
    decoder.receive_data(CONNECT)
    decoder.version = 12
    decoder.resume()
    receipts, tags, expected, tag, numbers = StompReceipts(12), [], [], 1, []
    for run in wanted:
        stream = b""
        for asks in run:
            if asks:
                expected.append(b"t%d" % tag)
            stream += b"SEND\ndestination:/queue/q\n" + (b"receipt:t%d\n" % tag if asks else b"") + b"\n\0"
            tags.append(tag)
            tag += 1
        [got] = decoder.receive_data(stream)
        assert isinstance(got, Sends)
        assert got.kind == DESTINATION_QUEUE
        receipts.add_sends(got.receipts, tag - len(run), True)
        numbers.append(receipts.add(b"f%d" % tag))
        expected.append(b"f%d" % tag)
    assert len(receipts) == len(expected)
    order.shuffle(tags)
    order.shuffle(numbers)
    wire = b""
    for at in tags:
        assert receipts.reject([(at, at)]) in (None, b"t%d" % at)
        receipts.confirm([(at, at)])
        assert receipts.reject([(at, at)]) is None
        wire += receipts.take()
    for number in numbers:
        receipts.finish(number)
        wire += receipts.take()
    assert wire == b"".join(b"RECEIPT\nreceipt-id:%b\n\n\0\n" % id for id in expected)
    assert len(receipts) == 0
