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
    """All runs of one row: figure key -> values, by broker name; and the disk's fdatasync p50 of each (us).

    ``skipped`` says why a broker wasn't measured.
    """

    row: str
    values: dict[str, dict[str, list[float]]]
    fsync_us: list[float]
    skipped: dict[str, str] = {}


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
    anew = row.fresh or broker.is_hoarding
    if anew or not broker.running:
        broker.restart_empty()
        time.sleep(CALM_S)
    values = row.measure(broker, options)
    broker.session.check()
    if anew:
        broker.stop()
    return values


def measure_row(row: Row, brokers: Sequence[Broker], options: Options, directory: Path, say: Say) -> Runs:
    """Measures ours and the row's peers, as far as they are among ``brokers``."""
    runs = options.runs if row.runs_max is None else min(options.runs, row.runs_max)
    chosen = [broker for broker in brokers if broker.is_ours or broker.name in row.peers]
    skipped = {broker.name: reason for broker in chosen for word in row.protocols if (reason := broker.unable(word))}
    for reason in skipped.values():
        say(f"  {row.name}: {reason}, skipped")
    able = [broker for broker in chosen if broker.name not in skipped]
    # Nobody else's memory or work is in the way.
    for broker in brokers:
        if broker not in able:
            broker.stop()
    values: dict[str, dict[str, list[float]]] = {broker.name: {} for broker in able}
    fsync_us = []
    for number in range(runs if able else 0):
        fsync_us.append(fdatasync_p50(directory, FSYNC_S))
        for broker in able:
            measured = measure_once(row, broker, [other for other in able if other is not broker], options)
            for key, value in measured.items():
                values[broker.name].setdefault(key, []).append(value)
            say(f"  {row.name} run {number + 1}/{runs} {broker.name}: {shown(measured)}")
    return Runs(row.name, values, fsync_us, skipped)
