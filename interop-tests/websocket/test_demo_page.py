"""A headless Chromium on the page of `dragoman demo`; the behaviours are in node/behaviours/.

The pictures of the README are made here:
``DEMO_PICTURES=docs/images DEMO_PICTURES_AFTER_S=150 pytest interop-tests/websocket -k page_is_shown``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from clients import REMEDY, require
from demo_process import DemoProcess

pytestmark = [pytest.mark.interop, pytest.mark.slow]

NODE = Path(__file__).parent / "node"
BEHAVIOURS = sorted(path.stem for path in (NODE / "behaviours").glob("*.js"))
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
NEEDED = {
    NODE / "node_modules" / "playwright-core" / "package.json": f"apt-get install nodejs npm, {REMEDY}",
    Path(CHROMIUM): "apt-get install chromium",
}
SHOW_TIMEOUT_S = 120 + float(os.environ.get("DEMO_PICTURES_AFTER_S", "0"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    for needed, remedy in NEEDED.items():
        require(None if needed.exists() else f"{needed.name} is missing: {remedy}")
    process = DemoProcess(tmp_path_factory.mktemp("demo"))
    process.start()
    yield process
    process.stop()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_page_shows(demo: DemoProcess, behaviour: str, tmp_path: Path) -> None:
    pictures = Path(os.environ.get("DEMO_PICTURES", tmp_path)).resolve()
    with subprocess.Popen(
        ["node", "run.js", CHROMIUM, behaviour, demo.url],
        cwd=NODE,
        env={**os.environ, "DEMO_PICTURES": str(pictures)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            said = converse(running, demo)
            code = running.wait(SHOW_TIMEOUT_S)
        finally:
            running.kill()
    assert (code, said[-1:]) == (0, ["shown"]), f"{behaviour} ended with {code}:\n" + "\n".join([*said, demo.said()])


def converse(running: subprocess.Popen[str], demo: DemoProcess) -> list[str]:
    """What it said; ``publish KEY TEXT`` is done for it."""
    assert running.stdin is not None
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line.rstrip("\n"))
        verb, *words = said[-1].split(" ", 2)
        if verb == "publish" and len(words) == 2:
            publish(demo.amqp_port, *words)
            running.stdin.write("published\n")
            running.stdin.flush()
    return said


def publish(port: int, routing_key: str, text: str) -> None:
    """By a client of AMQP 0-9-1 that says which protocol it speaks, as the demo's do."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
    channel = connection.channel()
    channel.confirm_delivery()
    properties = pika.BasicProperties(headers={"via": "AMQP"})
    channel.basic_publish("amq.topic", routing_key, text.encode(), properties)
    connection.close()
