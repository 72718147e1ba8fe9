"""YAML into a tree that remembers where everything stood.

YAML 1.1 has traps (``no`` is False, ``12:30:45`` is 45045, a second key silently wins): here a plain word is
what YAML 1.2 says, and what the two read differently is refused, as are duplicates, anchors and tags.
The tree is built from libyaml's events: nothing recurses on what a file holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

import msgspec
import yaml

from broker.config.problem import ConfigError, Mark, Problem

SOURCE_SIZE_MAX = 1 << 20
"""Bytes.  A thousand times the documented file."""
DEPTH_MAX = 32
"""Four times what any key needs."""

Value: TypeAlias = bool | int | float | str | None


class Scalar(msgspec.Struct, frozen=True):
    """A value and its place."""

    mark: Mark
    value: Value


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    mark: Mark
    items: list[Node]


class Mapping(msgspec.Struct, frozen=True):
    """Keys with their own places."""

    mark: Mark
    items: dict[str, tuple[Mark, Node]]


Node: TypeAlias = Scalar | Sequence | Mapping

TRAPS = re.compile(
    r"(?P<bool>yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|y|Y|n|N|True|TRUE|False|FALSE)"
    r"|(?P<sexagesimal>[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)"
    r"|(?P<octal>[-+]?0[0-9_]+)"
    r"|(?P<underscore>[-+]?[0-9]+_[0-9_]*)"
    r"|(?P<date>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?)"
)
ADVICE = {
    "bool": "write true or false, or quote it if it is a text",
    "sexagesimal": "YAML 1.1 reads it as a number to base 60: quote it",
    "octal": "YAML 1.1 reads a leading 0 as octal: leave it out, or quote it",
    "underscore": "leave the underscores out, or quote it",
    "date": "YAML 1.1 reads it as a date: quote it",
}
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
NUMBER = re.compile(r"[-+]?([0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18}|[0-9]{1,18}(\.[0-9]{0,18})?[eE][-+]?[0-9]{1,2})")


def read_tree(text: str, source: str) -> Node | None:
    """The document's tree; None if it is empty.  ConfigError names the place of what can't be read."""
    if len(text.encode()) > SOURCE_SIZE_MAX:
        raise ConfigError([Problem(Mark(source, 1, 1), f"longer than {SOURCE_SIZE_MAX} bytes")])
    try:
        events = list(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(source, at.line + 1, at.column + 1) if at else Mark(source, 1, 1)
        raise ConfigError([Problem(mark, f"not YAML: {error.problem or error.context}")]) from None
    except yaml.YAMLError as error:  # a character that YAML doesn't know
        place = Mark(source, text[: getattr(error, "position", 0)].count("\n") + 1, 1)
        raise ConfigError([Problem(place, f"not YAML: {' '.join(str(error).split())}")]) from None
    return TreeBuilder(source).build(iter(events))


class TreeBuilder:
    """Events into nodes."""

    def __init__(self, source: str) -> None:
        self._source = source

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                raise self._error(event, "a second document: one file holds one")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, 0)
        if isinstance(root, Scalar) and root.value is None:
            return None
        return root

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        assert isinstance(event, yaml.NodeEvent)
        if depth > DEPTH_MAX:
            raise self._error(event, f"nested deeper than {DEPTH_MAX}")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._error(event, "anchors and aliases aren't supported: write it out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._error(event, f"tags aren't supported ({tag})")
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(self._mark(event), self._scalar(event))
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                items.append(self._node(item, events, depth + 1))
            return Sequence(self._mark(event), items)
        return self._mapping(event, events, depth)

    def _mapping(self, event: yaml.NodeEvent, events: Iterator[yaml.Event], depth: int) -> Mapping:
        items: dict[str, tuple[Mark, Node]] = {}
        while not isinstance(key := next(events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent) or key.anchor is not None or key.tag is not None:
                raise self._error(key, "a key must be a word")
            name, mark = key.value, self._mark(key)
            if name in items:
                raise self._error(key, f"{name!r} is there twice: first in line {items[name][0].line}")
            items[name] = (mark, self._node(next(events), events, depth + 1))
        return Mapping(self._mark(event), items)

    def _scalar(self, event: yaml.ScalarEvent) -> Value:
        text: str = event.value
        if event.style is not None and event.style != "":
            return text
        if text in ("", "~", "null"):
            return None
        if text in ("true", "false"):
            return text == "true"
        trap = TRAPS.fullmatch(text)
        if trap is not None:
            kind = next(name for name, found in trap.groupdict().items() if found is not None)
            raise self._error(event, f"{text!r}: {ADVICE[kind]}")
        if INTEGER.fullmatch(text):
            return int(text)
        return float(text) if NUMBER.fullmatch(text) else text

    def _mark(self, event: yaml.Event) -> Mark:
        at = event.start_mark
        assert at is not None
        return Mark(self._source, at.line + 1, at.column + 1)

    def _error(self, event: yaml.Event, text: str) -> ConfigError:
        return ConfigError([Problem(self._mark(event), text)])
