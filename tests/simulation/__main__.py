"""``python -m tests.simulation SEED``: replays a seed and tells everything that happens.

``python -m tests.simulation FIRST LAST``: runs them all, prints those that fail and a summary.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter

from tests.simulation.simulation import Report, Simulation


def replay(seed: int) -> int:
    print(Simulation(seed, echo=True).run())
    return 0


def run_all(first: int, last: int) -> int:
    started = time.monotonic()
    failed: list[int] = []
    reports: list[Report] = []
    for seed in range(first, last + 1):
        simulation = Simulation(seed)
        try:
            reports.append(simulation.run())
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failed.append(seed)
            last_line = traceback.format_exception_only(error)[-1].strip()
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"seed {seed}: {last_line[:300]} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})", flush=True)
    took = time.monotonic() - started
    simulated = sum(report.simulated_s for report in reports)
    print(
        f"{last - first + 1} seeds, {len(failed)} failed: {failed}; {took:.1f} s, {simulated / 3600:.2f} h simulated, "
        f"{sum(r.message_count for r in reports)} messages, {sum(r.confirmed_count for r in reports)} confirmed, "
        f"{sum(r.seen_count for r in reports)} delivered, {sum(r.mqtt_count for r in reports)} by MQTT, "
        f"{sum(r.restart_count for r in reports)} starts"
    )
    print(dict(sorted(sum((Counter(report.fault_counts) for report in reports), Counter()).items())))
    return 1 if failed else 0


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(replay(numbers[0]) if len(numbers) == 1 else run_all(*numbers))
