"""One link: any cut gives the same, nothing raises, and what is against the table closes it."""

from __future__ import annotations

import itertools
import math

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cluster.frame import Frame, encode_frames
from broker.cluster.frame_kinds import CHANNEL_SIZE_MAX, HANDSHAKE_SIZE_MAX, KINDS, Channel, Kind, Role
from broker.cluster.peer_link import HANDSHAKE_TIMEOUT_S, STALL_TIMEOUT_S, PeerLink
from broker.cluster.violation import Closing, Reason
from tests.cluster.handshakes import acceptor, converse, dialer, taken, terms

FRAMES = {
    Channel.CONSENSUS: [Frame(Kind.HEARTBEAT, [5, 0, 0, ["applied", 7]]), Frame(Kind.RAFT, [3], b"vote")],
    Channel.BULK: [Frame(Kind.APPEND, [3], b"e" * 70_000), Frame(Kind.SNAPSHOT_REQUEST, [3, 0, 0])],
    Channel.FORWARD: [Frame(Kind.WORD, [1, 1], b"c" * 500), Frame(Kind.WORD, [1, 1], b"r")],
}


def ready_pair(channel: Channel) -> tuple[PeerLink, PeerLink]:
    one, other = dialer(terms("a"), channel), acceptor(terms("b"))
    converse(one, other)
    assert one.ready
    assert other.ready
    return one, other


def reason(link: PeerLink) -> Reason | None:
    return link.closing.reason if link.closing else None


def length_of(size: int) -> bytes:
    """What a frame of so many bytes begins with."""
    length = size.to_bytes(4, "little")
    checksum: int = google_crc32c.value(length)
    return length + checksum.to_bytes(4, "little")


def dialer_says(channel: Channel) -> list[bytes]:
    """The whole of a good conversation, as the acceptor gets it."""
    said = converse(dialer(terms("a"), channel), acceptor(terms("b")))
    return [*(data for role, data in said if role == "dialer"), encode_frames(FRAMES[channel])]


@pytest.mark.parametrize("channel", list(Channel))
@given(data=st.data())
def test_how_the_bytes_are_cut_does_not_matter(channel: Channel, data: st.DataObject) -> None:
    stream = b"".join(dialer_says(channel))
    tail = data.draw(st.sampled_from([b"", encode_frames([Frame(200, [])]), b"\xff" * 9]))
    stream += tail
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)))
    link = acceptor(terms("b"))
    frames = [link.receive_data(stream[a:b], 0.0) for a, b in itertools.pairwise([0, *cuts, len(stream)])]
    whole = acceptor(terms("b"))
    assert list(itertools.chain(*frames)) == whole.receive_data(stream, 0.0) == FRAMES[channel]
    assert taken(link) == taken(whole)
    assert link.closing == whole.closing
    assert bool(tail) is (link.closing is not None)


@given(st.lists(st.binary(max_size=100), max_size=5), st.sampled_from(["dialer", "acceptor", "ready"]))
def test_no_bytes_raise_anything(pieces: list[bytes], state: str) -> None:
    link = {"dialer": dialer(terms("a")), "acceptor": acceptor(terms("b")), "ready": ready_pair(Channel.BULK)[1]}[state]
    for piece in pieces:
        link.receive_data(piece, 0.0)
        assert link.deadline > 0.0 or link.closing


@given(
    st.lists(
        st.builds(Frame, st.integers(0, 60), st.lists(st.integers() | st.text() | st.binary(), max_size=14)),
        max_size=5,
    ).map(lambda frames: [frame for frame in frames if all(_fits(value) for value in frame.head)]),
    st.sampled_from(["dialer", "acceptor", "ready"]),
)
def test_no_frames_raise_anything(frames: list[Frame], state: str) -> None:
    link = {"dialer": dialer(terms("a")), "acceptor": acceptor(terms("b")), "ready": ready_pair(Channel.BULK)[1]}[state]
    link.receive_data(encode_frames(frames), 0.0)


def _fits(value: object) -> bool:
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 64


