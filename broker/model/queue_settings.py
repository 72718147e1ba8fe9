"""What a queue's ``x-`` arguments mean.

Every argument that RabbitMQ 4.3 knows has an answer here: it is obeyed, it is a hint that changes nothing (NO_OPS), or
it is refused because it would have to be obeyed and can't be yet (NOT_BUILT).  An argument that nobody knows is
ignored, as there.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from broker.model.names import ExchangeName, RoutingKey
from broker.model.topology import Arguments, Timestamp


class Overflow(enum.Enum):
    """What happens to a publish that a full queue has no room for.  The values are the wire's."""

    DROP_HEAD = "drop-head"
    REJECT_PUBLISH = "reject-publish"
    REJECT_PUBLISH_DLX = "reject-publish-dlx"


class ConfirmLevel(enum.IntEnum):
    """When a publish of a persistent message is confirmed (log-and-shards.md section 7)."""

    NONE = 0
    """When it is taken in: a crash may lose it."""
    LEADER = 1
    """When it is on the leader's disk: the loss of one node may lose it."""
    QUORUM = 2
    """When it is committed: on the disks of a majority."""


CONFIRM_LEVELS = {level.name.lower(): level for level in ConfirmLevel}


class QueueSettings(msgspec.Struct, frozen=True, gc=False):
    """None: no bound.  ``length_max`` counts ready messages, ``size_max`` the bytes of their bodies."""

    message_ttl_ms: int | None = None
    expires_ms: int | None = None
    length_max: int | None = None
    size_max: int | None = None
    overflow: Overflow = Overflow.DROP_HEAD
    dead_letter_exchange: ExchangeName | None = None
    dead_letter_routing_key: RoutingKey | None = None
    confirm: ConfirmLevel | None = None
    """None: as the cluster's default says."""
    single_active_consumer: bool = False
    """One consumer at a time is handed messages."""


class InvalidArgument(msgspec.Struct, frozen=True):
    """Which one, and why; the reason is RabbitMQ's word for it where it has one."""

    name: str
    reason: str


DURATION_MS_MAX = 2**32 - 1
"""RabbitMQ's: the longest timer Erlang takes, 49 days."""

LOCATORS = ("x-queue-leader-locator", "x-queue-master-locator")
"""Whether a new queue goes where the node leads that it is declared on, as it does by default; RabbitMQ's names of now
and of its mirrored queues."""
CLIENT_LOCAL = "client-local"
BALANCED = frozenset({"balanced", "least-leaders", "min-masters", "random"})

QUEUE_TYPES = frozenset({"classic", "quorum"})
"""Both name our one kind of queue, so that either kind of client gets what it asks for."""

COMPARED = (
    "x-queue-type",
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-single-active-consumer",
    "x-confirm",
)
"""A redeclaration must agree in these."""

NO_OPS = frozenset(
    {
        "x-initial-cluster-size",
        "x-max-in-memory-bytes",
        "x-max-in-memory-length",
        "x-member-placement-tag",
        "x-queue-mode",
        "x-queue-version",
        "x-quorum-initial-group-size",
        "x-quorum-target-group-size",
    }
)
"""Hints about placement and memory, which RabbitMQ ignores too where they don't fit: accepted, and change nothing."""

NOT_BUILT = frozenset(
    {
        "x-cache-size",
        "x-cache-ttl",
        "x-consumer-disconnected-timeout",
        "x-consumer-timeout",
        "x-deduplication-header",
        "x-delayed-retry-max",
        "x-delayed-retry-min",
        "x-delayed-retry-type",
        "x-delivery-limit",
        "x-max-age",
        "x-max-priority",
        "x-message-deduplication",
        "x-name-prefix",
        "x-stream-filter-size-bytes",
        "x-stream-max-segment-size-bytes",
    }
)
"""Known to RabbitMQ or LavinMQ and not to us: a queue that silently lacks what was asked for is worse than none."""

TYPE_NAMES: dict[type, str] = {
    bool: "bool",
    Timestamp: "timestamp",
    float: "double",
    str: "longstr",
    bytes: "binary",
    list: "array",
    dict: "table",
    type(None): "void",
}


