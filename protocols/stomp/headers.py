"""A frame's headers: read as what they mean, and refused where another broker's meaning would be lost.

Headers that nobody knows are ignored, as everywhere.  Those in ``REFUSED`` mean something to other brokers that would
be missing here without a word: a subscription that should be filtered and isn't is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from broker.model.names import CONTROL_CHARACTER, NAME_SIZE_MAX
from kernel import StompFrame
from protocols.stomp.violation import ProtocolViolation, invalid_header

Headers: TypeAlias = Mapping[str, str]

BOOLEANS = {"true": True, "false": False}
_DIGITS_MAX = 20

_DURABLE = "a durable subscription is durable:true, auto-delete:false and an id"
_PREFETCH = "use prefetch-count, which counts messages"
_STREAMS = "it is for streams, which this broker doesn't have yet"
_SELECTOR = "there are no selectors: let routing do it, with /topic/ patterns or an exchange of type headers"

REFUSED: dict[str, dict[str, str]] = {
    "CONNECT": {"client-id": f"connections have no such name here; {_DURABLE}"},
    "SUBSCRIBE": {
        "selector": _SELECTOR,
        "client-id": _DURABLE,
        "durable-subscription-name": _DURABLE,
        "durable-subscriber-name": _DURABLE,
        "subscription-type": "/queue/ is shared by its consumers, /topic/ is not",
        "consumer-window-size": _PREFETCH,
        "credit": _PREFETCH,
        "no-local": "a subscription also gets what its own connection sends",
        "browser": "queues can't be browsed",
        "include-seq": _STREAMS,
        "from-seq": _STREAMS,
        "x-stream-offset": _STREAMS,
        "x-stream-filter": _STREAMS,
        "x-stream-match-unfiltered": _STREAMS,
    },
}
"""By command and header: what to do instead.  ActiveMQ's, Artemis's and Apollo's headers, and what is not built."""

REFUSED_PREFIXES: dict[str, dict[str, str]] = {
    "SUBSCRIBE": {"activemq.": "ActiveMQ's headers have no meaning here; use prefetch-count, x-priority, durable"},
}
"""The same, by how a header begins."""


def read_headers(frame: StompFrame) -> dict[str, str]:
    """By name.  The kernel has checked that they are UTF-8 and let the first of each win."""
    return {name.decode(): value.decode() for name, value in frame.headers}


def check_headers(command: str, headers: Headers) -> None:
    """Raises ProtocolViolation if one has a meaning that would be lost."""
    refused = REFUSED.get(command, {})
    prefixes = REFUSED_PREFIXES.get(command, {})
    for name in headers:
        remedy = refused.get(name)
        if remedy is None:
            remedy = next((text for prefix, text in prefixes.items() if name.startswith(prefix)), None)
        if remedy is not None:
            raise ProtocolViolation("Unsupported header", f"'{name}' on {command} is not supported: {remedy}")


def boolean(headers: Headers, name: str, default: bool) -> bool:
    text = headers.get(name)
    if text is None:
        return default
    if text not in BOOLEANS:
        raise invalid_header(name, text, "true or false is wanted")
    return BOOLEANS[text]


def integer(name: str, text: str) -> int:
    """Of at most 20 digits: what it may be is for who takes it."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
        raise invalid_header(name, text, "a whole number is wanted")
    return int(text)


def bounded_integer(headers: Headers, name: str, default: int, least: int, most: int) -> int:
    text = headers.get(name)
    if text is None:
        return default
    number = integer(name, text)
    if not least <= number <= most:
        raise invalid_header(name, text, f"{least} to {most} is wanted")
    return number


def checked_name(name: str, text: str) -> str:
    """What becomes a name of AMQP's: see ``broker.model.names``."""
    if not 0 < len(text.encode()) <= NAME_SIZE_MAX:
        raise invalid_header(name, text, f"1 to {NAME_SIZE_MAX} bytes are wanted")
    if CONTROL_CHARACTER.search(text):
        raise invalid_header(name, text, "no control characters may be in it")
    return text
