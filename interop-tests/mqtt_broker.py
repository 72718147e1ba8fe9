"""The broker that MQTT clients meet, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class MqttBroker(NamedTuple):
    """``restart`` is None where it isn't ours to be restarted."""

    url: str
    ours: bool
    limited_user: bool = False
    """Is there a user ``limited``, who may only do what is below ``open/``?"""
    restart: Callable[[], None] | None = None
    check_alive: Callable[[], None] = lambda: None
