"""Frames between nodes.

    u32 length | u32 CRC32C of the length | u32 CRC32C of the rest | u8 kind | u16 head length | head: CBOR array | body

Little endian; the length is that of the rest.  Law of the decoder: however the bytes are cut, the frames
are the same; nothing is believed before its checksum holds; a body is copied once, out of the pieces it came in.  The
length has a checksum of its own, as a wrong one would otherwise be found out only when so many bytes have come.
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import cbor2
import google_crc32c
import msgspec

from broker.cluster.violation import LinkViolation, Reason
from kernel import Piece

HEAD_SIZE_MAX = 65_535
"""What its u16 can say."""
HEAD_DEPTH_MAX = 8
PREFIX_SIZE = 3
"""Kind and head's length."""
FRAME_OVERHEAD_MAX = PREFIX_SIZE + HEAD_SIZE_MAX
"""Of a frame's length, beside its body."""
SHORT_HEAD_SIZE = 8
"""Heads up to this are few, as those of Raft's messages, which name a group: what they say is remembered."""
SHORT_HEAD_COUNT_MAX = 4096
PIECE_SIZE_MIN = 16_384
"""Smaller pieces of an unfinished frame are put together as they come, as a piece of one byte would cost sixty; and
smaller bodies with what comes before and after them as they go."""

_OUTER = struct.Struct("<III")
_LENGTH = struct.Struct("<II")
_LENGTH_BYTES = 4
_PREFIX = struct.Struct("<BH")


class Frame(msgspec.Struct, frozen=True):
    """``head``: plain values (numbers, text, bytes, lists of them).  ``more``: what the body goes on with, where it is
    sent; it comes as one."""

    kind: int
    head: list[Any]
    body: bytes = b""
    more: Sequence[Piece] = ()


def encode_frames(frames: Iterable[Frame]) -> bytes:
    """All of them, as they go over the wire."""
    return b"".join(encode_pieces(frames))


def encode_pieces(frames: Iterable[Frame]) -> list[bytes | Piece]:
    """The same in pieces: what is large of bodies as it is, not copied."""
    whole: list[bytes | Piece] = []
    pieces: list[bytes | Piece] = []
    for frame in frames:
        head = _encode_head(frame.head)
        assert len(head) <= HEAD_SIZE_MAX, f"head of {len(head)} bytes in a frame of kind {frame.kind}"
        prefix = _PREFIX.pack(frame.kind, len(head)) + head
        parts: list[bytes | Piece] = [frame.body, *frame.more]
        checksum = google_crc32c.value(prefix)
        for part in parts:
            checksum = google_crc32c.extend(checksum, part)
        size = len(prefix) + sum(map(len, parts))
        pieces += (_OUTER.pack(size, _checksum_of_length(size), checksum), prefix)
        for part in parts:
            if len(part) < PIECE_SIZE_MIN:
                pieces.append(part)
            else:
                whole += (b"".join(pieces), part)
                pieces = []
    return [*whole, b"".join(pieces)] if pieces else whole


def _checksum_of_length(size: int) -> int:
    checksum: int = google_crc32c.value(size.to_bytes(_LENGTH_BYTES, "little"))
    return checksum


def _encode_head(head: list[Any]) -> bytes:
    if len(head) <= 2 and all(type(value) is int for value in head):
        return _encode_numbers(*head)
    return cbor2.dumps(head)


@functools.lru_cache(SHORT_HEAD_COUNT_MAX)
def _encode_numbers(*head: int) -> bytes:
    return cbor2.dumps(head)


