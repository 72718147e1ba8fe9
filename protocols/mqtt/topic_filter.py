"""What is subscribed to: ``a/+/b``, ``a/#``, shared, ``$share/<name>/<filter>``, and a queue, ``$queue/<name>``."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from broker.model.names import CONTROL_CHARACTER
from protocols.mqtt.data_types import STRING_SIZE_MAX
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topic_name import LEVEL_COUNT_MAX

SHARE = "$share"
_SHARED = f"{SHARE}/"
_QUEUE = "$queue/"
_Invalid: TypeAlias = Literal[ReasonCode.TOPIC_FILTER_INVALID]


class TopicFilter(msgspec.Struct, frozen=True):
    """``share``: the name that the subscription is shared under; None: it is not.  ``filter`` is without it."""

    share: str | None
    filter: str
    levels: tuple[str, ...]


def is_shared(text: str) -> bool:
    """Whether it asks for a shared subscription, be it a valid one or not."""
    return text.startswith(_SHARED)


def is_queue(filter: str) -> bool:
    """Whether it asks for messages of a queue, be it there or not."""
    return filter.startswith(_QUEUE)


def parse_filter(text: str) -> TopicFilter | _Invalid:
    """The filter; or why not, as SUBACK and UNSUBACK say it (MQTT 5, 4.7 and 4.8.2)."""
    share: str | None = None
    if text.startswith(_SHARED):
        _, share, *rest = text.split("/", 2)
        if not share or not rest or "+" in share or "#" in share:  # [MQTT-4.8.2-1], [MQTT-4.8.2-2]
            return ReasonCode.TOPIC_FILTER_INVALID
        text = rest[0]
    if not text or len(text.encode()) > STRING_SIZE_MAX or CONTROL_CHARACTER.search(text):
        return ReasonCode.TOPIC_FILTER_INVALID
    if text.count("/") >= LEVEL_COUNT_MAX:
        return ReasonCode.TOPIC_FILTER_INVALID
    if is_queue(text) and (share is not None or text == _QUEUE or "+" in text or "#" in text):
        return ReasonCode.TOPIC_FILTER_INVALID  # a queue has one name, and its consumers share it anyhow
    levels = tuple(text.split("/"))
    if ("+" in text or "#" in text) and not _wildcards_stand_right(levels):
        return ReasonCode.TOPIC_FILTER_INVALID
    return TopicFilter(share, text, levels)


def _wildcards_stand_right(levels: tuple[str, ...]) -> bool:
    """A wildcard is a whole level, and ``#`` the last one ([MQTT-4.7.1-1], [MQTT-4.7.1-2])."""
    if "#" in levels[:-1]:
        return False
    return all(level in ("+", "#") or ("+" not in level and "#" not in level) for level in levels)
