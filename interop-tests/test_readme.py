"""The README's first client does what it says, as printed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from broker_process import BrokerProcess
from clients import CLIENTS, PYTHON, require

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize(("number", "printed"), [(0, "Hello, world\n"), (1, "hello/world Hello, world\n")])
def test_the_python_samples_run(broker: BrokerProcess, number: int, printed: str) -> None:
    require(next(client for client in CLIENTS if client.name == "pika").missing())
    samples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    here = samples[number].replace("5672", str(broker.port)).replace("1883", str(broker.mqtt_port))
    done = subprocess.run([str(PYTHON), "-c", here], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