class FrameDecoder:
    """Bytes in, frames out, resumable at any byte.

    A limit is given with each ``take_frame``, since a frame may change what is allowed for the next.
    """

    __slots__ = ("_at", "_input", "_missing", "_outer", "_pieces", "_sum")

    def __init__(self) -> None:
        self._input = b""
        self._at = 0
        self._outer = b""
        """What there is of an unfinished frame's length and checksums, and then of the rest, in pieces."""
        self._sum = 0
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._missing = 0

    @property
    def unfinished(self) -> bool:
        """Whether a frame has begun and not ended.  Asked when all frames have been taken."""
        return bool(self._outer)

    def receive_data(self, data: bytes) -> None:
        """Call it when all frames of the bytes before have been taken."""
        assert self._at == len(self._input)
        self._input, self._at = data, 0

    def take_frame(self, size_max: int) -> Frame | None:
        """The next, of ``size_max`` bytes after its checksums at most; None: bytes are missing.

        Raises LinkViolation.
        """
        if self._at == len(self._input):
            return None
        frame = None if self._outer else self._take_whole(size_max)
        if frame is not None:
            return frame
        if len(self._outer) < _OUTER.size and not self._take_outer(size_max):
            return None
        data, begin = self._input, self._at
        end = min(begin + self._missing, len(data))
        self._at = end
        self._missing -= end - begin
        if self._missing:
            self._keep(memoryview(data)[begin:end])
            return None
        if end == len(data):
            # Not held on to: the body is a copy, and the chunk may be large.
            self._input, self._at = b"", 0
        pieces, self._pieces, self._outer = self._pieces, [], b""
        if not pieces:
            return _decode(data, begin, end, self._sum)
        pieces.append(memoryview(data)[begin:end])
        return _decode_pieces(pieces, self._sum)

    def _take_whole(self, size_max: int) -> Frame | None:
        """One that is there from beginning to end, as most are; None: this one isn't, or nothing can be made of it."""
        data, begin = self._input, self._at + _OUTER.size
        if begin > len(data):
            return None
        size, size_sum, checksum = _OUTER.unpack_from(data, self._at)
        end = begin + size
        if end > len(data) or not PREFIX_SIZE <= size <= size_max or size_sum != _checksum_of_length(size):
            return None
        if end == len(data):
            self._input, self._at = b"", 0
        else:
            self._at = end
        return _decode(data, begin, end, checksum)

    def _take_outer(self, size_max: int) -> bool:
        """Whether there is all of it."""
        taken = self._input[self._at : self._at + _OUTER.size - len(self._outer)]
        self._at += len(taken)
        self._outer += taken
        if len(self._outer) >= _LENGTH.size:
            size, checksum = _LENGTH.unpack_from(self._outer)
            _check_length(size, checksum, size_max)
        if len(self._outer) < _OUTER.size:
            self._input, self._at = b"", 0
            return False
        self._missing, _, self._sum = _OUTER.unpack(self._outer)
        return True

    def _keep(self, piece: memoryview) -> None:
        self._input, self._at = b"", 0
        pieces = self._pieces
        if pieces and isinstance(pieces[-1], bytearray) and len(pieces[-1]) < PIECE_SIZE_MIN:
            pieces[-1] += piece
        elif piece:
            pieces.append(bytearray(piece) if len(piece) < PIECE_SIZE_MIN else piece)


def _check_length(size: int, checksum: int, size_max: int) -> None:
    """Raises LinkViolation."""
    if size > size_max:
        raise LinkViolation(Reason.FRAME_TOO_LARGE, f"{size} bytes, {size_max} allowed")
    if checksum != _checksum_of_length(size):
        raise LinkViolation(Reason.BAD_CHECKSUM, "of its length")
    if size < PREFIX_SIZE:
        raise LinkViolation(Reason.BAD_FRAME, f"{size} bytes are too few")


def _decode(data: bytes, begin: int, end: int, checksum: int) -> Frame:
    kind, head_size = _PREFIX.unpack_from(data, begin)
    body_begin = begin + PREFIX_SIZE + head_size
    if body_begin > end:
        body_begin = end
    return _checked(kind, head_size, data[begin:body_begin], data[body_begin:end], checksum)


def _decode_pieces(pieces: list[bytes | bytearray | memoryview], checksum: int) -> Frame:
    """Cuts kind and head off the first pieces, so that the body is put together without them."""
    prefix = b""
    prefix_size = PREFIX_SIZE
    while len(prefix) < prefix_size and pieces:
        piece = memoryview(pieces[0])
        cut = prefix_size - len(prefix)
        prefix += piece[:cut]
        if cut < len(piece):
            pieces[0] = piece[cut:]
        else:
            del pieces[0]
        if len(prefix) == PREFIX_SIZE == prefix_size:
            prefix_size += _PREFIX.unpack(prefix)[1]
    kind, head_size = _PREFIX.unpack_from(prefix)
    return _checked(kind, head_size, prefix, b"".join(pieces), checksum)


def _checked(kind: int, head_size: int, prefix: bytes, body: bytes, checksum: int) -> Frame:
    if google_crc32c.extend(google_crc32c.value(prefix), body) != checksum:
        raise LinkViolation(Reason.BAD_CHECKSUM)
    if len(prefix) != PREFIX_SIZE + head_size:
        raise LinkViolation(Reason.BAD_FRAME, f"a head of {head_size} bytes goes beyond its frame")
    head = prefix[PREFIX_SIZE:]
    return Frame(kind, list(_known_head(head)) if head_size <= SHORT_HEAD_SIZE else decode_head(head), body)


@functools.lru_cache(SHORT_HEAD_COUNT_MAX)
def _known_head(data: bytes) -> tuple[Any, ...]:
    return tuple(decode_head(data))


def _refuse_tag(_value: object, _immutable: bool) -> NoReturn:
    raise ValueError("a tag")


# What cbor2 would make something of (dates, decimals, regular expressions, references): heads have plain values.
_TAGS = dict.fromkeys([*range(64), 100, *range(256, 300), 1004, 43000, 55799], _refuse_tag)


def decode_head(data: bytes) -> list[Any]:
    """Raises LinkViolation."""
    source = io.BytesIO(data)
    decoder = cbor2.CBORDecoder(
        source,
        tag_hook=_refuse_tag,
        semantic_decoders=_TAGS,
        max_depth=HEAD_DEPTH_MAX,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        head = decoder.decode()
    except cbor2.CBORDecodeError as error:
        raise LinkViolation(Reason.BAD_FRAME, str(error)) from error
    if not isinstance(head, list) or source.tell() != len(data):
        raise LinkViolation(Reason.BAD_FRAME, "its head is not one array")
    return head
