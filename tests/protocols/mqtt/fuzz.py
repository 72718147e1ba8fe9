"""Coverage-guided fuzzing of the packet codec.

``python -m tests.protocols.mqtt.fuzz [--seconds 60] [--seed N] [--keep] [FILE...]``

Starts from ``corpus/``, where an input is the first byte of a packet, a byte for version and sender, and the body.  An
input that takes a step from one line to another that none before took joins the corpus; ``--keep`` writes those that
are worth it back.  An input that breaks a law is written to ``target/fuzz/broken`` and named; ``FILE`` checks it again.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

from protocols.mqtt.packet_codec import decode_packet, encode_packet
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import PACKETS, Connect, Packet, Subscribe, Unsubscribe
from protocols.mqtt.properties import PROPERTIES
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topic_filter import TopicFilter, parse_filter
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation

ROOT = Path(__file__).parents[3]
CORPUS = Path(__file__).parent / "corpus"
TRACED = str(ROOT / "protocols" / "mqtt")
SIZE_MAX = 4_096
VERSIONS = (None, *Version)
TELLING = (0, 1, 2, 3, 4, 0x10, 0x18, 0x20, 0x23, 0x24, 0x2B, 0x2F, 0x40, 0x7F, 0x80, 0x81, 0x9F, 0xC2, 0xED, 0xFF)
IDENTIFIERS = tuple(row.identifier for row in PROPERTIES.values())
Steps: TypeAlias = set[tuple[int, int, int]]
"""Code, line before, line."""


def encode_input(packet: bytes, version: Version | None, sender: Sender, body: bytes) -> bytes:
    return packet[:1] + bytes((VERSIONS.index(version) << 1 | sender,)) + body


def check(data: bytes) -> None:
    """The laws; AssertionError, or whatever else is raised, where one is broken."""
    first, what = (*data[:2], 0, 0)[:2]
    packet_type, flags = first >> 4, first & 0x0F
    version, sender = VERSIONS[what >> 1 & 3], Sender(what & 1)
    if packet_type == PacketType.PUBLISH:
        return
    try:
        packet = decode_packet(packet_type, flags, data[2:], version, sender)
    except ProtocolViolation as violation:
        assert violation.reason_code >= ReasonCode.UNSPECIFIED_ERROR  # noqa: PT017
        assert violation.detail.isprintable()  # noqa: PT017
        return
    assert type(packet) is PACKETS[PacketType(packet_type)].packet
    spoken = packet.protocol_level if isinstance(packet, Connect) else version
    assert spoken is not None
    _check_again(packet, spoken, sender)
    _check_filters(packet)


def _check_again(packet: Packet, version: Version, sender: Sender) -> None:
    encoded = encode_packet(packet, version)
    size_size = next(size for size in range(1, 5) if encoded[size] < 0x80)
    again = decode_packet(encoded[0] >> 4, encoded[0] & 0x0F, encoded[1 + size_size :], version, sender)
    assert again == packet
    for size_max in (len(encoded) - 1, len(encoded) // 2, 2):
        assert len(encode_packet(packet, version, size_max)) <= size_max


def _check_filters(packet: Packet) -> None:
    filters: tuple[str, ...] = ()
    if isinstance(packet, Subscribe):
        filters = tuple(request.filter for request in packet.requests)
    elif isinstance(packet, Unsubscribe):
        filters = packet.filters
    for text in filters:
        parsed = parse_filter(text)
        if isinstance(parsed, TopicFilter):
            assert "/".join(parsed.levels) == parsed.filter
            assert parsed.filter


def steps_of(data: bytes) -> Steps:
    """Checks the input, and tells which steps from line to line it took."""
    steps: Steps = set()

    def trace_call(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        code, before = id(frame.f_code), 0

        def trace_line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            steps.add((code, before, frame.f_lineno))
            before = frame.f_lineno
            return trace_line

        return trace_line

    sys.settrace(trace_call)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return steps


def _change(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    if at < len(out):
        change = rng.choice((out[at] ^ 1 << rng.randrange(8), rng.choice(TELLING), out[at] + rng.randint(-2, 2)))
        out[at] = change & 0xFF


def _insert(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out.insert(at, rng.choice(TELLING))


def _insert_property(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out[at:at] = bytes((rng.choice(IDENTIFIERS), 0, rng.randrange(4), *rng.choices(TELLING, k=3)))


def _delete(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    del out[at : at + rng.randint(1, 8)]


def _double(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out[at:at] = out[at : at + rng.randint(1, 32)]


def _lend(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    start = rng.randrange(len(other) + 1)
    out[at:at] = other[start : start + rng.randint(1, 32)]


def _retype(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out[:2] = bytes((rng.choice((*out[:1], rng.randrange(256))), rng.randrange(8)))


MUTATIONS = (_change, _change, _change, _insert, _insert_property, _delete, _double, _lend, _retype)


def mutate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """A changed copy; ``other`` lends bytes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        rng.choice(MUTATIONS)(out, rng.randrange(len(out) + 1), other, rng)
    return bytes(out[:SIZE_MAX])


def fuzz(seconds: float, seed: int, keep: bool) -> None:
    corpus: list[bytes] = []
    seen: Steps = set()
    for data in [path.read_bytes() for path in sorted(CORPUS.iterdir())]:
        took = _checked(data)
        corpus.append(data)
        seen |= took
    first_count, first_steps = len(corpus), len(seen)
    rng, count, end = random.Random(seed), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        # The newer an input, the likelier it is at the edge of what is known.
        newest = max(rng.randrange(len(corpus)), rng.randrange(len(corpus)))
        data = mutate(corpus[newest], rng.choice(corpus), rng)
        took = _checked(data)
        if not took <= seen:
            seen |= took
            corpus.append(data)
        count += 1
    grown = f"{first_steps} -> {len(seen)} steps, corpus {first_count} -> {len(corpus)}"
    print(f"{count} inputs in {seconds:g} s, seed {seed}: {grown}; all laws hold")
    if keep:
        _keep(corpus)


def _checked(data: bytes) -> Steps:
    """Its steps.  What breaks a law is raised on, and the input kept."""
    holds = False
    try:
        steps = steps_of(data)
        holds = True
    finally:
        if not holds:
            folder = ROOT / "target" / "fuzz" / "broken"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / hashlib.sha256(data).hexdigest()[:16]
            path.write_bytes(data)
            print(f"a law is broken: {path}")
    return steps


def _keep(corpus: list[bytes]) -> None:
    """Writes the smallest inputs that together take every step."""
    seen: Steps = set()
    for path in CORPUS.iterdir():
        path.unlink()
    for data in sorted(corpus, key=len):
        took = steps_of(data)
        if not took <= seen:
            seen |= took
            (CORPUS / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing of the MQTT packet codec.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    for path in arguments.files:
        check(path.read_bytes())
    if not arguments.files:
        fuzz(arguments.seconds, arguments.seed, arguments.keep)


if __name__ == "__main__":
    main()
