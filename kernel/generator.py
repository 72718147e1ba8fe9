"""The load generator: it opens sockets and reads a clock, for ``bench`` only."""

from __future__ import annotations

from kernel._kernel import LoadError, MqttSubscribers, look_up_retained, run_load

__all__ = ["LoadError", "MqttSubscribers", "look_up_retained", "run_load"]
