"""One node as a process: started, killed, stopped and resumed by its id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from broker.config import load
from broker.config.addresses import CLUSTER_PORT, parse_address
from broker.demo.cluster.witness import Way
from broker.demo.doors import Door

STOP_TIMEOUT_S = 20.0
"""Then it is killed."""
LAST_LINES = 12
CLUSTER = "cluster"
"""The door for other nodes."""


class NodePlan(msgspec.Struct, frozen=True):
    """``file``: its configuration, which the rest of this overrides."""

    name: str
    file: Path
    doors: tuple[Door, ...]
    """The one for other nodes last."""
    peers: tuple[str, ...]
    data: Path

    def way(self, protocol: str) -> Way | None:
        door = next((door for door in self.doors if door.protocol == protocol), None)
        return None if door is None else Way(self.name, door.host, door.port)

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in inherited.items() if not name.startswith("DRAGOMAN__")}
        *listeners, own = self.doors
        kept["DRAGOMAN__BROKER__LISTENERS"] = json.dumps([door._asdict() for door in listeners])
        kept["DRAGOMAN__BROKER__STORAGE__LOG_DIR"] = json.dumps(str(self.data))
        kept["DRAGOMAN__CLUSTER__LISTEN"] = json.dumps(own.address)
        kept["DRAGOMAN__CLUSTER__PEERS"] = json.dumps(self.peers)
        return kept


def plans(files: Sequence[Path], data: Path, doors: Sequence[Sequence[Door]] = ()) -> list[NodePlan]:
    """As the files have it; ``doors``: instead of theirs, for each node.  Raises ConfigError."""
    names = [load(file, {}).cluster.name_of_node for file in files]
    placed = [tuple(each) for each in doors] or [tuple(doors_of(file)) for file in files]
    return [
        NodePlan(
            name,
            file,
            placed[number],
            tuple(others[-1].address for place, others in enumerate(placed) if place != number),
            data / name,
        )
        for number, (name, file) in enumerate(zip(names, files, strict=True))
    ]


def doors_of(file: Path) -> list[Door]:
    """Of a node's file; the one for other nodes last."""
    config = load(file, {})
    own = parse_address(config.cluster.listen, CLUSTER_PORT)
    listeners = [Door(each.protocol, each.host, each.port) for each in config.broker.listeners]
    return [*listeners, Door(CLUSTER, own.host, own.port)]


class Node:
    """Its data stay, whatever is done to it."""

    def __init__(self, plan: NodePlan, log: Path) -> None:
        self.plan = plan
        self.log = log
        self.paused = False
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False

    @property
    def ended(self) -> bool:
        """By itself: nobody asked it to, or killed it."""
        return self._wanted and not self.running

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None and self.running else 0

    @property
    def code(self) -> int | None:
        """What it ended with."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Returns at once."""
        self._wanted = True
        with self.log.open("ab") as output:
            # A group of its own: Ctrl-C at a terminal is not for it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "broker.main", "run", "--config", str(self.plan.file)],
                env=self.plan.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self.shoot()
        if self._process is not None:
            self._process.wait()

    def shoot(self) -> None:
        """kill -9."""
        self._wanted = self.paused = False
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        self._send(signal.SIGCONT)
        self.paused = False

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def ask_to_stop(self) -> None:
        self._wanted = False
        if self.running:
            self.resume()
            self._send(signal.SIGTERM)

    def wait_stopped(self) -> int | None:
        """Its exit code; None: it had to be killed, or never ran."""
        if self._process is None:
            return None
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-LAST_LINES:])
