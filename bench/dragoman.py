"""Our own broker, as a user starts it, on a port and a data directory of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.broker import Broker
from bench.session import Session

CONFIG = """\
message_queue:
  broker:
    listeners:
      - {{protocol: amqp, host: 127.0.0.1, port: {port}}}
    storage: {{log_dir: {log_dir}}}
"""


def command() -> Path:
    """The ``dragoman`` command of this environment."""
    return Path(sys.executable).with_name("dragoman")


class Dragoman(Broker):
    name = "Dragoman"

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port

    def missing(self) -> str | None:
        return None if command().exists() else "make build"

    def version(self) -> str:
        root = Path(__file__).parent.parent
        command = ["git", "describe", "--always", "--dirty"]
        asked = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        return f"Dragoman {asked.stdout.strip() or 'unversioned'}"

    def queue_arguments(self, kind: str) -> dict[str, str]:
        # A durable queue is replicated by Raft here whatever it is called.
        return {}

    def _launch(self) -> Session:
        config = self.directory / "dragoman.yaml"
        config.write_text(CONFIG.format(port=self.port, log_dir=self.directory / "data"))
        started = [str(command()), "run", "--config", str(config)]
        return Session(self.name, started, self.port, self.directory / "output.log")
