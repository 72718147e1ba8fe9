"""Frames: any cut gives the same, nothing is believed before its checksum, and no memory is taken beyond the limit."""

from __future__ import annotations

import contextlib
import itertools
import struct
import tracemalloc
from typing import Any

import cbor2
import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cluster.frame import (
    FRAME_OVERHEAD_MAX,
    HEAD_DEPTH_MAX,
    PIECE_SIZE_MIN,
    Frame,
    FrameDecoder,
    decode_head,
    encode_frames,
    encode_pieces,
)
from broker.cluster.violation import LinkViolation, Reason

SIZE_MAX = FRAME_OVERHEAD_MAX + (1 << 20)
PLAIN = st.recursive(
    st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=20) | st.binary(max_size=20) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)
HEADS = st.lists(PLAIN, max_size=5).filter(lambda head: _depth(head) <= HEAD_DEPTH_MAX)
SMALL = st.builds(Frame, st.integers(0, 255), HEADS, st.binary(max_size=200))
LARGE = st.builds(Frame, st.integers(0, 255), HEADS, st.sampled_from([b"b" * (PIECE_SIZE_MIN * 3)]))
FRAMES = st.lists(SMALL | LARGE, max_size=6)


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def take(decoder: FrameDecoder, data: bytes) -> list[Frame]:
    decoder.receive_data(data)
    frames = []
    while (frame := decoder.take_frame(SIZE_MAX)) is not None:
        frames.append(frame)
    return frames


def outer(rest: bytes) -> bytes:
    """A frame around ``rest``, whatever that is."""
    length = struct.pack("<I", len(rest))
    return length + struct.pack("<II", google_crc32c.value(length), google_crc32c.value(rest)) + rest


def refusal(data: bytes, size_max: int = SIZE_MAX) -> Reason:
    decoder = FrameDecoder()
    decoder.receive_data(data)
    with pytest.raises(LinkViolation) as caught:
        decoder.take_frame(size_max)
    return caught.value.closing.reason


@given(FRAMES, st.data())
def test_how_the_bytes_are_cut_does_not_matter(frames: list[Frame], data: st.DataObject) -> None:
    stream = encode_frames(frames)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)))
    decoder = FrameDecoder()
    taken = [take(decoder, stream[a:b]) for a, b in itertools.pairwise([0, *cuts, len(stream)])]
    assert list(itertools.chain(*taken)) == frames
    assert not decoder.unfinished


@given(FRAMES)
def test_large_bodies_are_sent_as_they_are(frames: list[Frame]) -> None:
    pieces = encode_pieces(frames)
    assert take(FrameDecoder(), b"".join(pieces)) == frames
    large = [frame.body for frame in frames if len(frame.body) >= PIECE_SIZE_MIN]
    assert [id(piece) for piece in pieces if id(piece) in set(map(id, large))] == list(map(id, large))
    assert len(pieces) <= 2 * len(large) + 1


@given(st.lists(SMALL, max_size=2))
def test_one_byte_at_a_time(frames: list[Frame]) -> None:
    decoder = FrameDecoder()
    stream = encode_frames(frames)
    assert [frame for at in range(len(stream)) for frame in take(decoder, stream[at : at + 1])] == frames


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for stream in (data, outer(data), outer(struct.pack("<BH", 1, len(data)) + data)):
        decoder = FrameDecoder()
        with contextlib.suppress(LinkViolation):
            take(decoder, stream)


