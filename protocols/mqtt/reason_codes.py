"""MQTT 5's reason codes, which packets carry each, and what MQTT 3's CONNACK says in their place."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from protocols.mqtt.packet_type import PacketType, Sender

_CONNACK, _DISCONNECT, _AUTH = PacketType.CONNACK, PacketType.DISCONNECT, PacketType.AUTH
_PUBACK, _PUBREC, _PUBREL, _PUBCOMP = PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP
_SUBACK, _UNSUBACK = PacketType.SUBACK, PacketType.UNSUBACK


class ReasonCode(enum.IntEnum):
    """Under the specification's names (MQTT 5, 2.4); 0x80 and above say that something failed."""

    SUCCESS = 0x00
    NORMAL_DISCONNECTION = 0x00
    GRANTED_QOS_0 = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL_MESSAGE = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    RE_AUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


_REFUSALS = {_CONNACK, _PUBACK, _PUBREC, _SUBACK, _UNSUBACK, _DISCONNECT}

CARRIERS: Mapping[ReasonCode, frozenset[PacketType]] = {
    code: frozenset(packets)
    for code, packets in (
        (
            ReasonCode.SUCCESS,
            {_CONNACK, _PUBACK, _PUBREC, _PUBREL, _PUBCOMP, _SUBACK, _UNSUBACK, _DISCONNECT, _AUTH},
        ),
        (ReasonCode.GRANTED_QOS_1, {_SUBACK}),
        (ReasonCode.GRANTED_QOS_2, {_SUBACK}),
        (ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, {_DISCONNECT}),
        (ReasonCode.NO_MATCHING_SUBSCRIBERS, {_PUBACK, _PUBREC}),
        (ReasonCode.NO_SUBSCRIPTION_EXISTED, {_UNSUBACK}),
        (ReasonCode.CONTINUE_AUTHENTICATION, {_AUTH}),
        (ReasonCode.RE_AUTHENTICATE, {_AUTH}),
        (ReasonCode.UNSPECIFIED_ERROR, _REFUSALS),
        (ReasonCode.MALFORMED_PACKET, {_CONNACK, _DISCONNECT}),
        (ReasonCode.PROTOCOL_ERROR, {_CONNACK, _DISCONNECT}),
        (ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, _REFUSALS),
        (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, {_CONNACK}),
        (ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, {_CONNACK}),
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, {_CONNACK}),
        (ReasonCode.NOT_AUTHORIZED, _REFUSALS),
        (ReasonCode.SERVER_UNAVAILABLE, {_CONNACK}),
        (ReasonCode.SERVER_BUSY, {_CONNACK, _DISCONNECT}),
        (ReasonCode.BANNED, {_CONNACK}),
        (ReasonCode.SERVER_SHUTTING_DOWN, {_DISCONNECT}),
        # DISCONNECT has it in the table of 2.4 and not in that of 3.14.2.1.
        (ReasonCode.BAD_AUTHENTICATION_METHOD, {_CONNACK, _DISCONNECT}),
        (ReasonCode.KEEP_ALIVE_TIMEOUT, {_DISCONNECT}),
        (ReasonCode.SESSION_TAKEN_OVER, {_DISCONNECT}),
        (ReasonCode.TOPIC_FILTER_INVALID, {_SUBACK, _UNSUBACK, _DISCONNECT}),
        (ReasonCode.TOPIC_NAME_INVALID, {_CONNACK, _PUBACK, _PUBREC, _DISCONNECT}),
        (ReasonCode.PACKET_IDENTIFIER_IN_USE, {_PUBACK, _PUBREC, _SUBACK, _UNSUBACK}),
        (ReasonCode.PACKET_IDENTIFIER_NOT_FOUND, {_PUBREL, _PUBCOMP}),
        (ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, {_DISCONNECT}),
        (ReasonCode.TOPIC_ALIAS_INVALID, {_DISCONNECT}),
        (ReasonCode.PACKET_TOO_LARGE, {_CONNACK, _DISCONNECT}),
        (ReasonCode.MESSAGE_RATE_TOO_HIGH, {_DISCONNECT}),
        (ReasonCode.QUOTA_EXCEEDED, {_CONNACK, _PUBACK, _PUBREC, _SUBACK, _DISCONNECT}),
        (ReasonCode.ADMINISTRATIVE_ACTION, {_DISCONNECT}),
        (ReasonCode.PAYLOAD_FORMAT_INVALID, {_CONNACK, _PUBACK, _PUBREC, _DISCONNECT}),
        (ReasonCode.RETAIN_NOT_SUPPORTED, {_CONNACK, _DISCONNECT}),
        (ReasonCode.QOS_NOT_SUPPORTED, {_CONNACK, _DISCONNECT}),
        (ReasonCode.USE_ANOTHER_SERVER, {_CONNACK, _DISCONNECT}),
        (ReasonCode.SERVER_MOVED, {_CONNACK, _DISCONNECT}),
        (ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, {_SUBACK, _DISCONNECT}),
        (ReasonCode.CONNECTION_RATE_EXCEEDED, {_CONNACK, _DISCONNECT}),
        (ReasonCode.MAXIMUM_CONNECT_TIME, {_DISCONNECT}),
        (ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, {_SUBACK, _DISCONNECT}),
        (ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, {_SUBACK, _DISCONNECT}),
    )
}
"""Which packets may carry a code."""

