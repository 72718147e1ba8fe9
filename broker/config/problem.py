"""What is wrong with a configuration, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec


class Mark(msgspec.Struct, frozen=True):
    """A place in a source: a file, or an environment variable.  Lines and columns count from 1."""

    source: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


class Problem(msgspec.Struct, frozen=True):
    """One thing that has to be changed."""

    mark: Mark
    text: str

    def __str__(self) -> str:
        return f"{self.mark}: {self.text}"


class ConfigError(Exception):
    """Everything that was found wrong, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        assert problems
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


def suggestion(word: str, known: Iterable[str]) -> str:
    """`` - did you mean ...?`` if something known is close, else the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f" - did you mean {close[0]!r}?" if close else f" - known here: {', '.join(names)}"
