"""``python -m tests.cluster.make_golden_node VERSION``: what a node of a cluster leaves on its disk and is sent.

An archive has ``data/`` (a node's directory), ``frames`` (all that a follower was sent, in order), ``snapshot-<shard>``
(streams) and ``expected.json`` (what they come to).  Made once for a version; never made again to make a test pass,
once that version is released.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from broker.cluster.assembly import CoreSettings, open_meta
from broker.cluster.frame import Frame, encode_frames
from broker.cluster.frame_kinds import Channel
from broker.cluster.hello import PeerInfo
from broker.model import commands as c
from broker.model.topology import BindingSpec
from kernel import Shard as KernelShard
from kernel.journal import Journal
from tests.cluster.nodes import STORE, ClusterNode, TestedCluster
from tests.cluster.test_cluster import accept_all
from tests.core.node import CHANNEL, consume, declare, publish
from tests.store.make_golden import FILE_SIZE

CACHE_SIZE = 8 << 20
GOLDEN = Path(__file__).parent / "golden"
FOLLOWER = "n3"


def use(cluster: TestedCluster, node: ClusterNode) -> None:
    """Queues and bindings, messages of which some are accepted, at any shard."""
    session = node.session()
    for number in range(4):
        name = f"q{number}"
        cluster.ask(session, declare(name), seconds=0.3)
        bound = BindingSpec("amq.topic", name, f"k.{number}")  # type: ignore[arg-type]
        cluster.ask(session, c.Bind(CHANNEL, bound), seconds=0.3)
        cluster.ask(session, publish(*(f"{name} {i}" for i in range(20)), key=name, tag=2 * number + 1))
        cluster.ask(session, publish(f"by topic {number}", exchange="amq.topic", key=f"k.{number}", tag=2 * number + 2))
        cluster.ask(session, consume(name, tag=name, credit=5), seconds=0.3)
        cluster.ask(session, accept_all())
    cluster.run(2)


def states(kernels: Sequence[KernelShard]) -> list[list[int]]:
    return [[kernel.applied_index, kernel.state_hash()] for kernel in kernels]


def received() -> tuple[bytes, list[list[int]]]:
    """Frames that a follower in a group of three was sent, and what its shards are then."""
    cluster = TestedCluster(3, static=True)
    frames: list[Frame] = []
    node = cluster.nodes[FOLLOWER]
    receive = node.cluster.receive_frames

    def record(info: PeerInfo, channel: Channel, came: Sequence[Frame]) -> bool:
        frames.extend(came)
        return receive(info, channel, came)

    vars(node.cluster)["receive_frames"] = record
    leader = cluster.nodes["n1"]
    cluster.run(0.3)
    for kernel in leader.kernels:
        kernel.campaign()
    cluster.settle()
    use(cluster, leader)
    return encode_frames(frames), states(node.kernels)


def directory() -> tuple[ClusterNode, list[list[int]]]:
    """A node that was taken in, with a checkpoint and a journal behind it."""
    cluster = TestedCluster(3)
    cluster.settle()
    use(cluster, cluster.nodes["n1"])
    node = cluster.nodes["n2"]
    node.cycle()
    session = node.session()
    cluster.ask(session, publish("last", key="q1", tag=1), seconds=1)
    return node, states(node.kernels)


def reopened(node: ClusterNode) -> list[list[int]]:
    """What its shards are when it starts: what it does not know to be committed yet is not applied."""
    journal = Journal.open_on(node.disk.copy(), node.journal.peer, STORE, FILE_SIZE)
    return states(open_all(journal, len(node.kernels) - 1))


def open_all(journal: Journal, shards: int) -> list[KernelShard]:
    """All shards, the meta shard with its topology."""
    meta = open_meta(journal, 100, CoreSettings(shards=shards), 1).meta
    return [meta, *(KernelShard.replica(journal, number, 100, 1, CACHE_SIZE, []) for number in range(1, shards + 1))]


def stream(kernel: KernelShard) -> bytes:
    export = kernel.export()
    assert export is not None
    chunks = []
    while chunk := export.read():
        chunks.append(chunk)
    export.close()
    return b"".join(chunks)


def main(version: str) -> None:
    frames, followed = received()
    node, exported = directory()
    files = {f"data/{name}": node.disk.read(name) for name in node.disk.names() if name != "reserve"}
    files |= {f"snapshot-{kernel.id}": stream(kernel) for kernel in node.kernels}
    files["frames"] = frames
    node.journal.abandon()
    node.disk.kill()
    expected = {"followed": followed, "exported": exported, "stored": reopened(node), "peer": node.journal.peer}
    files["expected.json"] = json.dumps(expected).encode()
    with tarfile.open(GOLDEN / f"node-{version}.tar.xz", "w:xz") as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main(sys.argv[1])
