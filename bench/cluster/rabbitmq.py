"""RabbitMQ's cluster of three nodes, with a port mapper and a cookie of their own."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

import msgspec

from bench import rabbitmq
from bench.cluster.cluster import NODES, Cluster
from bench.session import BrokerError, Session

ASK_TIMEOUT_S = 60.0
COOKIE_MODE = 0o400


def node_name(node: int) -> str:
    return f"bench-{node + 1}@localhost"


class Status(msgspec.Struct):
    """What is of interest here of ``rabbitmqctl cluster_status --formatter json``."""

    running_nodes: list[str]


def running_nodes(answer: bytes) -> set[str]:
    """The names in an answer of ``rabbitmqctl``; BrokerError if it is something else."""
    try:
        return set(msgspec.json.decode(answer, type=Status).running_nodes)
    except msgspec.MsgspecError as error:
        raise BrokerError(f"RabbitMQ tells no status of its cluster: {error}") from error


class Member(rabbitmq.RabbitMq):
    """A node: it finds the others by its configuration."""

    def __init__(self, directory: Path, node: int, port: int, dist_port: int, mapper_port: int) -> None:
        super().__init__(directory, port)
        self.name = f"RabbitMQ {node + 1}"
        self._node = node
        self._dist_port = dist_port
        self._mapper_port = mapper_port

    def _environment(self, home: Path) -> dict[str, str]:
        return {
            **super()._environment(home),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": node_name(self._node),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
        }

    def config(self) -> str:
        """The text of its configuration file."""
        lines = ["cluster_formation.peer_discovery_backend = classic_config"]
        lines += [f"cluster_formation.classic_config.nodes.{node + 1} = {node_name(node)}" for node in range(NODES)]
        return super()._config() + "".join(f"{line}\n" for line in lines)

    def _config(self) -> str:
        return self.config()

    def _start_port_mapper(self, epmd: Path) -> None:
        """All nodes share the cluster's."""

    def launch(self, cookie: str) -> Session:
        path = self.directory / ".erlang.cookie"
        if not path.exists():
            path.write_text(cookie)
            path.chmod(COOKIE_MODE)
        return self._launch()

    def ask(self, *words: str) -> bytes:
        """What ``rabbitmqctl`` answers."""
        home = rabbitmq.installed()
        assert home is not None
        command = [str(home / "sbin" / "rabbitmqctl"), "--quiet", *words]
        environment = self._environment(home)
        asked = subprocess.run(command, capture_output=True, env=environment, timeout=ASK_TIMEOUT_S, check=False)
        return asked.stdout


class RabbitMqCluster(Cluster):
    name = "RabbitMQ"
    fsync = "quorum queues sync, and confirm when a majority has"

    def __init__(self, directory: Path, port: int) -> None:
        """Takes seven ports from ``port`` on: each node's for AMQP and for Erlang's distribution, the port mapper's."""
        self.directory = directory
        self.port = port
        self.ports = [port + node for node in range(NODES)]
        self._mapper_port = port + 2 * NODES
        self.members = [
            Member(self.folder(node), node, self.ports[node], port + NODES + node, self._mapper_port)
            for node in range(NODES)
        ]
        self._port_mapper: Session | None = None
        self._cookie = secrets.token_hex(16)

    def missing(self) -> str | None:
        return self.members[0].missing()

    def version(self) -> str:
        release = self.members[0].version().rpartition(" ")[2]
        return f"{self.name} {release}"

    def queue_arguments(self, kind: str) -> dict[str, str]:
        return {"x-queue-type": kind}

    def _launch_node(self, node: int) -> Session:
        epmd = rabbitmq.port_mapper()
        if epmd is None:
            raise BrokerError(f"{self.name} isn't installed: {rabbitmq.INSTALL}")
        if self._port_mapper is None:
            self._port_mapper = rabbitmq.map_ports(epmd, self._mapper_port, self.directory / "epmd.log")
        return self.members[node].launch(self._cookie)

    def is_ready(self, node: int) -> bool:
        answer = self.members[node].ask("cluster_status", "--formatter", "json")
        return bool(answer) and len(running_nodes(answer)) == NODES

    def kill(self) -> None:
        super().kill()
        if self._port_mapper is not None:
            self._port_mapper.stop()
            self._port_mapper = None
