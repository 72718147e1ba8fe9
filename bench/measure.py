"""Runs rows: run about run between us and the peer, each alone while the other is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.broker import Broker
from bench.fsync import fdatasync_p50
from bench.row import Options, Row

# A broker that was stopped or has just served another row still has work of its own.
CALM_S = 1.0
FSYNC_S = 1.0

Say = Callable[[str], None]


class Runs(msgspec.Struct, frozen=True):
    """All runs of one row: figure key -> values, by broker name; and the disk's fdatasync p50 of each (us)."""

    row: str
    values: dict[str, dict[str, list[float]]]
    fsync_us: list[float]


def shown(measured: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:,.0f}" if value >= 100 else f"{key} {value:.3g}" for key, value in measured.items())


def alone(broker: Broker, others: Sequence[Broker]) -> None:
    """Lets only ``broker`` run."""
    for other in others:
        if other.running:
            other.session.pause()
    if broker.running:
        broker.session.resume()
        broker.session.check()
    time.sleep(CALM_S)


def measure_once(row: Row, broker: Broker, others: Sequence[Broker], options: Options) -> dict[str, float]:
    alone(broker, others)
    if row.fresh or not broker.running:
        broker.restart_empty()
        time.sleep(CALM_S)
    values = row.measure(broker, options)
    broker.session.check()
    if row.fresh:
        broker.stop()
    return values


def measure_row(row: Row, brokers: Sequence[Broker], options: Options, directory: Path, say: Say) -> Runs:
    runs = options.runs if row.runs_max is None else min(options.runs, row.runs_max)
    values: dict[str, dict[str, list[float]]] = {broker.name: {} for broker in brokers}
    fsync_us = []
    for number in range(runs):
        fsync_us.append(fdatasync_p50(directory, FSYNC_S))
        for broker in brokers:
            if row.ours_only and broker is not brokers[-1]:
                continue
            measured = measure_once(row, broker, [other for other in brokers if other is not broker], options)
            for key, value in measured.items():
                values[broker.name].setdefault(key, []).append(value)
            say(f"  {row.name} run {number + 1}/{runs} {broker.name}: {shown(measured)}")
    return Runs(row.name, values, fsync_us)
