"""``python -m tests.simulation.cluster SEED``: replays a seed and tells everything that happens.

``python -m tests.simulation.cluster FIRST LAST``: runs them all, prints those that fail and a summary.

``python -m tests.simulation.cluster soak SECONDS``: runs drawn seeds for so long, and tells how far it is.

``--jobs``: how many processes share the seeds, as many as there are cores unless it says so.  ``--seconds``: how long
the chaos of each is; another length is another seed.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import random
import sys
import time
from collections.abc import Iterator

import structlog

from tests.simulation.cluster.many import run_all
from tests.simulation.cluster.simulation import CHAOS_S, ClusterSimulation

TELLS_S = 60.0
SOAK = "soak"


def replay(seed: int, seconds: float) -> int:
    print(ClusterSimulation(seed, echo=True, seconds=seconds).run())
    return 0


def drawn_seeds(seconds: float) -> Iterator[int]:
    """One after the other from a drawn one, for so long."""
    ends_at = time.monotonic() + seconds
    first = random.SystemRandom().randrange(1 << 40)
    return itertools.takewhile(lambda seed: time.monotonic() < ends_at, itertools.count(first))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.cluster", description=__doc__)
    parser.add_argument("what", nargs="+", help="SEED, FIRST LAST, or soak SECONDS")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=CHAOS_S)
    arguments = parser.parse_args()
    if len(arguments.what) > 2:
        parser.error("more than two of them")
    return arguments


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    arguments = read_arguments()
    first, last = arguments.what[0], arguments.what[-1]
    if first == SOAK:
        return run_all(drawn_seeds(float(last)), arguments.jobs, arguments.seconds, TELLS_S)
    if len(arguments.what) == 1:
        return replay(int(first), arguments.seconds)
    return run_all(iter(range(int(first), int(last) + 1)), arguments.jobs, arguments.seconds, TELLS_S)


if __name__ == "__main__":
    sys.exit(main())
