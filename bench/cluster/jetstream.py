"""NATS JetStream: three servers, streams of three replicas in files, each write synced; and its load."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

import msgspec

from bench.client import Client
from bench.cluster.cluster import NODES, Cluster, get
from bench.row import Options
from bench.session import BrokerError, Session

ROOT = Path(__file__).parent.parent.parent
SERVER = Path("build/nats/nats-server")
LOAD = Path("build/nats/jsload")
INSTALL = f"make {SERVER} {LOAD} (needs Go)"
# What a load may take beyond its warm-up and its time: making streams, and the last acknowledgements.
LOAD_EXTRA_S = 150.0

CONFIG = """\
server_name: node-{number}
listen: "127.0.0.1:{client}"
http: "127.0.0.1:{monitor}"
jetstream {{
  store_dir: "{store}"
  sync_interval: always
}}
cluster {{
  name: bench
  listen: "127.0.0.1:{route}"
  routes: [{routes}]
}}
"""


class JetStreamResult(msgspec.Struct, frozen=True):
    """What ``jsload`` prints: counts, seconds, and microseconds from a publish to its acknowledgement."""

    seconds: float
    acked: int
    measured: int
    p50: float
    p99: float
    max: float


def decode_result(printed: bytes) -> JetStreamResult:
    """BrokerError if it isn't one."""
    try:
        return msgspec.json.decode(printed, type=JetStreamResult)
    except msgspec.MsgspecError as error:
        raise BrokerError(f"JetStream's load printed no result: {error}") from error


class JetStream(Cluster):
    name = "JetStream"
    fsync = "R3, sync_interval: always"

    def __init__(self, directory: Path, port: int) -> None:
        """Takes nine ports from ``port`` on: each server's for clients, for monitoring and for the other servers."""
        self.directory = directory
        self.port = port
        self.ports = [port + node for node in range(NODES)]
        self._monitor_ports = [port + NODES + node for node in range(NODES)]
        self._route_ports = [port + 2 * NODES + node for node in range(NODES)]

    def missing(self) -> str | None:
        return None if (ROOT / SERVER).exists() and (ROOT / LOAD).exists() else INSTALL

    def version(self) -> str:
        if not (ROOT / SERVER).exists():
            return "nats-server not installed"
        command = [str(ROOT / SERVER), "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return said.strip().replace(": v", " ")

    def client(self) -> Client:
        raise BrokerError(f"{self.name} doesn't speak AMQP 0-9-1")

    def config(self, node: int) -> str:
        """The text of a server's configuration file."""
        return CONFIG.format(
            number=node + 1,
            client=self.ports[node],
            monitor=self._monitor_ports[node],
            route=self._route_ports[node],
            routes=", ".join(f'"nats://127.0.0.1:{port}"' for port in self._route_ports),
            store=self.folder(node) / "store",
        )

    def _launch_node(self, node: int) -> Session:
        config = self.folder(node) / "nats.conf"
        config.write_text(self.config(node))
        command = [str(ROOT / SERVER), "-c", str(config)]
        return Session(f"{self.name} {node + 1}", command, self.ports[node], self.folder(node) / "output.log")

    def is_ready(self, node: int) -> bool:
        return get(self._monitor_ports[node], "/healthz") is not None

    def load_command(self, options: Options, *, streams: int, connections: int, window: int, size: int) -> list[str]:
        urls = f"nats://127.0.0.1:{self.port}"
        fields = {
            "urls": urls,
            "name": f"bench-{secrets.token_hex(4)}",
            "streams": streams,
            "connections": connections,
            "window": window,
            "size": size,
            "warmup": f"{options.warmup_s}s",
            "duration": f"{options.duration_s}s",
        }
        return [str(ROOT / LOAD), *(f"-{name}={value}" for name, value in fields.items())]

    def put(self, options: Options, *, streams: int, connections: int, window: int, size: int) -> JetStreamResult:
        """Publishes through the first server; BrokerError if anything isn't acknowledged or isn't there afterwards."""
        command = self.load_command(options, streams=streams, connections=connections, window=window, size=size)
        timeout_s = options.warmup_s + options.duration_s + LOAD_EXTRA_S
        try:
            run = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise BrokerError(f"{self.name}: its load took more than {timeout_s:.0f} s") from error
        if run.returncode:
            raise BrokerError(f"{self.name}: {run.stderr.decode(errors='replace').strip()}")
        return decode_result(run.stdout)