@given(st.integers(0, 8 * 60 - 1))
def test_any_flipped_bit_is_seen(bit: int) -> None:
    stream = bytearray(encode_frames([Frame(1, [1, "a", b"b"], b"body" * 10)]))
    assert len(stream) == 12 + 3 + 6 + 40
    bit %= len(stream) * 8
    stream[bit // 8] ^= 1 << bit % 8
    decoder = FrameDecoder()
    decoder.receive_data(bytes(stream))
    with pytest.raises(LinkViolation) as caught:
        decoder.take_frame(SIZE_MAX)
    assert bit < 32 or caught.value.closing.reason is Reason.BAD_CHECKSUM


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_a_length_beyond_the_limit_is_refused_by_its_eight_bytes(size: int) -> None:
    stream = encode_frames([Frame(1, [], b"x" * size)])
    length = len(stream) - 12
    assert refusal(stream[:8], length - 1) is Reason.FRAME_TOO_LARGE
    decoder = FrameDecoder()
    decoder.receive_data(stream)
    assert decoder.take_frame(length) == Frame(1, [], b"x" * size)


def test_frames_of_too_few_bytes_are_refused() -> None:
    assert [refusal(outer(b"x" * size)) for size in range(3)] == [Reason.BAD_FRAME] * 3


def test_a_head_beyond_its_frame_is_refused() -> None:
    assert refusal(outer(struct.pack("<BH", 1, 4) + b"\x81\x01")) is Reason.BAD_FRAME
    # A broken length of the head is told from one that was meant.
    broken = bytearray(outer(struct.pack("<BH", 1, 2) + b"\x81\x01"))
    broken[13] = 200
    assert refusal(bytes(broken)) is Reason.BAD_CHECKSUM


def test_the_checksum_comes_before_the_head() -> None:
    broken = bytearray(outer(struct.pack("<BH", 1, 2) + b"\xff\xff"))
    broken[8] ^= 1
    assert refusal(bytes(broken)) is Reason.BAD_CHECKSUM


@pytest.mark.parametrize("bit", range(64))
def test_a_wrong_length_is_seen_before_the_rest_comes(bit: int) -> None:
    stream = bytearray(encode_frames([Frame(1, [], b"x" * 1000)])[:8])
    stream[bit // 8] ^= 1 << bit % 8
    assert refusal(bytes(stream)) in (Reason.BAD_CHECKSUM, Reason.FRAME_TOO_LARGE)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x01",  # no array
        b"\xa0",
        b"\x81\x01\x01",  # something follows
        b"\x82\x01",
        b"\x9f\x01\xff",  # indefinite
        b"\x81\x5f\x41a\xff",
        b"\x81" * (HEAD_DEPTH_MAX + 1) + b"\x01",
        b"\x9b\x00\x00\x00\xff\xff\xff\xff\xff",  # more than there is
        b"\x81\x5b\x00\x00\x00\xff\xff\xff\xff\xff",
        b"\x81\x62\xff\xff",  # no UTF-8
        b"\x81\xa2\x01\x01\x01\x02",
        cbor2.dumps([1 << 64]),
    ],
)
def test_heads_that_are_refused(head: bytes) -> None:
    assert refusal(outer(struct.pack("<BH", 1, len(head)) + head)) is Reason.BAD_FRAME


@pytest.mark.parametrize("value", [1, "1", [1, 2], b"1"], ids=str)
def test_no_tag_is_taken(value: object) -> None:
    """cbor2 would make dates, decimals, expressions and references of them."""
    for tag in (*range(3000), 43000, 55799, 70_000, (1 << 64) - 1):
        with pytest.raises(LinkViolation):
            decode_head(cbor2.dumps([cbor2.CBORTag(tag, value)]))


def test_a_large_frame_in_small_pieces_takes_no_more_than_twice_its_size() -> None:
    """And a time that grows with its size alone: a quadratic decoder would not end."""
    size = 1 << 20
    stream = encode_frames([Frame(1, [], bytes(size))])
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        for at in range(0, len(stream) - 100, 100):
            decoder.receive_data(stream[at : at + 100])
            assert decoder.take_frame(8 << 20) is None
        used, _ = tracemalloc.get_traced_memory()
        decoder.receive_data(stream[at + 100 :])
        frame = decoder.take_frame(8 << 20)
    finally:
        tracemalloc.stop()
    assert frame is not None
    assert frame.body == bytes(size)
    assert used < 2 * size


def test_a_chunk_is_not_held_by_what_came_of_it() -> None:
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        (frame,) = take(decoder, encode_frames([Frame(1, [], bytes(1 << 20))]))
        assert type(frame.body) is bytes
        del frame
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000
