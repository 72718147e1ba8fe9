"""What the README and the other pages tell one to type is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RULE = re.compile(r"^([\w/%. -]+):(?!=)", re.MULTILINE)
FENCED = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"^make ([\w/-]+)", re.MULTILINE)
INLINE = re.compile(r"`make ([\w/-]+)")


def told(page: Path) -> set[tuple[str, str]]:
    """Names of rules, each with its page's."""
    text = page.read_text()
    typed = [name for block in FENCED.findall(text) for name in TYPED.findall(block)]
    return {(page.name, name) for name in (*typed, *INLINE.findall(text))}


def test_every_make_that_is_told_has_a_rule() -> None:
    rules = {name for names in RULE.findall((ROOT / "Makefile").read_text()) for name in names.split()}
    all_told = set().union(*map(told, PAGES))
    assert ("README.md", "run") in all_told
    assert sorted(each for each in all_told if each[1] not in rules) == []