_EITHER_DISCONNECTS = {
    ReasonCode.UNSPECIFIED_ERROR,
    ReasonCode.MALFORMED_PACKET,
    ReasonCode.PROTOCOL_ERROR,
    ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
    ReasonCode.TOPIC_NAME_INVALID,
    ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
    ReasonCode.TOPIC_ALIAS_INVALID,
    ReasonCode.PACKET_TOO_LARGE,
    ReasonCode.MESSAGE_RATE_TOO_HIGH,
    ReasonCode.QUOTA_EXCEEDED,
    ReasonCode.ADMINISTRATIVE_ACTION,
    ReasonCode.PAYLOAD_FORMAT_INVALID,
}
_CLIENT_DISCONNECTS = {ReasonCode.NORMAL_DISCONNECTION, ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, *_EITHER_DISCONNECTS}

NOT_SENT_BY: Mapping[tuple[PacketType, Sender], frozenset[ReasonCode]] = {
    (_DISCONNECT, Sender.CLIENT): frozenset(
        code for code, packets in CARRIERS.items() if _DISCONNECT in packets and code not in _CLIENT_DISCONNECTS
    ),
    # 0x00 is a client's by 3.14.2.1; a server that leaves sends it all the same (Mosquitto does), and clients take it.
    (_DISCONNECT, Sender.SERVER): frozenset({ReasonCode.DISCONNECT_WITH_WILL_MESSAGE}),
    (_AUTH, Sender.CLIENT): frozenset({ReasonCode.SUCCESS}),
    (_AUTH, Sender.SERVER): frozenset({ReasonCode.RE_AUTHENTICATE}),
}
"""What a packet may carry and this sender may not send (MQTT 5, 3.14.2.1 and 3.15.2.1)."""


def carried(packet_type: PacketType, sender: Sender) -> dict[int, ReasonCode]:
    """The codes that this sender's packet may carry, by number."""
    unsent = NOT_SENT_BY.get((packet_type, sender), frozenset())
    return {int(code): code for code, packets in CARRIERS.items() if packet_type in packets and code not in unsent}


class ReturnCode(enum.IntEnum):
    """What CONNACK says in MQTT 3 (3.1.1, 3.2.2.3)."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_VERSION = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USER_NAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


RETURN_CODES: Mapping[ReasonCode, ReturnCode] = {
    ReasonCode.SUCCESS: ReturnCode.ACCEPTED,
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: ReturnCode.IDENTIFIER_REJECTED,
    ReasonCode.SERVER_UNAVAILABLE: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: ReturnCode.BAD_USER_NAME_OR_PASSWORD,
    ReasonCode.NOT_AUTHORIZED: ReturnCode.NOT_AUTHORIZED,
    ReasonCode.UNSPECIFIED_ERROR: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.SERVER_BUSY: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.QUOTA_EXCEEDED: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.USE_ANOTHER_SERVER: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.SERVER_MOVED: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.CONNECTION_RATE_EXCEEDED: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.BANNED: ReturnCode.NOT_AUTHORIZED,
}
"""A reason code in MQTT 3's words.  For those that are not here it has none: hang up without a CONNACK."""

REASON_CODES: Mapping[ReturnCode, ReasonCode] = {
    return_code: reason_code for reason_code, return_code in reversed(list(RETURN_CODES.items()))
}
"""A return code in MQTT 5's words: of several reason codes the first, which says the same."""
