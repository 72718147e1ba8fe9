"""Frames between nodes.

    u32 length | u32 CRC32C of the length | u32 CRC32C of the rest | u8 kind | u16 head length | head: CBOR array | body

Little endian; the length is that of the rest.  Law of the decoder: however the bytes are cut, the frames
are the same; nothing is believed before its checksum holds; a body is copied once, out of the pieces it came in.  The
length has a checksum of its own, as a wrong one would otherwise be found out only when so many bytes have come.
Raft's messages are made frames of by the kernel (``take_frames``).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from typing import Any, NoReturn

import cbor2
import google_crc32c
import msgspec

from broker.cluster.violation import LinkViolation, Reason
from kernel import FrameDecoder as KernelDecoder

HEAD_SIZE_MAX = 65_535
"""What its u16 can say."""
HEAD_DEPTH_MAX = 8
PREFIX_SIZE = 3
"""Kind and head's length."""
FRAME_OVERHEAD_MAX = PREFIX_SIZE + HEAD_SIZE_MAX
"""Of a frame's length, beside its body."""
PIECE_SIZE_MIN = 16_384
"""Smaller bodies are put together with what comes before and after them."""

_OUTER = struct.Struct("<III")
_LENGTH_BYTES = 4
_PREFIX = struct.Struct("<BH")


class Frame(msgspec.Struct, frozen=True):
    """``head``: plain values (numbers, text, bytes, lists of them)."""

    kind: int
    head: list[Any]
    body: bytes = b""


def encode_frames(frames: Iterable[Frame]) -> bytes:
    """All of them, as they go over the wire."""
    return b"".join(encode_pieces(frames))


def encode_pieces(frames: Iterable[Frame]) -> list[bytes]:
    """The same in pieces: large bodies as they are, not copied."""
    whole: list[bytes] = []
    pieces: list[bytes] = []
    for frame in frames:
        head = cbor2.dumps(frame.head)
        assert len(head) <= HEAD_SIZE_MAX, f"head of {len(head)} bytes in a frame of kind {frame.kind}"
        prefix = _PREFIX.pack(frame.kind, len(head)) + head
        body = frame.body
        checksum = google_crc32c.extend(google_crc32c.value(prefix), body)
        size = len(prefix) + len(body)
        pieces += (_OUTER.pack(size, _checksum_of_length(size), checksum), prefix)
        if len(body) < PIECE_SIZE_MIN:
            pieces.append(body)
        else:
            whole += (b"".join(pieces), body)
            pieces = []
    return [*whole, b"".join(pieces)] if pieces else whole


def _checksum_of_length(size: int) -> int:
    checksum: int = google_crc32c.value(size.to_bytes(_LENGTH_BYTES, "little"))
    return checksum


class FrameDecoder:
    """Bytes in, frames out, resumable at any byte (kernel/src/peer_frame.rs).

    A limit is given each time, since a frame may change what is allowed for the next.
    """

    __slots__ = ("_decoder", "receive_data")

    def __init__(self) -> None:
        self._decoder = KernelDecoder(Frame, decode_head, _violation)
        self.receive_data = self._decoder.receive_data
        """Call it when all frames of the bytes before have been taken."""

    @property
    def unfinished(self) -> bool:
        """Whether a frame has begun and not ended.  Asked when all frames have been taken."""
        return self._decoder.unfinished

    def take_frame(self, size_max: int) -> Frame | None:
        """The next, of ``size_max`` bytes after its checksums at most; None: bytes are missing.

        Raises LinkViolation.
        """
        frames, _, error = self._decoder.take_frames(size_max, 1, 0)
        if error is not None:
            raise error
        return frames[0] if frames else None

    def take_frames(self, size_max: int, plain_kind: int) -> tuple[list[Frame], bool, LinkViolation | None]:
        """All that are there; whether they are plain: of that kind, with one number as head and a body that leaves room
        for the largest head; and what is wrong with the next."""
        return self._decoder.take_frames(size_max, None, plain_kind)


def _violation(reason: str, detail: str) -> LinkViolation:
    return LinkViolation(Reason(reason), detail)


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
