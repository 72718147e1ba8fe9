"""The page about links says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broker.cluster.frame_kinds import KINDS, Kind

PAGE = (Path(__file__).parents[2] / "docs" / "cluster-links.md").read_text()
ROWS = {
    name: (int(number), where, sender, size)
    for name, number, where, sender, size in re.findall(
        r"^\| ([A-Z_]+) \| (\d+) \| (\w+) \| (\w+) \| .* \| (\S+(?: MiB)?) \|$", PAGE, re.MULTILINE
    )
}


def test_the_page_has_all_kinds() -> None:
    assert list(ROWS) == [kind.name for kind in KINDS]


@pytest.mark.parametrize("kind", list(Kind))
def test_the_page_says_what_the_table_says(kind: Kind) -> None:
    rule = KINDS[kind]
    where = "handshake" if rule.channel is None else rule.channel.name.lower()
    size = f"{rule.body_size_max >> 20} MiB" if rule.body_size_max else "-"
    assert ROWS[kind.name] == (kind, where, rule.sender.value, size)
