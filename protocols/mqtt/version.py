"""The versions of MQTT that are spoken."""

from __future__ import annotations

import enum


class Version(enum.IntEnum):
    """By the protocol level that CONNECT names."""

    MQTT_3_1 = 3
    MQTT_3_1_1 = 4
    MQTT_5 = 5
