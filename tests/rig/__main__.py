"""``python -m tests.rig``: rounds of kill -9 on a random node and of SIGSTOP on the leader; prints a table."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.rig.nodes import Nodes
from tests.rig.rounds import Rig
from tests.rig.running import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rig", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of a random node; default: 20")
    parser.add_argument("--stops", type=int, default=5, help="SIGSTOP of the leader; default: 5")
    parser.add_argument("--double-kills", type=int, default=1, help="of two nodes of three; default: 1")
    parser.add_argument("--amqp-only", action="store_true", help="no clients of MQTT")
    parser.add_argument("--seed", type=int, default=None, help="for another run of the same faults")
    parser.add_argument(
        "--folder", type=Path, default=None, help="for data and logs, which stay; default: a temporary one"
    )
    asked = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if asked.seed is None else asked.seed
    with tempfile.TemporaryDirectory(prefix="dragoman-rig-") as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        print(f"seed {seed}", flush=True)
        nodes = Nodes(folder)
        rig = Rig(nodes, random.Random(seed), mqtt=not asked.amqp_only)
        faults = [rig.kill_one] * asked.kills + [rig.stop_leader] * asked.stops + [rig.kill_two] * asked.double_kills
        problems = run(rig, faults, lambda line: print(line, flush=True))
    for problem in problems:
        print(f"  WRONG: {problem}")
    print(f"{'failed' if problems else 'all is well'} after {time.monotonic() - started:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
