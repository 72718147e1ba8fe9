"""Rounds as people read them."""

from __future__ import annotations

from collections.abc import Iterator

from tests.rig.rounds import Round

COLUMNS = (
    ("round", 5),
    ("fault", 12),
    ("node", 13),
    ("led", 10),
    ("next confirm", 12),
    ("ready again", 11),
    ("confirmed", 9),
    ("lost", 5),
    ("doubled", 7),
    ("strange", 7),
    ("flagged again", 13),
)


def heading() -> str:
    return "  ".join(name.rjust(width) for name, width in COLUMNS)


def line(number: int, told: Round) -> str:
    return "  ".join(text.rjust(width) for text, (_, width) in zip(_cells(number, told), COLUMNS, strict=True))


def _cells(number: int, told: Round) -> Iterator[str]:
    yield str(number)
    yield told.fault
    yield told.node.replace("node-", "") or "-"
    yield ",".join("meta" if shard == 0 else str(shard) for shard in told.led) or "-"
    yield "-" if told.next_confirm_s is None else f"{told.next_confirm_s:.2f} s"
    yield f"{told.back_s:.2f} s" if told.back_s else "-"
    for count in (told.confirmed, told.lost, told.doubled, told.strange, told.again):
        yield str(count)
