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
{listeners}
    storage: {{log_dir: {log_dir}}}
"""
LISTENER = "      - {{protocol: {protocol}, host: 127.0.0.1, port: {port}}}"


def command() -> Path:
    """The ``dragoman`` command of this environment."""
    return Path(sys.executable).with_name("dragoman")


class Dragoman(Broker):
    name = "Dragoman"
    is_ours = True
    fsync = "every confirm waits for fdatasync (the default)"

    def __init__(
        self,
        directory: Path,
        port: int,
        mqtt_port: int | None,
        stomp_port: int | None = None,
        web_port: int | None = None,
    ) -> None:
        """Listens for AMQP on ``port``, and for the others on those that are given."""
        self.directory = directory
        self.port = port
        self.mqtt_port = mqtt_port
        self.stomp_port = stomp_port
        self.web_port = web_port

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

    def config(self) -> str:
        """The text of its configuration file."""
        ports = {"amqp": self.port, "mqtt": self.mqtt_port, "stomp": self.stomp_port, "http": self.web_port}
        listeners = [
            LISTENER.format(protocol=protocol, port=port) for protocol, port in ports.items() if port is not None
        ]
        return CONFIG.format(listeners="\n".join(listeners), log_dir=self.directory / "data")

    def _launch(self) -> Session:
        config = self.directory / "dragoman.yaml"
        config.write_text(self.config())
        started = [str(command()), "run", "--config", str(config)]
        return Session(self.name, started, self.port, self.directory / "output.log")
