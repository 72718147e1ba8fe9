"""``docs/protocols/amqp.md``, made from the tables that the adapter itself goes by.

    python -m protocols.amqp.document > docs/protocols/amqp.md

A test keeps the file true.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_type_hints

from broker.model.refusals import Refusal
from protocols.amqp.channel import HELD_FRAMES_MAX, HELD_SIZE_MAX, ChannelState
from protocols.amqp.channel_methods import CHANNEL_METHODS, NAME_ARGUMENTS, REFUSED_METHODS
from protocols.amqp.connection import CONNECTION_METHODS
from protocols.amqp.connection_state import DISCARDING, ConnectionState
from protocols.amqp.heartbeats import INTERVALS_MISSED_MAX, SEND_FRACTION
from protocols.amqp.methods import (
    METHOD_IDS,
    METHOD_NAMES,
    BasicAck,
    BasicNack,
    BasicPublish,
    BasicReject,
    ChannelFlowOk,
    ConnectionSecureOk,
    Method,
)
from protocols.amqp.properties import CAPABILITIES
from protocols.amqp.refusals import REPLY_CODES
from protocols.amqp.reply_codes import scope_of
from protocols.amqp.sasl import MECHANISMS
from protocols.amqp.settings import FRAME_SIZE_MIN, HANDSHAKE_FRAME_SIZE_MAX, AmqpSettings
from protocols.amqp.table import TABLE_DEPTH_MAX, TABLE_ELEMENTS_MAX

RUN_METHODS: tuple[type[Method], ...] = (BasicPublish, BasicAck, BasicReject, BasicNack)
"""The kernel's decoder makes runs of them."""

UNASKED_METHODS: tuple[type[Method], ...] = (ConnectionSecureOk, ChannelFlowOk)
"""A client's answers to what we never ask."""

NOTES: dict[str, str] = {
    "connection.update-secret": "a login by password stands as it is",
    "channel.flow": "active=true; active=false is 540",
    "basic.publish": "immediate=true is 540",
    "basic.qos": "prefetch_size other than 0 is 540",
    "basic.recover": "requeue=true; requeue=false is 540",
    "basic.recover-async": "requeue=true; requeue=false is 540",
    "basic.cancel-ok": "taken and not looked at",
}

LIMITS: list[tuple[str, int | float, str]] = [
    ("frame size, lower bound", FRAME_SIZE_MIN, "a frame_max in tune-ok below it is 530"),
    ("frame size before tune-ok", HANDSHAKE_FRAME_SIZE_MAX, "a larger frame is 501"),
    ("table depth", TABLE_DEPTH_MAX, "tables and arrays in each other; more is 502"),
    ("table values", TABLE_ELEMENTS_MAX, "nested ones included; more is 502"),
    ("frames that wait for a queue's name", HELD_FRAMES_MAX, "on a channel; more is 506"),
    ("bytes that wait for a queue's name", HELD_SIZE_MAX, "on a connection; more is 506"),
    ("heartbeats sent", SEND_FRACTION, "of the interval without output"),
    ("silent intervals", INTERVALS_MISSED_MAX, "then the client is hung up on"),
]

DECISIONS: list[tuple[str, str]] = [
    (
        "Control characters in names",
        "A queue, exchange, consumer tag or routing key with a character of Unicode's class Cc closes its channel with"
        " 406, and so does a value of the arguments " + ", ".join(f"`{name}`" for name in NAME_ARGUMENTS) + "; a vhost"
        " with one is not found, a user with one makes no valid login (502). RabbitMQ strips CR and LF, which makes one"
        " name of two. Other protocols write these names, and there a line break ends a header.",
    ),
    (
        "0 in tune-ok",
        "takes what was offered for channel_max and frame_max, and no heartbeat. Any heartbeat will do.",
    ),
    (
        "Unknown exchange type",
        "406 on the channel, as in RabbitMQ 4; before that it was 503 and closed the connection.",
    ),
    ("A message above the limit", "406 on the channel, as in RabbitMQ; the text names the specification's 311."),
    (
        "expiration, user-id",
        "An expiration that is no decimal number of milliseconds, and a user-id that is not the login, close their"
        " channel with 406; the messages before that one are published.",
    ),
    (
        "x-confirm",
        "The argument of a queue says when its publishers are told: `none`, `leader` or `quorum`. The header of a"
        " message, a string, says it for that message alone and goes before what its queues say. Another value closes"
        " the channel with 406; the messages before that one are published. A transaction is committed by a quorum"
        " whatever its messages say.",
    ),
    (
        "Empty queue name",
        "is the queue that the channel declared last, whatever became of it. If that queue has no name yet, because its"
        " declaration is not answered, the method waits for it and the channel's later frames wait behind.",
    ),
    (
        "Order of answers",
        "A channel's synchronous answers come in the order of the questions, those that the adapter knows by itself"
        " included (basic.qos-ok never overtakes queue.declare-ok). Deliveries, confirms and returns run free.",
    ),
    (
        "no-wait",
        "is honoured by every method that has it; a refusal still closes the channel.",
    ),
    (
        "basic.qos, global",
        "as RabbitMQ reads it: false bounds each consumer to come, true all of the channel's consumers together.",
    ),
    (
        "x-queue-leader-locator",
        "`client-local`, the default as in RabbitMQ: in a cluster a new queue goes to a shard that is led by the node"
        " it is declared on, if that leads one. `balanced` (and the older `least-leaders`, `min-masters` and `random`):"
        " each shard in turn. Another value is 406.",
    ),
    (
        "x-single-active-consumer",
        "One consumer at a time is handed the queue's messages: the first that came of those with the highest"
        " `x-priority`. A higher priority takes over once the active one holds nothing, and meanwhile that one is"
        " handed nothing more. After its cancel the next one waits until what it was handed is settled or given back;"
        " in RabbitMQ it doesn't wait. In a cluster the consumers may be at any nodes, and after a change of leader the"
        " active one stays so; whoever is cut off is replaced, and waits when it is back. basic.get is refused with"
        " 405, an exclusive basic.consume with 403. An exclusive consumer of any queue that was cut off, and finds"
        " the queue another's when it is back, is sent a basic.cancel.",
    ),
    (
        "Confirms",
        "A range of tags that goes on from what is settled is one frame with `multiple`, any other a frame for each"
        " tag. A rejected message is a basic.nack. basic.return comes before the confirm of its message.",
    ),
    (
        "channel.close from the client",
        "close-ok is sent once all that the channel settled is committed. What comes on the channel meanwhile is 504.",
    ),
    (
        "channel.close from the broker",
        "What comes on the channel is discarded until close-ok. Then its number may be opened again at once.",
    ),
    (
        "connection.close from the broker",
        "Everything but close and close-ok is discarded, and the socket goes after close-ok or the time limit.",
    ),
    ("connection.close during the handshake", "is answered like any other."),
    (
        "channel.close-ok, connection.close-ok",
        "where none is expected are violations: 503, and 504 for a channel that is not open.",
    ),
    (
        "connection.update-secret",
        "is answered at once: a password is looked at when a connection begins, as in RabbitMQ.",
    ),
    (
        "connection.secure",
        "is never sent: " + " and ".join(MECHANISMS) + " need no challenge. ANONYMOUS is not offered.",
    ),
]


