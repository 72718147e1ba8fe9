"""``docs/protocols/stomp.md``, made from the tables that the adapter itself goes by.

    python -m protocols.stomp.document > docs/protocols/stomp.md

A test keeps the file true.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_type_hints

from protocols.stomp.client import COMMANDS
from protocols.stomp.connection import DISCARDING, State
from protocols.stomp.headers import REFUSED, REFUSED_PREFIXES
from protocols.stomp.queue_parameters import ARGUMENTS, PROPERTIES
from protocols.stomp.refusals import ERRORS
from protocols.stomp.settings import (
    CONNECT_SIZE_MAX,
    DECLARED_MAX,
    EOL_BURST_MAX,
    EOLS_PER_S,
    HEARTBEAT_MARGIN,
    RECEIPTS_MAX,
    StompSettings,
)
from protocols.stomp.subscribing import DURABLE_PREFIX, PRIVATE_PREFIX, TEMP_PREFIX

FRAMES: dict[str, str] = {
    "CONNECT": "or `STOMP`, in every version: `login`, `passcode`, `host`, `accept-version`, `heart-beat`",
    "SEND": "in runs: see destinations; `receipt`, `transaction`, `persistent`, `expiration`, `priority`, `reply-to`,"
    " `user-id` (the own one), queue parameters; all others are headers of the message",
    "SUBSCRIBE": "`destination`, `id` (may be missing in 1.0), `ack`, `prefetch-count`, `durable`, `auto-delete`,"
    " `x-priority`, queue parameters",
    "UNSUBSCRIBE": "`id`, or `destination` in 1.0; with `durable:true` the queue of a durable subscription goes too",
    "ACK": "in runs: `id` (1.2) or `message-id`; `transaction`",
    "NACK": "in runs, from 1.1 on; `requeue`, else the setting `default_nack_requeue`; `transaction`",
    "BEGIN": "`transaction`",
    "COMMIT": "`transaction`; all of it at once, or nothing",
    "ABORT": "`transaction`",
    "DISCONNECT": "the broker hangs up once all that was asked before is done",
}
"""What is taken; every frame but CONNECT may have a ``receipt``."""

DESTINATIONS: list[tuple[str, str, str]] = [
    (
        "`/queue/<name>`",
        "the queue `<name>`, durable, shared by its subscribers, made on first use",
        "the same queue, made on first use",
    ),
    (
        "`/topic/<key>`",
        "a queue of its own, bound to `amq.topic` with `<key>` (`*` and `#` as in AMQP)",
        "`amq.topic` with this routing key",
    ),
    (
        "`/exchange/<name>[/<key>]`",
        "a queue of its own, bound to the exchange, which has to be there",
        "the exchange, with this routing key or an empty one",
    ),
    ("`/amq/queue/<name>`", "a queue that has to be there", "a queue that has to be there"),
    (
        "`/temp-queue/<name>`",
        "no",
        "in `reply-to` only: makes an exclusive queue and subscribes to it; the subscription's id is the destination",
    ),
    ("`/reply-queue/<name>`", "no", "what who answers finds in `reply-to`; a queue that is gone takes nothing"),
]

LIMITS: list[tuple[str, int | float, str]] = [
    ("frame before CONNECTED", CONNECT_SIZE_MAX, "bytes"),
    ("command", 32, "bytes"),
    ("headers", 100, "of a frame"),
    ("header line", 8 << 10, "bytes"),
    ("names", 255, "bytes of UTF-8, without control characters: of queues, exchanges, routing keys, subscription ids"),
    (
        "line ends between frames",
        EOL_BURST_MAX,
        f"in a burst, and {EOLS_PER_S:g} a second; the one behind a frame is free",
    ),
    ("heart-beat", HEARTBEAT_MARGIN, "intervals of silence, then ERROR; clients that offer none are never hung up on"),
    ("receipts", RECEIPTS_MAX, "owed to frames other than SEND, whose are bounded by the core"),
    ("queues known to be there", DECLARED_MAX, "of a connection; then they are declared again"),
]

DECISIONS: list[tuple[str, str]] = [
    ("Version", "The highest common one; without `accept-version` 1.0. No common one: ERROR with `version`."),
    (
        "Escapes",
        r"`\n`, `\c`, `\\` and `\r` in headers of 1.1 and 1.2, but not of CONNECT; an undefined one is ERROR. Colons in"
        " values may stand unescaped. 1.0 has none: a backslash is one there, spaces around names and values are"
        " trimmed, and what cannot be written without is left out of what is sent.",
    ),
    (
        "x-confirm",
        "A SEND with this header gets its receipt when the message is where it says: `none` at once, `leader` on its"
        " queue's leader's disk, `quorum` on a majority's. It goes before the queues' own argument. Another value is"
        " ERROR. COMMIT is answered at a quorum whatever its messages say.",
    ),
    ("A frame before CONNECT, a second CONNECT", "ERROR. RabbitMQ's `implicit_connect` is not offered."),
    (
        "Login",
        "`login` and `passcode`, else those of the HTTP request that a WebSocket began with, else nobody: refused,"
        " unless the listener's `allow_anonymous` says otherwise.",
    ),
    ("`host`", "is the vhost, as in RabbitMQ, so a client that puts the server's name there has to be told `/`."),
    (
        "Heart-beats",
        "As the client offers and asks, but not shorter than `heartbeat_min_ms`. Anything sent counts. None is asked of"
        " a client that offers none, whatever its version.",
    ),
    (
        "SEND behind SUBSCRIBE",
        "on one connection reaches the subscription: what makes, binds and fills queues is done in order.",
    ),
    (
        "First use of a queue",
        "declares it: durable unless `durable:false`, with the queue parameters. One that is there with others is"
        " ERROR `precondition_failed`, and the message is not sent; `/amq/queue/` takes it as it is. A connection asks"
        " once for each queue: if somebody else deletes it meanwhile, what is sent to it is dropped, as in RabbitMQ.",
    ),
    (
        "Queues of `/topic/` and `/exchange/` subscriptions",
        f"are exclusive and go with the subscription; their name is `x-queue-name`, or begins with `{PRIVATE_PREFIX}`."
        f" Those of temporary queues begin with `{TEMP_PREFIX}`.",
    ),
    (
        "Durable subscriptions",
        f"`durable:true` (or RabbitMQ's older `persistent:true`) and an `id`. The queue is `{DURABLE_PREFIX}` and a"
        " hash of destination and id, the same for everybody, so those who use the same pair share it; queues that"
        " RabbitMQ named are not found again. UNSUBSCRIBE with `durable:true` and without `auto-delete:true` deletes"
        " it; in RabbitMQ only that of `/topic/`.",
    ),
    ("`x-queue-name` for `/queue/` and `/amq/queue/`", "is ERROR; RabbitMQ ignores it."),
    (
        "Receipts",
        "in the order of the frames. For SEND once the message is safe: for a persistent one, on disk; within a"
        " transaction, once it is held. For SUBSCRIBE once messages may come, for UNSUBSCRIBE once none will, for"
        " COMMIT once it is on disk. For ACK and NACK when they are read.",
    ),
    (
        "A SEND that is not taken",
        "because a queue is full and rejects, or what it needs isn't there, or the user may not: ERROR with"
        " `receipt-id`, and the connection ends. Frames before it have taken effect; what comes behind it may have.",
    ),
    (
        "Acknowledgement",
        "`ack:client` is for all that the subscription was sent up to the message, NACK too. An id that is not known,"
        " settled already, or of a subscription that is unsubscribed is ERROR.",
    ),
    (
        "UNSUBSCRIBE and the end of the connection",
        "put back what is not acknowledged, with `redelivered:true`.",
    ),
    (
        "Transactions",
        "hold SEND, ACK and NACK. COMMIT is atomic, with all that it acknowledges; ABORT and the end of the connection"
        " forget it. Messages that were acknowledged in an aborted transaction are still the client's, and can be"
        " acknowledged again. A queue of `/queue/` is made when the SEND is read.",
    ),
    (
        "ERROR",
        "has `message`, `content-type`, `version`, `receipt-id` if the frame asked for one, and a body with the detail"
        " and what to do about it. The connection ends, always; RabbitMQ leaves it open when a subscription's queue is"
        " deleted, against the specification.",
    ),
    ("Headers that nobody knows", "are ignored; on SEND they are the message's."),
    ("Bodies", "of other frames than SEND are ERROR in 1.1 and 1.2, and dropped in 1.0."),
    ("Blocked publishers", "aren't read until the broker takes messages again; STOMP has no word for it."),
    ("Other protocols", "see [conversions](../conversions.md)."),
]


def document() -> str:
    """The whole page."""
    return (
        "\n".join(
            [
                "# STOMP 1.0, 1.1 and 1.2",
                "",
                "What Dragoman serves of STOMP, with RabbitMQ's destinations and headers, what it refuses, and how.",
                "Made from the adapter's own tables by `python -m protocols.stomp.document`; a test keeps it true.",
                "",
                *_section("Frames", ("frame", ""), _frames()),
                *_section("Destinations", ("destination", "SUBSCRIBE", "SEND"), DESTINATIONS),
                "In a name `/`, `%` and what is not ASCII are written `%2F`; raw UTF-8 is taken too.",
                "",
                *_section("Queue parameters", ("header", ""), _parameters()),
                *_section("Headers that are refused", ("header", "on", "instead"), _refused_headers()),
                *_section("Connection states", ("state", "what comes"), _states()),
                *_section("Refusals", ("the broker says", "ERROR's message", "what to do"), _refusals()),
                *_section("Settings", ("setting", "default", ""), _settings()),
                *_section("Limits", ("limit", "", ""), [(name, f"{value:,}", note) for name, value, note in LIMITS]),
                *_section("Decisions", ("question", "decision"), DECISIONS),
            ]
        ).rstrip()
        + "\n"
    )


def _section(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"## {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _frames() -> Iterable[tuple[str, str]]:
    assert FRAMES.keys() == {"CONNECT", "SEND", *COMMANDS}
    yield from FRAMES.items()
    yield "any other", "ERROR"


def _parameters() -> Iterable[tuple[str, str]]:
    for name in PROPERTIES:
        yield f"`{name}`", "`true` or `false`; a queue that is not durable is exclusive and goes with its last consumer"
    for name in ARGUMENTS:
        yield f"`{name}`", "the queue's argument of this name; see [AMQP](amqp.md)"


def _refused_headers() -> Iterable[tuple[str, str, str]]:
    for command, headers in REFUSED.items():
        for name, remedy in headers.items():
            yield f"`{name}`", command, remedy
    for command, headers in REFUSED_PREFIXES.items():
        for name, remedy in headers.items():
            yield f"`{name}*`", command, remedy


def _states() -> Iterable[tuple[str, str]]:
    what = {
        State.CONNECTING: "CONNECT; any other frame is ERROR",
        State.OPEN: "any frame; CONNECT is ERROR",
    }
    for state in State:
        yield state.name, "discarded" if state in DISCARDING else what.get(state, "waits")


def _refusals() -> Iterable[tuple[str, str, str]]:
    for refusal, error in ERRORS.items():
        yield refusal.name, error.message, error.remedy


def _settings() -> Iterable[tuple[str, str, str]]:
    defaults = StompSettings()
    for name, hint in get_type_hints(StompSettings, include_extras=True).items():
        default = getattr(defaults, name)
        plain = isinstance(default, str | bool) or default is None
        yield f"`{name}`", f"{default}" if plain else f"{default:,}", hint.__metadata__[0].description


if __name__ == "__main__":
    print(document(), end="")
