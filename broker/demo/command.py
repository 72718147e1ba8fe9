"""``dragoman demo``: starts the broker, the fleet and the worker, and ends them all."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from broker.config import Config
from broker.demo.children import Child, Ended
from broker.demo.doors import Door, Taken, accepts, free_doors
from broker.demo.stopping import ASK_INTERVAL_S, Stopping

CLIENT_PACKAGES = {"paho": "paho-mqtt", "pika": "pika"}
"""By the name of their module."""
START_INTERVAL_S = 0.05
START_TIMEOUT_S = 60.0
PAGE = "/demo/"
NAMES = {"amqp": "AMQP", "mqtt": "MQTT", "stomp": "STOMP", "http": "HTTP and WebSocket"}
FAILED = 1


def demo(port_offset: int | None, devices: int) -> int:
    """Runs until Ctrl-C; the exit code."""
    lacking = [package for module, package in CLIENT_PACKAGES.items() if importlib.util.find_spec(module) is None]
    if lacking:
        print(f"dragoman: the demo needs its clients: pip install {' '.join(lacking)}", file=sys.stderr)
        return FAILED
    usual = [Door(each.protocol, each.host, each.port) for each in Config().broker.listeners]
    stopping = Stopping()
    try:
        doors, moved = free_doors(usual, port_offset)
        if moved:
            print(f"dragoman: {moved}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="dragoman-demo-") as directory:
            run_parts(Path(directory), doors, devices, stopping)
    except (Taken, Ended) as problem:
        print(f"dragoman: {problem}", file=sys.stderr)
        return FAILED
    print("\nThe demo has ended; its data is gone.")
    return 0


def run_parts(directory: Path, doors: Sequence[Door], devices: int, stopping: Stopping) -> None:
    """Until it is told to stop, or a part ends by itself (Ended)."""
    address = {door.protocol: door.address for door in doors}
    with ExitStack() as ending:
        running: list[Child] = []

        def start(name: str, module: str, *arguments: str) -> Child:
            environment = broker_environment(os.environ, directory / "data", doors)
            log = directory / f"{name}.log"
            child = Child(name, log, module, *arguments, environment=environment)
            ending.callback(child.stop)
            running.append(child)
            return child

        wait_ready(start("broker", "broker.main", "run"), doors, stopping)
        if stopping:
            return
        start("fleet", "broker.demo.fleet", "--broker", f"mqtt://{address['mqtt']}", "--devices", str(devices))
        start("worker", "broker.demo.worker", "--broker", f"amqp://guest:guest@{address['amqp']}")
        print(introduction(doors, devices), flush=True)
        while not stopping:
            for child in running:
                child.check()
            time.sleep(ASK_INTERVAL_S)


def broker_environment(environment: Mapping[str, str], data: Path, doors: Sequence[Door]) -> dict[str, str]:
    """The documented defaults, but for where it listens and where its data are."""
    kept = {name: value for name, value in environment.items() if not name.startswith("DRAGOMAN__")}
    listeners = [door._asdict() for door in doors]
    kept["DRAGOMAN__BROKER__LISTENERS"] = json.dumps(listeners)
    kept["DRAGOMAN__BROKER__STORAGE__LOG_DIR"] = json.dumps(str(data))
    return kept


def wait_ready(broker: Child, doors: Sequence[Door], stopping: Stopping) -> None:
    """Returns once it takes connections, or when it isn't wanted any more."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not stopping and not all(map(accepts, doors)):
        broker.check()
        if time.monotonic() > deadline:
            raise Ended(f"the broker is not ready after {START_TIMEOUT_S:g} s:\n{broker.said()}")
        time.sleep(START_INTERVAL_S)


def introduction(doors: Sequence[Door], devices: int) -> str:
    """A line for each part, and the page's address."""
    listening = ", ".join(f"{NAMES.get(door.protocol, door.protocol)} {door.address}" for door in doors)
    lines = [
        "Dragoman's demo. Its data is in a temporary directory and goes with it.",
        "",
        f"  broker  {listening}",
        f"  fleet   {devices} refrigerated trucks publish fleet/<truck>/temperature over MQTT",
        "  worker  averages them over AMQP: queue demo.temperatures, published to fleet.<truck>.average",
    ]
    page = next((door.address for door in doors if door.protocol == "http"), None)
    if page is not None:
        lines += [
            "  page    shows both, and sends commands, over STOMP in a WebSocket",
            "",
            f"Open http://{page}{PAGE}",
        ]
    return "\n".join([*lines, "Ctrl-C ends it all."])