def document() -> str:
    """The whole page."""
    return (
        "\n".join(
            [
                "# AMQP 0-9-1",
                "",
                "What Dragoman serves of AMQP 0-9-1 and of RabbitMQ's additions to it, what it refuses, and how.",
                "Made from the adapter's own tables by `python -m protocols.amqp.document`; a test keeps it true.",
                "",
                *_section("Methods", ("method", "class.id", "served", ""), _methods()),
                "What only a server sends is 503 COMMAND_INVALID from a client; unknown ones are 540 NOT_IMPLEMENTED.",
                "",
                *_section("Connection states", ("state", "methods on channel 0", "others"), _states()),
                *_section("Refusals", ("the broker says", "code", "", "closes"), _refusals()),
                *_section("Capabilities", ("capability", "stands for"), _capabilities()),
                *_section("Settings", ("setting", "default", ""), _settings()),
                *_section("Limits", ("limit", "", ""), [(name, f"{value:,}", note) for name, value, note in LIMITS]),
                *_section("Where the specification leaves room", ("question", "decision"), DECISIONS),
            ]
        ).rstrip()
        + "\n"
    )


def _section(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"## {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _methods() -> Iterable[tuple[str, str, str, str]]:
    served = {method for _, method in [*CONNECTION_METHODS, *CHANNEL_METHODS]}
    for method, (class_id, method_id) in METHOD_IDS.items():
        name, number = METHOD_NAMES[method], f"{class_id}.{method_id}"
        if method in REFUSED_METHODS:
            yield name, number, "no", f"{REFUSED_METHODS[method][0]:d} {REFUSED_METHODS[method][0].name}"
        elif method in RUN_METHODS:
            yield name, number, "in runs", NOTES.get(name, "")
        elif method in served:
            yield name, number, "yes", NOTES.get(name, "")
        elif method in UNASKED_METHODS:
            yield name, number, "no", "503 COMMAND_INVALID: never asked for"


def _states() -> Iterable[tuple[str, str, str]]:
    for state in ConnectionState:
        methods = [METHOD_NAMES[method] for of, method in CONNECTION_METHODS if of is state]
        others = "discarded" if state in DISCARDING else "503 COMMAND_INVALID"
        if state is ConnectionState.AWAITING_HEADER:
            others = "answered with the protocol header, and hung up on"
        yield state.value, ", ".join(methods), others
    closing = [METHOD_NAMES[method] for of, method in CHANNEL_METHODS if of is ChannelState.CLOSING]
    yield f"channel {ChannelState.CLOSING.value}", ", ".join(closing), "discarded"
    yield f"channel {ChannelState.FINISHING.value}", "", "504 CHANNEL_ERROR"


def _refusals() -> Iterable[tuple[str, str, str, str]]:
    closed = {Refusal.NO_ROUTE: "nothing: basic.return", Refusal.LOGIN_REFUSED: "the connection"}
    for refusal, code in REPLY_CODES.items():
        closes = closed.get(refusal, f"the {scope_of(code).value}")
        yield refusal.name, f"{code:d}", code.name, closes


def _capabilities() -> Iterable[tuple[str, str]]:
    return ((f"`{name}`", meaning) for name, meaning in CAPABILITIES.items())


def _settings() -> Iterable[tuple[str, str, str]]:
    defaults = AmqpSettings()
    for name, hint in get_type_hints(AmqpSettings, include_extras=True).items():
        default = getattr(defaults, name)
        yield f"`{name}`", default if isinstance(default, str) else f"{default:,}", hint.__metadata__[0].description


if __name__ == "__main__":
    print(document(), end="")
