"""The README's first client does what it says, as printed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from broker_process import BrokerProcess
from clients import CLIENTS, PYTHON, require

README = Path(__file__).parent.parent / "README.md"


def test_the_python_sample_runs(broker: BrokerProcess) -> None:
    require(next(client for client in CLIENTS if client.name == "pika").missing())
    (sample,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    here = sample.replace("5672", str(broker.port))
    done = subprocess.run([str(PYTHON), "-c", here], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "Hello, world\n"), done.stderr
