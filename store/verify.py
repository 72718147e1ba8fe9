"""``dragoman log verify``: what was found good, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from store.dump import count_text, size_text


def good(counts: Sequence[tuple[str, int]]) -> Iterator[str]:
    """``counts`` as ``kernel.journal.LogReader.verify`` answers them."""
    found = dict(counts)
    yield "all good"
    yield f"  journal     {_list(found, 'journal file', 'write', 'entry:entries')}, {size_text(found['journal bytes'])}"
    yield f"  segments    {_list(found, 'segment', 'piece', 'record')}, {size_text(found['segment bytes'])}"
    if found["checkpoint"]:
        checkpoint = _list(found, "block", "shard", "queue")
        yield f"  checkpoint  number {found['checkpoint']}: {checkpoint}"
    else:
        yield "  checkpoint  none yet"
    if found["torn tail"]:
        yield "  the last write was torn by a crash and was never confirmed: it is cut when the broker starts"
    elif not found["closed cleanly"]:
        yield "  the broker was not stopped cleanly: its last write can't be told from one that was torn"


def _list(found: dict[str, int], *names: str) -> str:
    parts = []
    for name in names:
        one, _, many = name.partition(":")
        many = many or one + "s"
        parts.append(count_text(found[many], one, many))
    return ", ".join(parts)


def damaged(file: str, position: int, what: str, remedy: str) -> Iterator[str]:
    """The parts of a ``kernel.journal.Damage``."""
    yield f"damaged: {file} at byte {position}"
    yield f"  {what}"
    yield f"  remedy: {remedy}"