@pytest.mark.parametrize("bit", range(0, 8 * 64, 7))
def test_a_flipped_bit_closes_and_nothing_of_the_frame_comes_through(bit: int) -> None:
    _, link = ready_pair(Channel.FORWARD)
    good = encode_frames([Frame(Kind.WORD, [0, 0], b"good")])
    broken = bytearray(encode_frames([Frame(Kind.WORD, [1, 2], b"x" * 46)]))
    assert len(broken) == 64
    broken[bit // 8] ^= 1 << bit % 8
    frames = link.receive_data(good + bytes(broken) + good * 3, 0.0)
    assert frames == [Frame(Kind.WORD, [0, 0], b"good")]
    assert link.closing is not None
    assert link.receive_data(good, 1.0) == [], "nothing is received any more"


def test_a_frame_too_large_is_refused_by_its_length() -> None:
    for channel in Channel:
        _, link = ready_pair(channel)
        length = CHANNEL_SIZE_MAX[channel]
        link.receive_data(length_of(length + 1), 0.0)
        assert reason(link) is Reason.FRAME_TOO_LARGE
        _, link = ready_pair(channel)
        link.receive_data(length_of(length), 0.0)
        assert reason(link) is None


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"AMQP\x00\x00\x09\x01"]
)
def test_other_protocols_are_closed_at_once(data: bytes) -> None:
    link = acceptor(terms("b"))
    link.receive_data(data, 0.0)
    assert reason(link) is Reason.FRAME_TOO_LARGE
    assert not link.has_output


def test_a_stranger_takes_no_memory_beyond_the_handshake() -> None:
    link = acceptor(terms("b"))
    link.receive_data((HANDSHAKE_SIZE_MAX + 1).to_bytes(4, "little") + bytes(4), 0.0)
    assert reason(link) is Reason.FRAME_TOO_LARGE


@pytest.mark.parametrize("kind", list(Kind))
def test_a_dialer_is_sent_nothing_once_it_is_ready(kind: Kind) -> None:
    link, _ = ready_pair(Channel.BULK)
    frame = Frame(kind, [{int: 1, str: "a", bytes: b"b", list: []}[field] for field in KINDS[kind].fields])
    assert link.receive_data(encode_frames([frame]), 0.0) == []
    assert reason(link) is Reason.KIND_NOT_ALLOWED


def test_a_handshake_has_a_deadline() -> None:
    for link in (dialer(terms("a")), acceptor(terms("b"))):
        assert link.deadline == HANDSHAKE_TIMEOUT_S
        link.receive_data(b"\x05", 4.0)
        assert link.deadline == HANDSHAKE_TIMEOUT_S, "bytes don't stretch it"
        link.receive_timeout(4.9)
        assert link.closing is None
        link.receive_timeout(HANDSHAKE_TIMEOUT_S)
        assert reason(link) is Reason.HELLO_TIMEOUT
        assert link.deadline == math.inf


def test_a_frame_that_was_begun_has_to_go_on() -> None:
    one, other = ready_pair(Channel.BULK)
    assert one.deadline == other.deadline == math.inf
    data = encode_frames([Frame(Kind.APPEND, [0], b"x" * 100)])
    other.receive_data(data[:50], 100.0)
    assert other.deadline == 100.0 + STALL_TIMEOUT_S
    other.receive_data(data[50:60], 105.0)
    assert other.deadline == 105.0 + STALL_TIMEOUT_S
    assert len(other.receive_data(data[60:], 110.0)) == 1
    assert other.deadline == math.inf
    other.receive_data(data[:3], 200.0)
    other.receive_timeout(200.0 + STALL_TIMEOUT_S)
    assert reason(other) is Reason.STALLED


def test_output_is_taken_by_size_and_counted_until_it_is_written() -> None:
    one, _ = ready_pair(Channel.BULK)
    assert one.queued_size == 0
    for size in (10, 20, 1000, 5):
        one.send([bytes(size)], size)
    assert one.queued_size == 1035
    assert [len(piece) for piece in one.take_output(100)] == [10, 20]
    assert [len(piece) for piece in one.take_output(100)] == [1000], "one larger piece goes alone"
    assert one.queued_size == 1035
    one.receive_written(1030)
    assert [len(piece) for piece in one.take_output(100)] == [5]
    assert one.take_output(100) == []
    one.receive_written(5)
    assert one.queued_size == 0


def test_the_first_reason_stays() -> None:
    one, other = ready_pair(Channel.BULK)
    one.close(Closing(Reason.SHUTDOWN))
    one.close(Closing(Reason.RESET))
    assert reason(one) is Reason.SHUTDOWN
    assert one.was_ready
    assert not one.ready
    with pytest.raises(AssertionError):
        one.send([b"late"], 4)
    with pytest.raises(AssertionError):
        other.send([b"an acceptor does not send"], 25)
    assert other.role is Role.ACCEPTOR
