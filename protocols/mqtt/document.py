"""``docs/protocols/mqtt.md``, made from the tables that the adapter itself goes by.

    python -m protocols.mqtt.document > docs/protocols/mqtt.md

A test keeps the file true.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_type_hints

from protocols.mqtt.authenticating import METHOD
from protocols.mqtt.connect_codec import CLIENT_ID_SIZE_MAX
from protocols.mqtt.connecting import MQTT_EXCHANGE, VHOST_SEPARATOR
from protocols.mqtt.connection import PACKETS as SERVED
from protocols.mqtt.connection import State
from protocols.mqtt.packet_fields import FILTER_COUNT_MAX
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import PACKET_TYPES, PACKETS
from protocols.mqtt.properties import PROPERTIES, USER_PROPERTY_COUNT_MAX
from protocols.mqtt.reason_codes import CARRIERS, RETURN_CODES, ReasonCode
from protocols.mqtt.refusals import REASONS, reason_for
from protocols.mqtt.settings import CONNECT_SIZE_MAX, KEEP_ALIVE_FACTOR, MqttSettings
from protocols.mqtt.topic_name import LEVEL_COUNT_MAX

RUN_PACKETS = (PacketType.PUBLISH, PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP)
"""The kernel's decoder makes runs of them."""

LIMITS: list[tuple[str, int | float, str]] = [
    ("CONNECT", CONNECT_SIZE_MAX, "bytes; and of each packet until CONNACK; hung up on without a word"),
    ("client identifier", CLIENT_ID_SIZE_MAX, "bytes of UTF-8; more is 0x85"),
    ("topic levels", LEVEL_COUNT_MAX, "of a topic name (more is 0x90) or a topic filter (0x8F)"),
    ("topic filters", FILTER_COUNT_MAX, "in a SUBSCRIBE or UNSUBSCRIBE; more is 0x97"),
    ("user properties", USER_PROPERTY_COUNT_MAX, "in a packet; more is 0x97"),
    ("keep alive", KEEP_ALIVE_FACTOR, "times of silence, then the client is hung up on: 0x8D"),
]

DECISIONS: list[tuple[str, str]] = [
    ("No subscriber for a message", "PUBACK and PUBREC say 0x00, never 0x10 (no matching subscribers)."),
    (
        "User property `x-confirm`",
        "A PUBLISH of QoS 1 is acknowledged when the message is where it says: `none` at once, `leader` on the leaders'"
        " disks, `quorum` (as without it) on a majority's. Another value is 0x83 for that message. A session that lasts"
        " takes QoS 2 at a quorum whatever it says.",
    ),
    ("PUBREL for an identifier that is not known", "PUBCOMP 0x92; in MQTT 3, which has no reason codes, PUBCOMP."),
    ("PUBREC for an identifier that is not known", "PUBREL 0x92; in MQTT 3 PUBREL."),
    (
        "A topic filter that is none, `$share` without a name or a filter included",
        "SUBACK 0x8F (0x80 in MQTT 3), and the packet's other filters are subscribed to; the connection stays.",
    ),
    (
        "Overlapping subscriptions",
        "A client is sent one copy, at the highest QoS of those that match, with the identifiers of all of them.",
    ),
    ("No Local on a shared subscription", "is a protocol error, 0x82."),
    (
        "Shared subscriptions",
        "`$share/<name>/<filter>` in every version. Members take turns; what a member was sent and did not acknowledge"
        " waits for its session, and for nobody else.",
    ),
    ("Retained messages and shared subscriptions", "None are sent."),
    (
        "Queues",
        "A subscription to `$queue/<name>` consumes from that queue, beside its other consumers of any protocol. The"
        " user needs the right to read it. At most QoS 1 is granted, and then every message is sent at QoS 1: PUBACK"
        " ends it, one of 0x80 or more rejects it (it is dead-lettered if the queue says so), and what is not"
        " acknowledged when the connection ends goes back to the queue. At QoS 0 what is sent is gone. DUP says that"
        " a message was sent before, to whomever. Receive Maximum counts these with the others. A wildcard or `$share`"
        " is 0x8F, No Local 0x83, a queue that is not there 0x80, one that is another connection's 0x87. A session that"
        " comes back consumes again; a queue that is deleted takes the subscription with it.",
    ),
    (
        "Wills",
        "keep the QoS, the retain flag and the properties that CONNECT gave them. Their user's rights are looked at"
        " when it connects (a topic that begins with `$SYS` is CONNACK 0x87), and again when they are due; `retain`"
        " where there are no retained messages is 0x9A.",
    ),
    (
        "When a will is sent",
        "As soon as the connection is lost, or the session is taken over, or DISCONNECT says anything but 0x00; with a"
        " delay once that or the session is over, unless the client is back. A client that is refused has none.",
    ),
    (
        "DUP",
        "Messages are sent again when the client comes back, never while it is connected. A QoS 2 PUBLISH that comes"
        " again before its PUBREL is not published again, with DUP or without.",
    ),
    (
        "A publish that is refused",
        "PUBACK or PUBREC with the reason. MQTT 3 has no such word: the connection is closed, or the message"
        " acknowledged and dropped if it was refused for lack of rights and `disconnect_on_unauthorized` is off.",
    ),
    (
        "Negative acknowledgements of clients",
        "PUBREC of 0x80 or more ends the delivery: no PUBREL, and nobody else is sent the message. What came from a"
        " queue is rejected.",
    ),
    (
        "Receive Maximum",
        "What was published before the one too many is published; then DISCONNECT 0x93. A QoS 2 message counts from"
        " PUBLISH to PUBCOMP, or to a PUBREC of 0x80 or more; one that is sent again counts once.",
    ),
    (
        "Maximum Packet Size of the client",
        "A message that is larger is dropped as if it had been sent. Reason string and user properties are left out of"
        " what would be larger; a CONNACK, SUBACK or UNSUBACK that still is ends the connection with 0x95.",
    ),
    (
        "Reason strings",
        "in CONNACK and DISCONNECT say what was wrong, unless Request Problem Information is 0; no other packet has"
        " one.",
    ),
    (
        "Control characters",
        "in a topic, a client identifier or a user name are malformed, as the specification allows: other protocols"
        " write these names, and there a line break ends a header. Properties may have them, but for U+0000.",
    ),
    (
        "Session expiry",
        "A client of MQTT 3 with a clean session has none; any other's never expires, or after"
        " `persistent_client_expiration_s`, which bounds MQTT 5's too, as CONNACK says then. DISCONNECT may change it,"
        " but not from 0.",
    ),
    ("A client identifier that another user's session has", "is not taken over: CONNACK 0x87 (5 in MQTT 3)."),
    (
        "User names",
        f"`vhost{VHOST_SEPARATOR}user` names both; without the colon the vhost is the listener's."
        " An empty user name is none.",
    ),
    ("Password without a user name", "is taken in MQTT 5, and proves nothing."),
    ("Enhanced authentication", f"{METHOD}; any other method is CONNACK 0x8C."),
    (
        "Topics",
        f"are routing keys of `{MQTT_EXCHANGE.decode()}`: `/` is `.` there, and a dot within a level `%2E`; see"
        " [conversions](../conversions.md). `$SYS` topics are the broker's: who publishes to them is refused with 0x87,"
        " and administrators may subscribe.",
    ),
    (
        "MQTT 3.1",
        "SUBACK says 0x80 as in 3.1.1. Client identifiers may be longer than 23 bytes. A user name or password that the"
        " flags announce may be missing at the end of CONNECT.",
    ),
    (
        "DISCONNECT from the broker",
        "in MQTT 5, with a reason code, before it hangs up for any reason; MQTT 3 has none.",
    ),
    ("Packets behind DISCONNECT", "are not looked at."),
    (
        "Packets behind CONNECT",
        "may come before CONNACK; they wait for it. If an AUTH is due, nothing but it and DISCONNECT may come.",
    ),
]


