"""What may be published to."""

from __future__ import annotations

LEVEL_COUNT_MAX = 128
"""Levels of a topic name or filter, as EMQX and FlashMQ have it: each costs a node of the trie."""


def topic_name_problem(text: str) -> str | None:
    """Why this is no topic name; None if it is one.  Characters were looked at when it was decoded."""
    if not text:
        return "topic name that is empty"  # [MQTT-4.7.3-1]
    if "+" in text or "#" in text:
        return "topic name with a wildcard"  # [MQTT-3.3.2-2]
    if text.count("/") >= LEVEL_COUNT_MAX:
        return f"topic name of more than {LEVEL_COUNT_MAX} levels"
    return None
