"""Apache ActiveMQ Artemis, a broker in Java, as a private process on a loopback port."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from bench.broker import Broker
from bench.client import Client
from bench.session import BrokerError, Session

ROOT = Path(__file__).parent.parent
BUILT = Path("build/artemis/bin/artemis")
INSTALL = f"apt-get install default-jdk-headless maven, and make {BUILT}"
CREATE_TIMEOUT_S = 60
# A queue for each /queue/..., a topic for each /topic/..., as the other brokers have it.
ACCEPTOR = '<acceptor name="stomp">tcp://127.0.0.1:{port}?protocols=STOMP;anycastPrefix=/queue/;multicastPrefix=/topic/</acceptor>'
CREATE = (
    *("--user", "guest", "--password", "guest", "--allow-anonymous", "--host", "127.0.0.1"),
    *("--no-web", "--no-autotune", "--nio", "--silent", "--java-options", "-Xms512M -Xmx2G"),
)


def program() -> Path | None:
    """What was brought here, and Java to run it."""
    built = ROOT / BUILT
    return built if built.exists() and shutil.which("java") else None


class Artemis(Broker):
    name = "Artemis"
    fsync = "persistent messages are synced"

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = self.stomp_port = port

    def missing(self) -> str | None:
        return None if program() else INSTALL

    def version(self) -> str:
        found = sorted((ROOT / BUILT).parent.parent.glob("lib/artemis-server-[0-9]*.jar"))
        release = re.sub(r".*-([0-9.]+)\.jar", r"\1", found[-1].name) if found else "not installed"
        return f"{self.name} {release}"

    def client(self) -> Client:
        raise BrokerError(f"{self.name} doesn't speak AMQP 0-9-1")

    def forget_queue(self, name: str) -> None:
        """Nothing is to be done: it goes with its last consumer."""

    def _create(self, path: Path) -> Path:
        """An instance of its own, with one acceptor."""
        instance = self.directory / "instance"
        if not instance.exists():
            command = [str(path), "create", str(instance), *CREATE]
            made = subprocess.run(command, capture_output=True, text=True, timeout=CREATE_TIMEOUT_S, check=False)
            if made.returncode:
                raise BrokerError(f"{self.name}: no instance was made\n{made.stdout}{made.stderr}")
            config = instance / "etc" / "broker.xml"
            acceptor = f"<acceptors>{ACCEPTOR.format(port=self.port)}</acceptors>"
            config.write_text(re.sub("<acceptors>.*</acceptors>", acceptor, config.read_text(), flags=re.DOTALL))
        return instance

    def _launch(self) -> Session:
        path = program()
        if path is None:
            raise BrokerError(f"{self.name} isn't installed: {INSTALL}")
        command = [str(self._create(path) / "bin" / "artemis"), "run"]
        environment = {**os.environ, "HOME": str(self.directory)}
        return Session(self.name, command, self.port, self.directory / "output.log", environment)
