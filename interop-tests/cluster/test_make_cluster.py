"""`make cluster` shows three nodes at work, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.slow]
OFFSETS = range(2100, 3900, 100)
SHOWN_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
ALL_UP = "node-1 up"


def test_it_shows_three_nodes_at_work_and_ctrl_c_ends_it_all(tmp_path: Path) -> None:
    log, temporary = tmp_path / "cluster.log", tmp_path / "temporary"
    temporary.mkdir()
    offset = OFFSETS[os.getpid() % len(OFFSETS)]
    command = [sys.executable, "-m", "broker.demo.cluster", "--port-offset", str(offset)]
    with log.open("wb") as out:
        environment = {**os.environ, "TMPDIR": str(temporary)}
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + SHOWN_TIMEOUT_S
        while ALL_UP not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 3
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_TIMEOUT_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []
    assert [*temporary.iterdir()] == []
