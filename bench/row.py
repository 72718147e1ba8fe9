"""A row of the report: one load, the figures it gives, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from bench.broker import Broker

# What a broker must listen for.
Protocol: TypeAlias = Literal["amqp", "mqtt", "stomp", "websocket"]
Measure = Callable[[Broker, "Options"], dict[str, float]]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how much.  ``backlog`` is in messages, ``journal`` in bytes, times in seconds.

    ``connections`` are idle ones of AMQP, ``clients`` of MQTT; ``retained`` counts topics, ``browsers`` the
    subscribers of one topic over WebSocket, ``queues`` those of an idle cluster.
    """

    duration_s: float = 5.0
    warmup_s: float = 1.0
    runs: int = 5
    backlog: int = 10_000_000
    journal: int = 1 << 30
    connections: int = 1000
    clients: int = 10_000
    retained: int = 1_000_000
    browsers: int = 2000
    queues: int = 10_000


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a row.

    With ``against`` the number that counts is us / ``peer``, else ours alone.  ``required`` and ``aim`` are
    at least this, or at most if ``smaller`` is better.  Where the disk is the bound, ``required_syncs`` times
    its own fdatasync p50 will do instead, and ``aim_syncs`` times that is the aim.
    """

    key: str
    title: str
    unit: str
    peer: str = "RabbitMQ"
    required: float | None = None
    aim: float | None = None
    required_syncs: float | None = None
    aim_syncs: float | None = None
    against: bool = True
    smaller: bool = False

    def reaches(self, value: float, goal: float) -> bool:
        return value <= goal if self.smaller else value >= goal


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A load and its figures.

    ``ours_only``: no peer is measured.  ``fresh``: each run starts with an empty broker of its own.
    """

    name: str
    title: str
    conditions: str
    figures: list[Figure]
    measure: Measure
    ours_only: bool = False
    fresh: bool = False
    runs_max: int | None = None
    protocols: Sequence[Protocol] = ("amqp",)

    @property
    def peers(self) -> list[str]:
        """The names of the brokers that are measured beside ours."""
        return [] if self.ours_only else list(dict.fromkeys(figure.peer for figure in self.figures))
