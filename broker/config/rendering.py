"""A configuration as the file that would give it, every key written out."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from broker.config.checking import FORMATTERS, unwrap
from broker.config.schema import Config, Section

HIDDEN = "<hidden>"
LINE_SIZE_MAX = 80


def render(config: Config) -> str:
    """YAML; secrets are hidden."""
    return "message_queue:\n" + "".join(f"  {line}\n" for line in section_lines(config))


def section_lines(section: Section) -> Iterator[str]:
    hints = typing.get_type_hints(type(section), include_extras=True)
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        if isinstance(value, Section):
            yield f"{field.name}:"
            yield from (f"  {line}" for line in section_lines(value))
        elif isinstance(value, tuple) and not any(isinstance(item, Section) for item in value):
            yield f"{field.name}: [{', '.join(render_value(item, str) for item in value)}]"
        elif isinstance(value, tuple):
            yield f"{field.name}:"
            for item in value:
                yield from (f"  {line}" for line in item_lines(item))
        else:
            yield f"{field.name}: {render_value(value, hints[field.name])}"


def item_lines(item: Section) -> Iterator[str]:
    """In one line if it fits."""
    keys = list(section_lines(item))
    whole = f"- {{{', '.join(keys)}}}"
    if len(whole) <= LINE_SIZE_MAX:
        yield whole
        return
    yield f"- {keys[0]}"
    yield from (f"  {key}" for key in keys[1:])


def render_value(value: Any, hint: Any) -> str:
    meta, _ = unwrap(hint)
    extra = meta.extra or {}
    if extra.get("secret") and value:
        return json.dumps(HIDDEN)
    if "unit" in extra:
        return FORMATTERS[extra["unit"]](value)
    return json.dumps(value, ensure_ascii=False)  # a JSON scalar is YAML
