"""A tree against the schema: every problem with its place, or a ``Config``."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

from broker.config.problem import Mark, Problem, suggestion
from broker.config.refused import FIXED_VALUES, REFUSED_KEYS, refused_protocol
from broker.config.schema import LISTENERS, Config, Listener, Section
from broker.config.source import Mapping, Node, Scalar, Sequence
from broker.config.units import format_duration, format_size, parse_duration, parse_size

PARSERS: dict[str, Callable[[object], float]] = {"size": parse_size, "duration": parse_duration}
FORMATTERS: dict[str, Callable[[Any], str]] = {"size": format_size, "duration": format_duration}
KINDS: dict[Any, tuple[Any, str]] = {
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "a text"),
    bool: (bool, "true or false"),
}
SectionT = TypeVar("SectionT", bound=Section)


class BadValue(Exception):
    """Said of one value; its text ends up in a Problem."""


def check_tree(root: Node, problems: list[Problem]) -> Config:
    """What ``root`` asks for, with defaults where it is silent or wrong; ``problems`` gets what is wrong."""
    return check_section(Config, root, "", problems)


def check_section(section: type[SectionT], node: Node, path: str, problems: list[Problem]) -> SectionT:
    where = path or "message_queue"
    if not isinstance(node, Mapping):
        empty = isinstance(node, Scalar) and node.value is None
        text = f"{where} is empty: fill it, or leave it out" if empty else f"{where} must hold keys"
        problems.append(Problem(node.mark, text))
        return default_of(section)
    hints = typing.get_type_hints(section, include_extras=True)
    values: dict[str, Any] = {}
    for key, (mark, child) in node.items.items():
        full = f"{path}.{key}" if path else key
        if key in hints:
            found = check_field(hints[key], child, full, problems)
            if found is not None:
                values[key] = found
        else:
            problems.append(Problem(mark, refuse_key(full, key, where, hints)))
    required = [field.name for field in msgspec.structs.fields(section) if field.required]
    missing = [name for name in required if name not in node.items]
    for name in missing:
        problems.append(Problem(node.mark, f"{where} lacks {name!r}"))
    if any(name not in values for name in required):
        return default_of(section)
    return section(**values)


def default_of(section: type[SectionT]) -> SectionT:
    """Stands in for a section that is wrong, so that the rest can be checked."""
    required = {field.name: "" for field in msgspec.structs.fields(section) if field.required}
    return section(**required)


def refuse_key(full: str, key: str, where: str, hints: dict[str, Any]) -> str:
    reason = REFUSED_KEYS.get(full)
    if reason is not None:
        return f"{full}: {reason}"
    return f"unknown key {key!r} in {where}{suggestion(key, hints)}"


def check_field(hint: Any, node: Node, path: str, problems: list[Problem]) -> Any:
    """A section, a list or a value; None if it was wrong."""
    meta, kind = unwrap(hint)
    if isinstance(kind, type) and issubclass(kind, Section):
        return check_section(kind, node, path, problems)
    if get_origin(kind) is tuple:
        return check_list(get_args(kind)[0], meta, node, path, problems)
    if not isinstance(node, Scalar):
        problems.append(Problem(node.mark, f"{path} must be a single value"))
        return None
    try:
        return check_value(kind, meta, node.value, path)
    except BadValue as error:
        problems.append(Problem(node.mark, str(error)))
        return None


def unwrap(hint: Any) -> tuple[Meta, Any]:
    """``Annotated[kind, Meta(...)]`` apart."""
    if get_origin(hint) is typing.Annotated:
        kind, meta, *_ = get_args(hint)
        return meta, kind
    return Meta(), hint


def check_list(kind: Any, meta: Meta, node: Node, path: str, problems: list[Problem]) -> tuple[Any, ...] | None:
    """Listeners, whose keys their protocol says, or values of one type; None if it can't be told."""
    if not isinstance(node, Sequence):
        problems.append(Problem(node.mark, f"{path} must be a list"))
        return None
    least, most = meta.min_length or 0, meta.max_length or 1000
    if not least <= len(node.items) <= most:
        problems.append(Problem(node.mark, f"{path} must have {least} to {most} entries"))
        return None
    numbered = [(child, f"{path}[{number}]") for number, child in enumerate(node.items)]
    if kind == Listener:
        found = [check_listener(child, each, problems) for child, each in numbered]
    else:
        found = [check_field(kind, child, each, problems) for child, each in numbered]
    return tuple(item for item in found if item is not None)


def check_listener(node: Node, path: str, problems: list[Problem]) -> Listener | None:
    protocol = node.items.get("protocol") if isinstance(node, Mapping) else None
    if protocol is not None and isinstance(protocol[1], Scalar):
        listener = LISTENERS.get(str(protocol[1].value))
        if listener is None:
            problems.append(Problem(protocol[1].mark, refused_protocol(protocol[1].value)))
            return None
        return check_section(listener, node, path, problems)
    return check_section(LISTENERS["amqp"], node, path, problems)


def check_value(kind: Any, meta: Meta, value: Any, path: str) -> Any:
    """``value`` as the type wants it.  Raises BadValue."""
    if value is None:
        raise BadValue(f"{path} is empty: give it a value, or leave it out")
    if get_origin(kind) is Literal:
        return check_choice(get_args(kind), value, path)
    unit = (meta.extra or {}).get("unit")
    if unit is not None:
        try:
            value = PARSERS[unit](value)
        except ValueError as error:
            raise BadValue(f"{path}: {error}") from None
    types, words = KINDS[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
        raise BadValue(f"{path} must be {words}, not {value!r}")
    if kind is float:
        value = float(value)
    show = FORMATTERS.get(unit or "", str)
    for wrong, bound, words in (
        (meta.ge is not None and value < meta.ge, meta.ge, "at least"),
        (meta.le is not None and value > meta.le, meta.le, "at most"),
    ):
        if wrong:
            raise BadValue(f"{path} must be {words} {show(bound)}, not {show(value)}")
    if isinstance(value, str) and not (meta.min_length or 0) <= len(value.encode()) <= (meta.max_length or 1 << 20):
        raise BadValue(f"{path} must have {meta.min_length or 0} to {meta.max_length} bytes")
    return value


def check_choice(choices: tuple[Any, ...], value: Any, path: str) -> Any:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    if path in FIXED_VALUES:
        shown = str(choices[0]).lower()
        raise BadValue(f"{path} can only be {shown}: {FIXED_VALUES[path]}")
    raise BadValue(f"{path}: {value!r} is unknown{suggestion(str(value), map(str, choices))}")


def overlay(root: Mapping | None, keys: list[str], node: Node, mark: Mark) -> Mapping:
    """``root`` with ``node`` at the place that ``keys`` lead to."""
    key, rest = keys[0], keys[1:]
    items = dict(root.items) if root else {}
    if rest:
        below = items[key][1] if key in items else None
        items[key] = (mark, overlay(below if isinstance(below, Mapping) else None, rest, node, mark))
    else:
        items[key] = (mark, node)
    return Mapping(root.mark if root else mark, items)
