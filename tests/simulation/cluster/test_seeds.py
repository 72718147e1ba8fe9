"""Many seeds, each a cluster and its clients through chaos and healing.

``SIMULATION_CLUSTER_SEEDS`` says how many, ``SIMULATION_CLUSTER_FIRST`` from which on (1).  A seed that fails is told
with how to replay it; one that showed a bug stays in ``KEPT``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from tests.simulation.cluster.simulation import CHAOS_S, ClusterSimulation, Report

ROOT = Path(__file__).resolve().parents[3]
PART_COUNT = 40
"""Tests that share the seeds, so that processes can share the tests."""
SEED_COUNT = int(os.environ.get("SIMULATION_CLUSTER_SEEDS", "200"))
FIRST = int(os.environ.get("SIMULATION_CLUSTER_FIRST", "1"))
KEPT = {
    (3, CHAOS_S): "a node that was heard again was not told who leads, and its publishers waited for ever",
    (5, CHAOS_S): "the answer to a move that was under way ended a node that leads no more",
    (14, CHAOS_S): "what another held came back when a node said so that had lost it",
    (12192, 60.0): "what was on its way to who acknowledges nothing went with a leader: the check had such a one",
    (10109, 60.0): "the check did not know that what a leaving node's clients hold comes back before they read of it",
}


def simulated(seed: int, seconds: float = CHAOS_S) -> Report | str:
    """What a seed came to, or what is wrong and how to see it."""
    try:
        return ClusterSimulation(seed, seconds=seconds).run()
    except Exception as error:
        last = "".join(traceback.format_exception(error)[-3:])
        command = f".venv/bin/python -m tests.simulation.cluster {seed} --seconds {seconds:.0f}"
        return f"seed {seed}: replay it with: {command}\n{last}"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PART_COUNT))
def test_every_seed_comes_to_a_good_end(part: int) -> None:
    seeds = range(FIRST + part, FIRST + SEED_COUNT, PART_COUNT)
    failures = [outcome for outcome in map(simulated, seeds) if isinstance(outcome, str)]
    assert not failures, "\n".join(failures)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "seconds"), KEPT)
def test_seeds_that_showed_bugs_come_to_a_good_end(seed: int, seconds: float) -> None:
    outcome = simulated(seed, seconds)
    assert isinstance(outcome, Report), f"{KEPT[seed, seconds]}: {outcome}"


@pytest.mark.slow
def test_a_seed_leaves_the_same_trace_in_every_process() -> None:
    """I27, whatever the hashes of strings are."""
    program = (
        "from tests.simulation.cluster.simulation import ClusterSimulation\n"
        "print([ClusterSimulation(seed, seconds=4.0).run().digest for seed in (3, 6)])"
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        for hash_seed in ("0", "20011")
    }
    assert len(traces) == 1, traces
