"""``dragoman demo`` as a newcomer starts it, but on ports that nobody has."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from broker_process import DRAGOMAN, accepts

OFFSETS = range(2000, 3900, 7)
"""Tried in turn; the demo's own begin at 0."""
AMQP_PORT = 5672
MQTT_PORT = 1883
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0


class DemoProcess:
    """Started by ``start``, ended by ``stop`` as by Ctrl-C."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "demo.log"
        self.temporary = directory / "temporary"
        """What stands for /tmp."""
        self.offset = 0
        self.url = ""
        """Of its page."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def amqp_port(self) -> int:
        return AMQP_PORT + self.offset

    @property
    def mqtt_port(self) -> int:
        return MQTT_PORT + self.offset

    def start(self) -> None:
        """Returns once it says which page to open."""
        self.launch()
        self.wait_started()

    def launch(self) -> None:
        """Returns at once."""
        self.temporary.mkdir()
        for self.offset in OFFSETS:
            if not accepts(self.amqp_port):
                break
        command = [str(DRAGOMAN), "demo", "--port-offset", str(self.offset)]
        with self.log.open("wb") as log:
            environment = {**os.environ, "TMPDIR": str(self.temporary)}
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_started(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while (found := re.search(r"^Open (\S+)$", self.said(), re.MULTILINE)) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise AssertionError(f"the demo did not start:\n{self.said()}")
            time.sleep(0.05)
        self.url = found[1]

    def said(self) -> str:
        return self.log.read_text()

    def children(self) -> list[int]:
        """The ids of its processes, in the order of their start."""
        assert self._process is not None
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def interrupt(self) -> None:
        """Ctrl-C."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Its exit code."""
        assert self._process is not None
        return self._process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        """It must end well, and soon."""
        self.interrupt()
        code = self.wait()
        assert code == 0, f"ended with {code}:\n{self.said()}"
