"""A broker as its users start it: `dragoman run` with a data directory and a port of its own."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

DRAGOMAN = Path(sys.executable).with_name("dragoman")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
PORTS = range(20_000, 32_000)
"""Below the ephemeral range: a client's own port is never the one that is waited for."""


class BrokerProcess:
    """Started by ``start``, ended by ``stop`` or ``kill``; the data stays."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.mqtt_port = free_port()
        self.stomp_port = free_port()
        self.web_port = free_port()
        self.log = directory / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    @property
    def mqtt_url(self) -> str:
        return f"mqtt://guest:guest@127.0.0.1:{self.mqtt_port}"

    @property
    def stomp_url(self) -> str:
        return f"stomp://guest:guest@127.0.0.1:{self.stomp_port}"

    @property
    def web_stomp_url(self) -> str:
        return f"ws://guest:guest@127.0.0.1:{self.web_port}/ws"

    def ports(self) -> dict[str, int]:
        """Where each protocol is spoken."""
        return {"amqp": self.port, "mqtt": self.mqtt_port, "stomp": self.stomp_port, "http": self.web_port}

    def start(self) -> None:
        """Returns once it accepts connections."""
        listeners = ", ".join(f"{{protocol: {protocol}, port: {port}}}" for protocol, port in self.ports().items())
        settings = {
            "DRAGOMAN__BROKER__LISTENERS": f"[{listeners}]",
            "DRAGOMAN__BROKER__STORAGE__LOG_DIR": str(self.directory / "data"),
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [DRAGOMAN, "run"], env={**os.environ, **settings}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(map(accepts, self.ports().values())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the broker did not start:\n{self.log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """As an operator does.  It must end well, and soon."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(STOP_TIMEOUT_S)
        assert code == 0, f"ended with {code}:\n{self.log.read_text()}"

    def kill(self) -> None:
        """Without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Killed without a word and started with the same data."""
        self.kill()
        self.start()

    def check_alive(self) -> None:
        """Fails with its last words if it isn't."""
        assert self._process is not None
        assert self._process.poll() is None, f"the broker is gone:\n{self.log.read_text()}"


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """One that nobody listens at."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
