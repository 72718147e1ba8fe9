"""Words of the core as frames, and back: the word in MessagePack, then blobs of messages as they lie in the log.

What comes in is a peer's: ``msgspec`` checks every field against its type, and the kernel each message's checksum.
(A word has too many small parts for the heads' CBOR: 20 us instead of 2 us on a 2-core VM.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Kind
from broker.cluster.member_words import MemberWord
from broker.cluster.violation import LinkViolation, Reason
from broker.core.forward_words import ForwardWord
from kernel import DeliveryRun, Grant, MessageRun, PacketIds, Route, decode_record_batch, encode_record_batch

Word: TypeAlias = ForwardWord | MemberWord
ROUTES_REMEMBERED_MAX = 4096
"""Routes that are made once for many publishes: small runs of one route share a frame of the log."""


class WordCodec:
    """Of one node: it holds the blobs of the word that is under way."""

    def __init__(self) -> None:
        self._blobs: list[bytes] = []
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._carry)
        self._sizes = msgspec.msgpack.Decoder(list[int])
        self._decoder: msgspec.msgpack.Decoder[Word] = msgspec.msgpack.Decoder(Word, dec_hook=self._bring)

    def encode(self, word: Word) -> Frame:
        """The head: [size of the word, size of the list of the blobs' sizes]."""
        self._blobs = []
        encoded = self._encoder.encode(word)
        sizes = self._encoder.encode([len(blob) for blob in self._blobs])
        return Frame(Kind.WORD, [len(encoded), len(sizes)], b"".join((encoded, sizes, *self._blobs)))

    def decode(self, frame: Frame) -> Word:
        """Raises LinkViolation."""
        try:
            word_size, list_size = frame.head
            begin = word_size + list_size
            self._blobs = _cut(frame.body, begin, self._sizes.decode(frame.body[word_size:begin]))
            return self._decoder.decode(frame.body[:word_size])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise LinkViolation(Reason.BAD_FRAME, f"a word that is none: {error}") from error

    def _carry(self, value: Any) -> Any:
        return CARRIED[type(value)](value, self._blobs)

    def _bring(self, type: type, value: Any) -> Any:
        return BROUGHT[type](value, self._blobs)


def _cut(body: bytes, at: int, sizes: list[int]) -> list[bytes]:
    if any(size < 0 for size in sizes) or at + sum(sizes) != len(body):
        raise ValueError("blobs of other sizes than the body's")
    blobs = []
    for size in sizes:
        blobs.append(body[at : at + size])
        at += size
    return blobs


def _carry_run(run: MessageRun, blobs: list[bytes]) -> int:
    blobs.append(encode_record_batch(run, 0))
    return len(blobs) - 1


def _carry_deliveries(deliveries: DeliveryRun, blobs: list[bytes]) -> int:
    blobs.append(deliveries.encode())
    return len(blobs) - 1


def _bring_run(number: int, blobs: list[bytes]) -> MessageRun:
    return decode_record_batch(_blob(number, blobs))[1]


def _bring_deliveries(number: int, blobs: list[bytes]) -> DeliveryRun:
    return DeliveryRun.decode(_blob(number, blobs))


def _blob(number: int, blobs: list[bytes]) -> bytes:
    if type(number) is not int or number < 0:
        raise ValueError("no such blob")
    return blobs[number]


@lru_cache(ROUTES_REMEMBERED_MAX)
def _route(targets: tuple[Any, ...]) -> Route:
    return Route(list(targets))


def _bring_route(targets: list[Any], blobs: list[bytes]) -> Route:
    return _route(tuple((*target[:4], None if target[4] is None else tuple(target[4])) for target in targets))


CARRIED: dict[type, Callable[[Any, list[bytes]], Any]] = {
    MessageRun: _carry_run,
    DeliveryRun: _carry_deliveries,
    Route: lambda route, blobs: route.targets,
    PacketIds: lambda ids, blobs: ids.to_list(),
    Grant: lambda grant, blobs: [grant.qos, grant.retain_as_published, grant.subscription_ids],
}
BROUGHT: dict[type, Callable[[Any, list[bytes]], Any]] = {
    MessageRun: _bring_run,
    DeliveryRun: _bring_deliveries,
    Route: _bring_route,
    PacketIds: lambda ids, blobs: PacketIds.of(ids),
    Grant: lambda fields, blobs: Grant(*fields),
}
