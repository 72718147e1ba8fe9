"""The types of control packets, and who sends them."""

from __future__ import annotations

import enum


class PacketType(enum.IntEnum):
    """The upper four bits of a packet's first byte (MQTT 5, 2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Sender(enum.IntEnum):
    """Whose packet it is: some packets, reason codes and properties are for one of the two only."""

    CLIENT = 0
    SERVER = 1
