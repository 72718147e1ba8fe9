"""Coverage-guided fuzzing of what is written in Python: the loop, the corpus, the changes; what is fuzzed is a Target.

An input that takes a step from one line to another that none before took joins the corpus; ``--keep`` writes those that
are worth it back.  An input that breaks a law is written to ``target/fuzz/broken`` and named.
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
from typing import Any, NamedTuple, TypeAlias

ROOT = Path(__file__).parents[2]
TRACED = str(ROOT / "protocols")
SIZE_MAX = 4_096
TELLING = (0, 1, 2, 3, 4, 0x10, 0x18, 0x20, 0x23, 0x24, 0x2B, 0x2F, 0x40, 0x7F, 0x80, 0x81, 0x9F, 0xC2, 0xED, 0xFF)
Steps: TypeAlias = set[tuple[int, int, int]]
"""Code, line before, line."""
Mutation: TypeAlias = Callable[[bytearray, int, bytes, random.Random], None]
"""Changes bytes at a place; others lend some."""


class Target(NamedTuple):
    """``check`` raises where a law is broken; ``mutations`` are its own, beside those that fit all."""

    what: str
    corpus: Path
    check: Callable[[bytes], None]
    mutations: tuple[Mutation, ...] = ()


def steps_of(target: Target, data: bytes) -> Steps:
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
        target.check(data)
    finally:
        sys.settrace(None)
    return steps


def _change(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    if at < len(out):
        change = rng.choice((out[at] ^ 1 << rng.randrange(8), rng.choice(TELLING), out[at] + rng.randint(-2, 2)))
        out[at] = change & 0xFF


def _insert(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out.insert(at, rng.choice(TELLING))


def _delete(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    del out[at : at + rng.randint(1, 8)]


def _double(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out[at:at] = out[at : at + rng.randint(1, 32)]


def _lend(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    start = rng.randrange(len(other) + 1)
    out[at:at] = other[start : start + rng.randint(1, 32)]


MUTATIONS: tuple[Mutation, ...] = (_change, _change, _change, _insert, _delete, _double, _lend)


def mutate(data: bytes, other: bytes, rng: random.Random, own: tuple[Mutation, ...] = ()) -> bytes:
    """A changed copy; ``other`` lends bytes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        rng.choice((*MUTATIONS, *own))(out, rng.randrange(len(out) + 1), other, rng)
    return bytes(out[:SIZE_MAX])


def fuzz(target: Target, seconds: float, seed: int, keep: bool) -> None:
    corpus: list[bytes] = []
    seen: Steps = set()
    for data in [path.read_bytes() for path in sorted(target.corpus.iterdir())]:
        took = _checked(target, data)
        corpus.append(data)
        seen |= took
    first_count, first_steps = len(corpus), len(seen)
    rng, count, end = random.Random(seed), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        # The newer an input, the likelier it is at the edge of what is known.
        newest = max(rng.randrange(len(corpus)), rng.randrange(len(corpus)))
        data = mutate(corpus[newest], rng.choice(corpus), rng, target.mutations)
        took = _checked(target, data)
        if not took <= seen:
            seen |= took
            corpus.append(data)
        count += 1
    grown = f"{first_steps} -> {len(seen)} steps, corpus {first_count} -> {len(corpus)}"
    print(f"{count} inputs in {seconds:g} s, seed {seed}: {grown}; all laws hold")
    if keep:
        _keep(target, corpus)


def _checked(target: Target, data: bytes) -> Steps:
    """Its steps.  What breaks a law is raised on, and the input kept."""
    holds = False
    try:
        steps = steps_of(target, data)
        holds = True
    finally:
        if not holds:
            folder = ROOT / "target" / "fuzz" / "broken"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / hashlib.sha256(data).hexdigest()[:16]
            path.write_bytes(data)
            print(f"a law is broken: {path}")
    return steps


def _keep(target: Target, corpus: list[bytes]) -> None:
    """Writes the smallest inputs that together take every step."""
    seen: Steps = set()
    for path in target.corpus.iterdir():
        path.unlink()
    for data in sorted(corpus, key=len):
        took = steps_of(target, data)
        if not took <= seen:
            seen |= took
            (target.corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main(target: Target) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=f"Coverage-guided fuzzing of {target.what}.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    for path in arguments.files:
        target.check(path.read_bytes())
    if not arguments.files:
        fuzz(target, arguments.seconds, arguments.seed, arguments.keep)
