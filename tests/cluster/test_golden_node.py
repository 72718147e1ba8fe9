"""What nodes of earlier versions left on disk and sent is read, followed and taken in as it was."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.cluster.frame import Frame, FrameDecoder
from broker.cluster.frame_kinds import CHANNEL_SIZE_MAX, Kind
from broker.cluster.words import WordCodec
from broker.core.topology import Topology
from kernel import Shard as KernelShard
from kernel import take_frames
from kernel.disk import SimDisk
from kernel.journal import Journal
from tests.cluster.make_golden_node import CACHE_SIZE, GOLDEN, open_all, states
from tests.cluster.nodes import STORE
from tests.kernel.replicas import stepped
from tests.store.make_golden import FILE_SIZE

ARCHIVES = sorted(GOLDEN.glob("node-*.tar.xz"))
SHARD_COUNT = 3


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(request.param) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path


def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "expected.json").read_text())
    return content


def frames(golden: Path) -> Iterator[Frame]:
    decoder = FrameDecoder()
    decoder.receive_data((golden / "frames").read_bytes())
    while (frame := decoder.take_frame(max(CHANNEL_SIZE_MAX.values()))) is not None:
        yield frame


def test_there_is_a_golden_node() -> None:
    assert ARCHIVES


def test_a_golden_directory_is_opened(golden: Path) -> None:
    peer = expected(golden)["peer"]
    journal = Journal.open(str(golden / "data"), 99, STORE, FILE_SIZE)
    assert journal.peer == peer
    meta, *data = open_all(journal, SHARD_COUNT - 1)
    topology = Topology.from_rows(meta.rows())
    cluster, node = topology.cluster(), topology.node(peer)
    assert cluster is not None
    assert node is not None
    assert (node.number, cluster.shard_count) == (2, SHARD_COUNT - 1)
    assert sorted(row.name for row in topology.nodes()) == ["n1", "n2", "n3"]
    assert states([meta, *data]) == expected(golden)["stored"]
    assert [kernel.conf()[0] for kernel in data] == [[1, 2, 3]] * (SHARD_COUNT - 1)
    journal.close()


def test_what_a_follower_was_sent_is_followed(golden: Path) -> None:
    journal = Journal.open_on(SimDisk(1 << 30), 3, STORE, FILE_SIZE)
    kernels = [KernelShard.replica(journal, number, 1, 1, CACHE_SIZE, [1, 2, 3]) for number in range(SHARD_COUNT)]
    kinds = set()
    for frame in frames(golden):
        kinds.add(frame.kind)
        if frame.kind in (Kind.RAFT, Kind.APPEND):
            kernel = kernels[frame.head[0]]
            assert stepped(kernel, frame.body)
            journal.carry_out()
            kernel.receive_synced(journal.synced)
            take_frames([kernel])
    assert kinds >= {Kind.RAFT, Kind.APPEND, Kind.WORD}
    followed = expected(golden)["followed"]
    assert states(kernels[1:]) == followed[1:]
    # The rows of the meta shard are the topology's to make of its commands.
    assert kernels[0].applied_index == followed[0][0]


def test_the_words_it_was_sent_are_understood(golden: Path) -> None:
    codec = WordCodec()
    words = [codec.decode(frame) for frame in frames(golden) if frame.kind == Kind.WORD]
    assert len({type(word) for word in words}) >= 5
    for word in words:
        assert type(codec.decode(codec.encode(word))) is type(word)


def test_golden_snapshots_are_taken_in(golden: Path) -> None:
    journal = Journal.open_on(SimDisk(1 << 30), 4, STORE, FILE_SIZE)
    for number in range(SHARD_COUNT):
        taken = journal.begin_import(number)
        taken.receive((golden / f"snapshot-{number}").read_bytes())
        taken.finish()
        assert taken.finished
    assert states(open_all(journal, SHARD_COUNT - 1)) == expected(golden)["exported"]
