"""Three nodes in a folder of their own, at free ports."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

from broker.demo.cluster.node import Node, doors_of, plans
from broker.demo.cluster.probe import Said, ask, ask_held
from broker.demo.cluster.witness import Way
from broker.demo.doors import Door, is_free

ROOT = Path(__file__).parent.parent.parent
FILES = tuple(ROOT / "config" / "cluster-3" / f"node-{number}.yaml" for number in (1, 2, 3))
READY_TIMEOUT_S = 60.0
ASK_INTERVAL_S = 0.05
PORTS = range(20_000, 32_000)
"""Below the ephemeral range: a client's own port is never the one that is waited for."""


class NotReady(AssertionError):
    """Nodes that should serve don't."""


def free_doors(usual: Sequence[Sequence[Door]]) -> list[list[Door]]:
    """The same doors elsewhere."""
    ports = iter(random.SystemRandom().sample(PORTS, 1000))

    def free(door: Door) -> Door:
        return next(found for found in (door._replace(port=port) for port in ports) if is_free(found))

    return [[free(door) for door in doors] for doors in usual]


class Nodes:
    """Of one cluster."""

    def __init__(self, folder: Path) -> None:
        doors = free_doors([doors_of(file) for file in FILES])
        self.all = [Node(plan, folder / f"{plan.name}.log") for plan in plans(FILES, folder, doors)]

    def __getitem__(self, name: str) -> Node:
        return next(node for node in self.all if node.name == name)

    def start(self) -> None:
        """Returns when all are ready, and all shards where they are to be."""
        for node in self.all:
            node.start()
        for node in self.all:
            self.wait_ready(node)
        deadline = time.monotonic() + READY_TIMEOUT_S
        way = self.ways("http")[0]
        while not (held := ask_held(way)) or not all(each.settled and each.wanted == len(self.all) for each in held):
            if time.monotonic() > deadline:
                raise NotReady(f"shards are not where they are to be: {held}")
            time.sleep(ASK_INTERVAL_S)

    def ended(self) -> list[Node]:
        """Those that did so by themselves."""
        return [node for node in self.all if node.ended]

    def ways(self, protocol: str) -> list[Way]:
        return [way for node in self.all if (way := node.plan.way(protocol)) is not None]

    def said(self, node: Node) -> Said:
        way = node.plan.way("http")
        assert way is not None
        return ask(way)

    def wait_ready(self, node: Node) -> float:
        """How long that took, in seconds."""
        started = time.monotonic()
        while not (said := self.said(node)).ready:
            gone = [each.name for each in self.ended()]
            if gone or time.monotonic() - started > READY_TIMEOUT_S:
                why_not = f"{', '.join(gone)} ended" if gone else said.why_not or "does not answer"
                words = "\n".join(self[name].last_words() for name in gone or [node.name])
                raise NotReady(f"{node.name}: {why_not}; last words:\n{words}")
            time.sleep(ASK_INTERVAL_S)
        return time.monotonic() - started

    def led(self) -> dict[str, list[int]]:
        """The shards that each node leads; what a node says of itself may be a second old."""
        return {node.name: self.said(node).leads for node in self.all if node.running and not node.paused}

    def stop(self) -> list[str]:
        """Who does not end well."""
        for node in self.all:
            node.ask_to_stop()
        return [f"{node.name} ended with {code}" for node in self.all if (code := node.wait_stopped()) != 0]

    def kill(self) -> None:
        for node in self.all:
            node.shoot()
        for node in self.all:
            node.kill()
