"""``make cluster``: three nodes, a load, and a live status; keys kill and stop nodes."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from broker.demo.cluster.display import Screen, Shown
from broker.demo.cluster.figures import Figures
from broker.demo.cluster.keys import single_keys, wait_key
from broker.demo.cluster.load import Load
from broker.demo.cluster.node import Node, doors_of, plans
from broker.demo.cluster.probe import UNREACHED, Held, Said, ask, ask_held
from broker.demo.command import CLIENT_PACKAGES, FAILED, NAMES
from broker.demo.doors import Door, Taken, free_doors
from broker.demo.stopping import Stopping

FOLDER = Path(__file__).parent.parent.parent.parent / "config" / "cluster-3"
FILES = ("node-1.yaml", "node-2.yaml", "node-3.yaml")
QUEUES, RATE, MQTT_RATE = 6, 150.0, 20.0
READY_TIMEOUT_S = 60.0
LOOK_INTERVAL_S = 0.5
PAUSE_KEY = "p"


class Failed(Exception):
    """One or more lines that say what went wrong."""


class ShownCluster:
    """The nodes, and what is known of them."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self._said: dict[str, Said] = {}

    def look(self) -> list[Shown]:
        return [self._look_at(node) for node in self.nodes]

    def _look_at(self, node: Node) -> Shown:
        way = node.plan.way("http")
        said = UNREACHED
        if way is not None and node.running and not node.paused:
            said = ask(way)
        self._said[node.name] = said
        return Shown(node.name, node.pid, self._state(node, said), said)

    def held(self) -> list[Held]:
        """As the first that is ready knows it."""
        for node in self.nodes:
            way = node.plan.way("http")
            if way is not None and self._said.get(node.name, UNREACHED).ready and (held := ask_held(way)):
                return [each for each in held if each.voters]  # of the others it has not heard yet
        return []

    @staticmethod
    def _state(node: Node, said: Said) -> str:
        if node.ended:
            return f"ended by itself ({node.code})"
        if not node.running:
            return "killed"
        if node.paused:
            return "stopped"
        if not said.reached:
            return "starting"
        return "up" if said.ready else "not ready"

    def receive_key(self, key: str) -> None:
        if key == PAUSE_KEY:
            self._pause_or_resume()
        elif key.isdecimal() and 1 <= int(key) <= len(self.nodes):
            node = self.nodes[int(key) - 1]
            if node.running:
                node.kill()
            else:
                node.start()

    def _pause_or_resume(self) -> None:
        paused = [node for node in self.nodes if node.paused]
        for node in paused:
            node.resume()
        running = [node for node in self.nodes if node.running]
        if not paused and running:
            max(running, key=lambda node: len(self._said.get(node.name, UNREACHED).leads)).pause()


def introduction(nodes: Sequence[Node], load: Load) -> str:
    lines = ["", "A cluster of three nodes. Their data are in a temporary directory and go with them.", ""]
    for node in nodes:
        listening = "  ".join(f"{NAMES[door.protocol]} {door.address}" for door in node.plan.doors[:-1])
        lines.append(f"  {node.name}  {listening}")
    lines += [
        "",
        f"{len(load.publishers)} clients publish with confirms, {len(load.consumers)} consume, by AMQP and MQTT.",
        "A client that loses its node goes to another.",
        "",
    ]
    return "\n".join(lines)


KEYS = """\
Keys:  1 2 3   kill -9 that node, or start it again
       p       SIGSTOP the node that leads most, and SIGCONT
       Ctrl-C  end it all
"""


def wait_ready(cluster: ShownCluster, stopping: Stopping) -> None:
    """Returns once clients can be served, or when that isn't wanted any more."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not stopping:
        shown = cluster.look()
        if all(node.said.ready for node in shown):
            return
        for node in cluster.nodes:
            if node.ended or time.monotonic() > deadline:
                why = f"ended with code {node.code}" if node.ended else "is not ready"
                raise Failed(f"{node.name} {why}; its last words:\n{node.last_words()}")
        time.sleep(LOOK_INTERVAL_S)


def watch(cluster: ShownCluster, figures: Figures, stopping: Stopping) -> None:
    """Until it is told to stop."""
    screen = Screen()
    with single_keys() as keys:
        if keys:
            print(KEYS)
        while not stopping:
            screen.show(cluster.look(), figures, cluster.held(), time.monotonic())
            key = wait_key(keys, LOOK_INTERVAL_S)
            if key:
                cluster.receive_key(key)


def moved_doors(offset: int | None) -> tuple[list[Sequence[Door]], str]:
    """Each node's, at ports that are free, and a line that says why they are others than usual.  Raises Taken."""
    usual = [doors_of(FOLDER / file) for file in FILES]
    moved, why = free_doors([door for doors in usual for door in doors], offset)
    each: list[Sequence[Door]] = []
    for doors in usual:
        each.append(moved[: len(doors)])
        moved = moved[len(doors) :]
    return each, why


def run(folder: Path, doors: Sequence[Sequence[Door]], stopping: Stopping) -> None:
    """Until it is told to stop, or something fails (Failed)."""
    made = plans([FOLDER / file for file in FILES], folder, doors)
    nodes = [Node(plan, folder / f"{plan.name}.log") for plan in made]
    cluster, figures = ShownCluster(nodes), Figures()
    protocols = ("amqp", "mqtt")
    ways = {name: [way for node in nodes if (way := node.plan.way(name)) is not None] for name in protocols}
    load = Load(ways, figures, QUEUES, RATE, MQTT_RATE)
    try:
        print("dragoman: starting three nodes", file=sys.stderr, flush=True)
        for node in nodes:
            node.start()
        wait_ready(cluster, stopping)
        if not stopping:
            late = load.start(READY_TIMEOUT_S)
            if late:
                raise Failed(f"these clients are not served: {', '.join(late)}")
            print(introduction(nodes, load), flush=True)
            watch(cluster, figures, stopping)
    finally:
        print("\ndragoman: ending it all", file=sys.stderr, flush=True)
        load.stop()
        for node in nodes:
            node.ask_to_stop()
        for node in nodes:
            node.wait_stopped()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m broker.demo.cluster", description=__doc__)
    parser.add_argument("--port-offset", metavar="N", type=int, help="added to every port; without it, what is free")
    asked = parser.parse_args()
    lacking = [package for module, package in CLIENT_PACKAGES.items() if importlib.util.find_spec(module) is None]
    if lacking:
        print(f"dragoman: the cluster's load needs its clients: pip install {' '.join(lacking)}", file=sys.stderr)
        return FAILED
    stopping = Stopping()
    try:
        doors, moved = moved_doors(asked.port_offset)
        if moved:
            print(f"dragoman: {moved}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="dragoman-cluster-") as folder:
            run(Path(folder), doors, stopping)
    except (Taken, Failed) as problem:
        print(f"dragoman: {problem}", file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