def type_name(value: object) -> str:
    """RabbitMQ's word for a field's type.  The width of an integer is forgotten; this is the one clients choose."""
    if type(value) is int:
        return "signedint" if -(2**31) <= value < 2**31 else "long"
    return TYPE_NAMES[type(value)]


Problem: TypeAlias = str | None
Check: TypeAlias = Callable[[Any, Arguments], Problem]


def _integer_from(least: int, greatest: int | None = None) -> Check:
    def check(value: Any, arguments: Arguments) -> Problem:
        if type(value) is not int:
            return f"{{unacceptable_type,{type_name(value)}}}"
        if value < 0:
            return f"{{value_negative,{value}}}"
        if value < least:
            return f"{{value_zero,{value}}}"
        if greatest is not None and value > greatest:
            return f"{{value_too_big,{value}}}"
        return None

    return check


def _text(value: Any, arguments: Arguments) -> Problem:
    return None if isinstance(value, str) else f"{{unacceptable_type,{type_name(value)}}}"


def _truth(value: Any, arguments: Arguments) -> Problem:
    return None if isinstance(value, bool) else f"{{unacceptable_type,{type_name(value)}}}"


def _overflow(value: Any, arguments: Arguments) -> Problem:
    known = {overflow.value for overflow in Overflow}
    return _text(value, arguments) or (None if value in known else "invalid_overflow")


def _routing_key(value: Any, arguments: Arguments) -> Problem:
    there = "x-dead-letter-exchange" in arguments
    return _text(value, arguments) or (None if there else "routing_key_but_no_dlx_defined")


def _confirm(value: Any, arguments: Arguments) -> Problem:
    known = value in CONFIRM_LEVELS if isinstance(value, str) else True
    return _text(value, arguments) or (None if known else "one of 'quorum', 'leader' and 'none' is wanted")


def _locator(value: Any, arguments: Arguments) -> Problem:
    return _text(value, arguments) or (None if value == CLIENT_LOCAL or value in BALANCED else "invalid value")


def _queue_type(value: Any, arguments: Arguments) -> Problem:
    return _text(value, arguments) or (None if value in QUEUE_TYPES else f"unsupported queue type '{value}'")


def _strategy(value: Any, arguments: Arguments) -> Problem:
    return None if value == "at-most-once" else "only at-most-once is supported by this broker"


CHECKS: dict[str, Check] = {
    "x-confirm": _confirm,
    "x-message-ttl": _integer_from(0, DURATION_MS_MAX),
    "x-expires": _integer_from(1, DURATION_MS_MAX),
    "x-max-length": _integer_from(0),
    "x-max-length-bytes": _integer_from(0),
    "x-overflow": _overflow,
    "x-dead-letter-exchange": _text,
    "x-dead-letter-routing-key": _routing_key,
    "x-dead-letter-strategy": _strategy,
    "x-queue-type": _queue_type,
    "x-single-active-consumer": _truth,
    **dict.fromkeys(LOCATORS, _locator),
}


def is_balanced(arguments: Arguments) -> bool:
    """A new queue with these may be led anywhere; else it is led where it is declared, if that can be."""
    return any(arguments.get(name) in BALANCED for name in LOCATORS)


def read_queue_arguments(arguments: Arguments) -> QueueSettings | InvalidArgument:
    """The first problem in the order of the names, so that every replica finds the same one."""
    for name in sorted(arguments):
        if name in NOT_BUILT:
            return InvalidArgument(name, "not supported by this broker")
        if (check := CHECKS.get(name)) and (problem := check(arguments[name], arguments)):
            return InvalidArgument(name, problem)
    return QueueSettings(
        message_ttl_ms=arguments.get("x-message-ttl"),
        expires_ms=arguments.get("x-expires"),
        length_max=arguments.get("x-max-length"),
        size_max=arguments.get("x-max-length-bytes"),
        overflow=Overflow(arguments.get("x-overflow", Overflow.DROP_HEAD.value)),
        dead_letter_exchange=arguments.get("x-dead-letter-exchange"),
        dead_letter_routing_key=arguments.get("x-dead-letter-routing-key"),
        confirm=CONFIRM_LEVELS.get(arguments.get("x-confirm", "")),
        single_active_consumer=arguments.get("x-single-active-consumer", False),
    )
