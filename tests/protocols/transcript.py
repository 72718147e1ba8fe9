"""What the transcripts of all protocols have in common: lines that say something, and what is done about each.

A line of a stimulus begins with ``C:``, ``core:`` or ``time:``; what is done about it is indented below; ``#`` begins a
comment.  What the lines mean is each protocol's (``conversation.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

STIMULI = ("C:", "core:", "time:")


class Talk(Protocol):
    """A conversation that reads lines."""

    def reads(self, line: str) -> list[str]:
        """One line that says something to the adapter; what the adapter does about it."""


def replayed(transcript: str, talk: Talk) -> str:
    """The transcript as it really goes: what is said is kept, what is done about it is written anew."""
    lines: list[str] = []
    for line in transcript.strip().splitlines():
        line = line.strip()
        if line.startswith(STIMULI):
            lines += [line, *(f"    {done}" for done in talk.reads(line))]
        elif not line or line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def conversation(talk: Talk, transcript: str) -> None:
    """Asserts that a conversation goes exactly as written."""
    expected = [line.strip() for line in transcript.strip().splitlines()]
    actual = [line.strip() for line in replayed(transcript, talk).splitlines()]
    assert actual == expected, "it went:\n" + "\n".join(actual)


def split(words: list[str], separator: str) -> list[list[str]]:
    """The words between separators."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == separator:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def struct_text(value: Any, kernel_text: Callable[[Any], str | None]) -> str:
    """A struct in the shape that makes it, without what has its default; ``kernel_text`` knows the kernel's values."""
    text = kernel_text(value)
    if text is not None:
        return text
    if isinstance(value, list):
        return f"[{', '.join(struct_text(each, kernel_text) for each in value)}]"
    if not isinstance(value, msgspec.Struct):
        return f"{type(value).__name__}.{value.name}" if hasattr(value, "name") else repr(value)
    parts: list[str] = []
    positional = True
    for field in msgspec.structs.fields(value):
        argument = getattr(value, field.name)
        if field.required or (argument != field.default and argument != {}):
            written = struct_text(argument, kernel_text)
            parts.append(written if positional else f"{field.name}={written}")
        else:
            positional = False
    return f"{type(value).__name__}({', '.join(parts)})"