def document() -> str:
    """The whole page."""
    return (
        "\n".join(
            [
                "# MQTT 3.1, 3.1.1 and 5",
                "",
                "What Dragoman serves of MQTT, what it refuses, and how.  MQTT 3 stands for 3.1 and 3.1.1.",
                "Made from the adapter's own tables by `python -m protocols.mqtt.document`; a test keeps it true.",
                "",
                *_section("Packets", ("packet", "type", "from clients", "from the broker"), _packets()),
                *_section("Connection states", ("state", "packets", "others"), _states()),
                *_section("Refusals", ("the broker says", "MQTT 5", "CONNACK of MQTT 3"), _refusals()),
                *_section("Properties", ("property", "id", "in"), _properties()),
                *_section("Reason codes", ("code", "name", "in", "CONNACK of MQTT 3"), _reason_codes()),
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


def _packets() -> Iterable[tuple[str, str, str, str]]:
    served = {PACKET_TYPES[packet] for _, packet in SERVED}
    for kind in PacketType:
        if kind in RUN_PACKETS:
            yield kind.name, f"{kind:d}", "in runs", "in runs"
            continue
        layout = PACKETS[kind]
        taken = "yes" if kind in served else "0x82"
        if Sender.CLIENT not in layout.senders_v3 and kind in served:
            taken = "MQTT 5"
        given = "yes" if Sender.SERVER in layout.senders else "no"
        if given == "yes" and Sender.SERVER not in layout.senders_v3:
            given = "MQTT 5"
        yield kind.name, f"{kind:d}", taken, given


def _states() -> Iterable[tuple[str, str, str]]:
    others = {
        State.CONNECTING: "hung up on",
        State.AUTHENTICATING: "CONNACK 0x82",
        State.OPEN: "DISCONNECT 0x82; hung up on in MQTT 3",
        State.CLOSED: "discarded",
    }
    for state in State:
        names = [PACKET_TYPES[packet].name for of, packet in SERVED if of is state]
        if state is State.OPEN:
            names = [kind.name for kind in RUN_PACKETS] + names
        yield state.name, ", ".join(names), others.get(state, "wait")


def _refusals() -> Iterable[tuple[str, str, str]]:
    for refusal, reason in REASONS.items():
        connack = reason_for(refusal, PacketType.CONNACK)
        yield refusal.name, f"0x{reason:02X} {reason.name}", _return_code(connack)


def _return_code(reason: ReasonCode) -> str:
    return f"{RETURN_CODES[reason]:d}" if reason in RETURN_CODES else ""


def _properties() -> Iterable[tuple[str, str, str]]:
    for name, row in PROPERTIES.items():
        holders = [holder.name or "" for holder in row.holders]
        yield f"`{name}`", f"0x{row.identifier:02X}", "all" if len(holders) == len(PACKETS) else ", ".join(holders)


def _reason_codes() -> Iterable[tuple[str, str, str, str]]:
    for reason, packets in CARRIERS.items():
        yield f"0x{reason:02X}", reason.name, ", ".join(kind.name for kind in sorted(packets)), _return_code(reason)


def _settings() -> Iterable[tuple[str, str, str]]:
    defaults = MqttSettings()
    for name, hint in get_type_hints(MqttSettings, include_extras=True).items():
        default = getattr(defaults, name)
        plain = isinstance(default, str | bool) or default is None
        yield f"`{name}`", f"{default}" if plain else f"{default:,}", hint.__metadata__[0].description


if __name__ == "__main__":
    print(document(), end="")
