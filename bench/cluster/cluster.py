"""A cluster under test: three nodes of one broker, each with processes and a folder of its own."""

from __future__ import annotations

import contextlib
import http.client
import time
from abc import abstractmethod
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path

from bench.broker import START_TIMEOUT_S, Broker
from bench.session import BrokerError, Session

NODES = 3
READY_POLL_S = 0.05
HTTP_TIMEOUT_S = 2.0


def get(port: int, path: str) -> bytes | None:
    """What an HTTP server on loopback has at a path; None: nobody answers, or not with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HTTP_TIMEOUT_S)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
        return content if answer.status == HTTPStatus.OK else None
    return None


class Nodes:
    """The processes of those nodes that run."""

    def __init__(self) -> None:
        self.sessions: dict[int, Session] = {}
        """By the node's place, from 0."""

    def _all(self) -> Iterable[Session]:
        return list(self.sessions.values())

    def wait_listening(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        for session in self._all():
            session.wait_listening(deadline - time.monotonic())

    def check(self) -> None:
        for session in self._all():
            session.check()

    def pids(self) -> list[int]:
        return [process for session in self._all() for process in session.pids()]

    def memory(self) -> int:
        return sum(session.memory() for session in self._all())

    def cpu_seconds(self) -> float:
        return sum(session.cpu_seconds() for session in self._all())

    def pause(self) -> None:
        for session in self._all():
            session.pause()

    def resume(self) -> None:
        for session in self._all():
            session.resume()

    def stop(self) -> None:
        for session in self._all():
            session.stop()

    def kill(self) -> None:
        for session in self._all():
            session.kill()


class Cluster(Broker):
    """Node ``n`` has its data in ``folder(n)`` and serves clients on ``ports[n]``; ``port`` is node 0's."""

    ports: list[int]
    _nodes: Nodes

    @abstractmethod
    def _launch_node(self, node: int) -> Session:
        """Starts a node on the data in its folder, which is there."""

    @abstractmethod
    def is_ready(self, node: int) -> bool:
        """Whether a node that listens is of the cluster, and serves."""

    def folder(self, node: int) -> Path:
        return self.directory / f"node-{node + 1}"

    def _launch(self) -> Nodes:
        self._nodes = Nodes()
        try:
            for node in range(NODES):
                self._add(node)
        except BaseException:
            self._nodes.kill()
            raise
        return self._nodes

    def _add(self, node: int) -> None:
        self.folder(node).mkdir(parents=True, exist_ok=True)
        self._nodes.sessions[node] = self._launch_node(node)

    def is_spread(self) -> bool:
        """Whether each node leads something, as far as that comes by itself."""
        return True

    def start(self) -> float:
        """Returns when each node is ready and leads."""
        began = time.monotonic()
        super().start()
        try:
            self.wait_ready()
        except BrokerError:
            self.kill()
            raise
        return time.monotonic() - began

    def wait_ready(self) -> None:
        """Returns when each node is ready and leads; BrokerError if one ends or isn't in time."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (all(map(self.is_ready, range(NODES))) and self.is_spread()):
            self.session.check()
            if time.monotonic() > deadline:
                said = self._nodes.sessions[0].log_tail()
                raise BrokerError(f"{self.name}: not every node is ready after {START_TIMEOUT_S:.0f} s\n{said}")
            time.sleep(READY_POLL_S)

    def stop(self) -> None:
        """Ends it at once: what it has isn't used again."""
        self.kill()

    def kill_node(self, node: int) -> None:
        """As kill -9 does."""
        self._nodes.sessions.pop(node).kill()

    def start_node(self, node: int) -> None:
        """Starts a node that was killed, on what it has; returns at once."""
        self._add(node)
