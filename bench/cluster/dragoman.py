"""Three nodes of our own broker."""

from __future__ import annotations

import re
from pathlib import Path

from bench import dragoman
from bench.cluster.cluster import NODES, Cluster, get
from bench.session import Session

# No secret: only this machine is reached.
CONFIG = """\
message_queue:
  cluster:
    node_name: node-{number}
    cluster_name: bench
    listen: "127.0.0.1:{listen}"
    peers: [{peers}]
    shards: {shards}
  broker:
    listeners:
      - {{protocol: amqp, host: 127.0.0.1, port: {amqp}}}
      - {{protocol: http, host: 127.0.0.1, port: {http}}}
    storage: {{log_dir: {log_dir}}}
"""
SHARDS = 4
LEADING = re.compile(rb'^dragoman_shard_leading\{shard="(\d+)"\} 1$', re.MULTILINE)


def shards_led(metrics: bytes) -> set[int]:
    """The shards that a node leads, of its metrics."""
    return {int(shard) for shard in LEADING.findall(metrics)}


class DragomanCluster(Cluster):
    name = "Dragoman"
    is_ours = True
    fsync = "every confirm waits for fdatasync on a majority of the nodes (the default)"
    shards = SHARDS

    def __init__(self, directory: Path, port: int) -> None:
        """Takes nine ports from ``port`` on: each node's for AMQP, for HTTP and for the other nodes."""
        self.directory = directory
        self.port = port
        self.ports = [port + node for node in range(NODES)]
        self._http_ports = [port + NODES + node for node in range(NODES)]
        self._peer_ports = [port + 2 * NODES + node for node in range(NODES)]
        self._alone = dragoman.Dragoman(directory, port, None)

    def missing(self) -> str | None:
        return self._alone.missing()

    def version(self) -> str:
        return self._alone.version()

    def config(self, node: int) -> str:
        """The text of a node's configuration file."""
        others = [port for place, port in enumerate(self._peer_ports) if place != node]
        return CONFIG.format(
            number=node + 1,
            listen=self._peer_ports[node],
            peers=", ".join(f'"127.0.0.1:{port}"' for port in others),
            shards=self.shards,
            amqp=self.ports[node],
            http=self._http_ports[node],
            log_dir=self.data(node),
        )

    def data(self, node: int) -> Path:
        """A node's data directory."""
        return self.folder(node) / "data"

    def _launch_node(self, node: int) -> Session:
        config = self.folder(node) / "dragoman.yaml"
        config.write_text(self.config(node))
        command = [str(dragoman.command()), "run", "--config", str(config)]
        return Session(f"{self.name} {node + 1}", command, self.ports[node], self.folder(node) / "output.log")

    def is_ready(self, node: int) -> bool:
        return get(self._http_ports[node], "/health/ready") is not None

    def is_spread(self) -> bool:
        """A node is given its share of the shards to lead once it holds what the others hold."""
        led = [len(shards_led(get(port, "/metrics") or b"")) for port in self._http_ports]
        return sum(led) == 1 + self.shards and max(led) - min(led) <= 1
