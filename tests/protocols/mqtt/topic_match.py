"""Which topic names a filter matches, as slowly and plainly as MQTT 5, 4.7 says it."""

from __future__ import annotations


def matches(filter_text: str, topic_name: str) -> bool:
    """A filter that is one, without ``$share/<name>/``, and a topic name that is one."""
    filter_levels, levels = filter_text.split("/"), topic_name.split("/")
    if topic_name.startswith("$") and filter_levels[0] in ("+", "#"):
        return False  # [MQTT-4.7.2-1]
    return _match(filter_levels, levels)


def _match(filter_levels: list[str], levels: list[str]) -> bool:
    if not filter_levels:
        return not levels
    first, *rest = filter_levels
    if first == "#":
        return True  # also the parent: there may be no level left
    if not levels:
        return False
    return first in ("+", levels[0]) and _match(rest, levels[1:])
