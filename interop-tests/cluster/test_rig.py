"""Real nodes are killed and stopped under load: nothing confirmed is lost, and clients go on by themselves.

`make rig` does it for longer.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.rig.nodes import Nodes
from tests.rig.rounds import Rig
from tests.rig.running import run

KILLS = int(os.environ.get("DRAGOMAN_TEST_RIG_KILLS", "2"))
pytestmark = [pytest.mark.interop, pytest.mark.slow]


def test_clients_go_on_and_nothing_is_lost_whatever_becomes_of_a_node(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rig = Rig(Nodes(tmp_path), random.Random(seed))
    said: list[str] = []
    problems = run(rig, [*[rig.kill_one] * KILLS, *[rig.stop_leader] * max(KILLS // 4, 1)], said.append)
    assert not problems, "\n".join([f"seed {seed}", *said, *problems])
