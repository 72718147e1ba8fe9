"""What is published in one protocol is received in the other, through ``amq.topic``; the behaviours are in python/."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker_process import BrokerProcess
from clients import PYTHON, Client, require, show

pytestmark = pytest.mark.interop

FOLDER = Path(__file__).parent / "python"
BEHAVIOURS = sorted({path.stem for path in FOLDER.glob("*.py")} - {"bridge", "run"})
CASES = [
    pytest.param(level, behaviour, id=f"{version}-{behaviour}")
    for version, level in (("3.1.1", "4"), ("5", "5"))
    for behaviour in BEHAVIOURS
    if level == "5" or not behaviour.endswith("_5")
]


@pytest.mark.parametrize(("level", "behaviour"), CASES)
def test_a_message_crosses(broker: BrokerProcess, level: str, behaviour: str) -> None:
    client = Client("pika and paho", (str(PYTHON), "run.py", broker.url, level), FOLDER, (), PYTHON, "run make interop")
    require(client.missing())
    show(client, behaviour, broker.mqtt_url, restart=broker.restart)
    broker.check_alive()
