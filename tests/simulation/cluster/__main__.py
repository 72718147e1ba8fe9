"""``python -m tests.simulation.cluster SEED``: replays a seed and tells everything that happens.

``python -m tests.simulation.cluster FIRST LAST``: runs them all, prints those that fail and a summary.

``python -m tests.simulation.cluster soak SECONDS``: runs drawn seeds for so long, and tells how far it is.
"""

from __future__ import annotations

import itertools
import logging
import math
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator

import structlog

from tests.simulation.cluster.simulation import ClusterSimulation, Report

SOAK_TELLS_S = 60.0


def replay(seed: int) -> int:
    print(ClusterSimulation(seed, echo=True).run())
    return 0


def run_all(seeds: Iterable[int], told_every_s: float = math.inf) -> int:
    """Those that fail are told at once, and where it is every so often."""
    started = told_at = time.monotonic()
    failed: list[int] = []
    reports: list[Report] = []
    for seed in seeds:
        try:
            reports.append(ClusterSimulation(seed).run())
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failed.append(seed)
            last_line = traceback.format_exception_only(error)[-1].strip()
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"seed {seed}: {last_line[:400]} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})", flush=True)
        if time.monotonic() >= told_at + told_every_s:
            told_at = time.monotonic()
            print(summary(reports, failed, told_at - started), flush=True)
    print(summary(reports, failed, time.monotonic() - started))
    return 1 if failed else 0


def drawn_seeds(seconds: float) -> Iterator[int]:
    """One after the other from a drawn one, for so long."""
    ends_at = time.monotonic() + seconds
    first = random.SystemRandom().randrange(1 << 40)
    return itertools.takewhile(lambda seed: time.monotonic() < ends_at, itertools.count(first))


def summary(reports: list[Report], failed: list[int], took_s: float) -> str:
    """In a few lines."""
    simulated_s = sum(report.simulated_s for report in reports)
    faults = dict(sorted(sum((Counter(report.fault_counts) for report in reports), Counter()).items()))
    return (
        f"{len(reports) + len(failed)} seeds, {len(failed)} failed: {failed}\n"
        f"{took_s:.1f} s, {len(reports) / took_s:.2f} seeds a second, {simulated_s / 3600:.2f} h simulated, "
        f"{simulated_s / took_s:.0f} times real time, {sum(r.event_count for r in reports)} events\n"
        f"{sum(r.message_count for r in reports)} messages, {sum(r.confirmed_count for r in reports)} confirmed, "
        f"{sum(r.seen_count for r in reports)} delivered, {sum(r.mqtt_count for r in reports)} by MQTT, "
        f"{sum(r.start_count for r in reports)} starts, "
        f"{sum(r.leader_count for r in reports)} leaders, {sum(r.compared_count for r in reports)} states compared\n"
        f"{faults}"
    )


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    arguments = sys.argv[1:]
    if arguments[0] == "soak":
        sys.exit(run_all(drawn_seeds(float(arguments[1])), SOAK_TELLS_S))
    elif len(arguments) == 1:
        sys.exit(replay(int(arguments[0])))
    else:
        sys.exit(run_all(range(int(arguments[0]), int(arguments[1]) + 1)))
