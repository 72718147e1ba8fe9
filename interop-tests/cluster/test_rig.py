"""Real nodes are killed and stopped under load: nothing confirmed is lost, and clients go on by themselves.

`make rig` does it for longer.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.rig.nodes import Nodes
from tests.rig.rounds import Rig
from tests.rig.running import run

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def test_clients_go_on_and_nothing_is_lost_whatever_becomes_of_a_node(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rig = Rig(Nodes(tmp_path), random.Random(seed))
    said: list[str] = []
    problems = run(rig, [rig.kill_one, rig.stop_leader, rig.kill_one], said.append)
    assert not problems, "\n".join([f"seed {seed}", *said, *problems])
