"""Queue parameters: the headers of SUBSCRIBE and SEND that say how a queue is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.model.names import CONTROL_CHARACTER, QueueName
from broker.model.topology import Arguments, QueueSpec
from protocols.stomp.headers import Headers, boolean, integer
from protocols.stomp.violation import invalid_header


def _text(name: str, text: str) -> str:
    if CONTROL_CHARACTER.search(text):
        raise invalid_header(name, text, "no control characters may be in it")
    return text


def _truth(name: str, text: str) -> bool:
    return boolean({name: text}, name, False)


ARGUMENTS: dict[str, Callable[[str, str], Any]] = {
    "x-queue-type": _text,
    "x-message-ttl": integer,
    "x-expires": integer,
    "x-max-length": integer,
    "x-max-length-bytes": integer,
    "x-overflow": _text,
    "x-max-priority": integer,
    "x-dead-letter-exchange": _text,
    "x-dead-letter-routing-key": _text,
    "x-single-active-consumer": _truth,
    "x-max-age": _text,
    "x-stream-max-segment-size-bytes": integer,
    "x-stream-filter-size-bytes": integer,
}
"""They become the queue's arguments of the same name, whose meaning is the core's (broker.model.queue_settings)."""
PROPERTIES = ("durable", "auto-delete", "exclusive")


def queue_spec(name: str, headers: Headers, *, durable: bool) -> QueueSpec:
    """A queue as these headers ask for it; ``durable``: unless they say otherwise.

    One that is not durable is exclusive and goes with its last consumer, unless they say otherwise (RabbitMQ's rule).
    Raises ProtocolViolation.
    """
    durable = boolean(headers, "durable", durable)
    arguments: Arguments = {
        argument: read(argument, headers[argument]) for argument, read in ARGUMENTS.items() if argument in headers
    }
    return QueueSpec(
        name=QueueName(name),
        durable=durable,
        exclusive=boolean(headers, "exclusive", not durable),
        auto_delete=boolean(headers, "auto-delete", not durable),
        arguments=arguments,
    )
