"""rumqttd, a broker in Rust, as a private process on a loopback port."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from bench.broker import Broker
from bench.session import BrokerError, Session

ROOT = Path(__file__).parent.parent
BUILT = Path("build/rumqttd/bin/rumqttd")
INSTALL = f"make {BUILT}"

# Its log of a topic is what its subscribers read from; segments that are too small are dropped unread.
CONFIG = """\
id = 0

[router]
id = 0
max_connections = 20010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v4.1]
name = "v4-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 0

[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


def program() -> str | None:
    """What was built here, or else what is installed."""
    built = ROOT / BUILT
    return str(built) if built.exists() else shutil.which("rumqttd")


class Rumqttd(Broker):
    name = "rumqttd"
    fsync = "nothing is stored"
    # Each topic's log takes up to a gigabyte.
    is_hoarding = True

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = self.mqtt_port = port

    def missing(self) -> str | None:
        return None if program() else INSTALL

    def version(self) -> str:
        path = program()
        if path is None:
            return f"{self.name} not installed"
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"\d+\.\d+\.\d+\S*", said)
        return f"{self.name} {found[0] if found else 'of an unknown version'}"

    def _launch(self) -> Session:
        path = program()
        if path is None:
            raise BrokerError(f"{self.name} isn't installed: {INSTALL}")
        config = self.directory / "rumqttd.toml"
        config.write_text(CONFIG.format(port=self.port))
        return Session(self.name, [path, "-c", str(config), "-q"], self.port, self.directory / "output.log")
