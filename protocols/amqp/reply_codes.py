"""AMQP 0-9-1's reply codes, what each of them closes, and how a reply text is made."""

from __future__ import annotations

import enum

from broker.model.names import CONTROL_CHARACTER

REPLY_TEXT_SIZE_MAX = 255
"""Bytes of UTF-8: a reply text is a short string."""


class ReplyCode(enum.IntEnum):
    """The specification's constants (AMQP 0-9-1 1.3), under the names that begin a reply text."""

    REPLY_SUCCESS = 200
    CONTENT_TOO_LARGE = 311
    NO_ROUTE = 312
    NO_CONSUMERS = 313
    CONNECTION_FORCED = 320
    INVALID_PATH = 402
    ACCESS_REFUSED = 403
    NOT_FOUND = 404
    RESOURCE_LOCKED = 405
    PRECONDITION_FAILED = 406
    FRAME_ERROR = 501
    SYNTAX_ERROR = 502
    COMMAND_INVALID = 503
    CHANNEL_ERROR = 504
    UNEXPECTED_FRAME = 505
    RESOURCE_ERROR = 506
    NOT_ALLOWED = 530
    NOT_IMPLEMENTED = 540
    INTERNAL_ERROR = 541


class Scope(enum.Enum):
    """What an error closes."""

    CHANNEL = "channel"
    CONNECTION = "connection"


CHANNEL_CODES = frozenset(
    {
        ReplyCode.CONTENT_TOO_LARGE,
        ReplyCode.NO_ROUTE,
        ReplyCode.NO_CONSUMERS,
        ReplyCode.ACCESS_REFUSED,
        ReplyCode.NOT_FOUND,
        ReplyCode.RESOURCE_LOCKED,
        ReplyCode.PRECONDITION_FAILED,
    }
)
"""The specification's soft errors; every other one is hard and closes the connection."""


def scope_of(code: ReplyCode) -> Scope:
    """What an error with this code closes, unless it happened on channel 0."""
    return Scope.CHANNEL if code in CHANNEL_CODES else Scope.CONNECTION


def reply_text(code: ReplyCode, detail: str = "") -> str:
    """``NAME - detail`` as RabbitMQ's clients match on, cut to a short string.

    A detail may quote what a peer sent: control characters are shown as ``?``.
    """
    text = CONTROL_CHARACTER.sub("?", f"{code.name} - {detail}" if detail else code.name)
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= REPLY_TEXT_SIZE_MAX:
        return encoded.decode()
    return encoded[:REPLY_TEXT_SIZE_MAX].decode("utf-8", "ignore")
