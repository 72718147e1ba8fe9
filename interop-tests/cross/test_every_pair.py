"""Each protocol to each, over TCP and over WebSocket: payloads and properties, by the rules of docs/conversions.md."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from broker_process import BrokerProcess
from clients import PYTHON, require

pytestmark = pytest.mark.interop

FOLDER = Path(__file__).parent / "pairs"
TIMEOUT_S = 120


@pytest.mark.parametrize("publisher", ["amqp", "mqtt4", "mqtt5", "stomp"])
@pytest.mark.parametrize("transport", ["tcp", "websocket"])
def test_everybody_hears_what_one_says(broker: BrokerProcess, transport: str, publisher: str) -> None:
    require(None if PYTHON.exists() else "Python's clients are missing: run make interop")
    ports = broker.ports()
    http = ports.pop("http")
    asked = json.dumps(ports if transport == "tcp" else {"http": http})
    done = subprocess.run(
        [str(PYTHON), "run.py", asked, publisher],
        cwd=FOLDER, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "shown\n"), done.stdout + done.stderr
    broker.check_alive()
