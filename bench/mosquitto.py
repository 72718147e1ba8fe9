"""Debian's Mosquitto as a private process: a loopback port, a configuration and data of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from bench.broker import Broker
from bench.session import BrokerError, Session

INSTALL = "apt-get install mosquitto"
# As many as any row has in its window.
INFLIGHT_MAX = 100
# The default of 1,000 is reached under load, and what is beyond it is dropped.
QUEUED_MAX = 10_000

# ``user`` matters if it is started by root: it would give up the right to its own data.
CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
user root
log_type error
max_inflight_messages {inflight_max}
max_queued_messages {queued_max}
persistence {persistence}
persistence_location {directory}/
"""


def program() -> str | None:
    """The server, which isn't in everybody's path."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Mosquitto(Broker):
    """With ``persistence`` it keeps durable sessions in a file, written every half hour and when it ends."""

    def __init__(self, directory: Path, port: int, *, persistence: bool = False) -> None:
        self.name = "Mosquitto, persistent" if persistence else "Mosquitto"
        self.fsync = "never; its file is written every half hour" if persistence else "nothing is stored"
        self.directory = directory
        self.port = self.mqtt_port = port
        self._persistence = persistence

    def missing(self) -> str | None:
        return None if program() else INSTALL

    def version(self) -> str:
        path = program()
        if path is None:
            return f"{self.name} not installed"
        said = subprocess.run([path, "-h"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"version (\S+)", said)
        return f"{self.name} {found[1] if found else 'of an unknown version'}"

    def _launch(self) -> Session:
        path = program()
        if path is None:
            raise BrokerError(f"{self.name} isn't installed: {INSTALL}")
        config = self.directory / "mosquitto.conf"
        config.write_text(
            CONFIG.format(
                port=self.port,
                inflight_max=INFLIGHT_MAX,
                queued_max=QUEUED_MAX,
                persistence="true" if self._persistence else "false",
                directory=self.directory.resolve(),
            )
        )
        return Session(self.name, [path, "-c", str(config)], self.port, self.directory / "output.log")
