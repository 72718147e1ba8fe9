"""Three nodes as their users start them; one finds its data damaged and comes back as another peer, with all of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from broker_process import DRAGOMAN, accepts, free_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
SHARD_COUNT = 5
"""The meta shard and four of data."""
CHANGED = re.compile(r"shard changes +changes=\['voter .*shard=(\d)")
BODIES = [b"m%04d" % number + bytes(1000) for number in range(200)]


class NodeProcess:
    """One of three."""

    def __init__(self, directory: Path, name: str, port: int, peers: list[int]) -> None:
        self.data = directory / name
        self.log = directory / f"{name}.log"
        self.amqp_port = free_port()
        self._settings = {
            "DRAGOMAN__CLUSTER__NODE_NAME": name,
            "DRAGOMAN__CLUSTER__LISTEN": f"127.0.0.1:{port}",
            "DRAGOMAN__CLUSTER__PEERS": str([f"127.0.0.1:{peer}" for peer in peers]),
            "DRAGOMAN__BROKER__LISTENERS": f"[{{protocol: amqp, port: {self.amqp_port}}}]",
            "DRAGOMAN__BROKER__STORAGE__LOG_DIR": str(self.data),
            "DRAGOMAN__BROKER__STORAGE__JOURNAL_FILE_SIZE": "4MiB",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [DRAGOMAN, "run"],
                env={**os.environ, **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        """Until it accepts clients."""
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not accepts(self.amqp_port):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[NodeProcess]]:
    ports = [free_port() for _ in range(3)]
    made = [
        NodeProcess(tmp_path, f"n{number}", port, [other for other in ports if other != port])
        for number, port in enumerate(ports, 1)
    ]
    try:
        yield made
    finally:
        for node in made:
            node.end()


def wait_for_voters(nodes: list[NodeProcess], begin: list[int]) -> None:
    """Until every shard's voters have changed since the logs had these sizes: one of the nodes can then be missed."""
    deadline = time.monotonic() + START_TIMEOUT_S
    changed: set[str] = set()
    while len(changed) < SHARD_COUNT:
        assert time.monotonic() < deadline, nodes[0].log.read_text()
        time.sleep(0.1)
        texts = [node.log.read_text()[size:] for node, size in zip(nodes, begin, strict=True)]
        changed = {shard for text in texts for shard in CHANGED.findall(text)}
    time.sleep(2)  # what is proposed is applied within some round trips


def connect(node: NodeProcess) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", node.amqp_port))


def flip(data: Path) -> None:
    """One bit of a message in the journal."""
    for path in data.glob("journal-*"):
        content = path.read_bytes()
        found = content.find(BODIES[100][:5])
        if found > 0:
            with path.open("r+b") as file:
                file.seek(found)
                file.write(bytes([content[found] ^ 4]))
            return
    raise AssertionError("no message to be damaged")


def test_a_node_with_a_flipped_bit_comes_back_with_everything(nodes: list[NodeProcess]) -> None:
    for node in nodes:
        node.start()
    for node in nodes:
        node.wait()
    wait_for_voters(nodes, [0, 0, 0])
    with connect(nodes[0]) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.confirm_delivery()
        for body in BODIES:
            channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2))
    victim, keeper = nodes[2], nodes[0]
    assert victim.stop() == 0
    flip(victim.data)
    sizes = [len(node.log.read_text()) for node in nodes]
    victim.start()
    victim.wait()
    (folder,) = victim.data.glob("damaged-*")
    assert (folder / "identity").exists()
    text = victim.log.read_text()
    assert "data is damaged" in text
    assert "taken in" in text
    wait_for_voters(nodes, sizes)
    keeper.end()
    with connect(victim) as connection:
        channel = connection.channel()
        got: list[bytes] = []
        for method, _, body in channel.consume("q", inactivity_timeout=20):
            assert method is not None, f"{len(got)} of {len(BODIES)}"
            got.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(got) == len(BODIES):
                break
    assert got == BODIES
