"""Data directories of earlier versions are read as they were left."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import QueueName
from broker.model.topology import QueueSpec
from tests.core.node import CHANNEL, Node, consume, delivered, publish
from tests.store.make_golden import FILE_SIZE, GOLDEN

VERSIONS = sorted(GOLDEN.glob("*.tar.xz"))


def test_there_is_a_golden_directory() -> None:
    assert VERSIONS


@pytest.mark.parametrize("archive", VERSIONS, ids=lambda path: path.name)
def test_a_golden_directory_is_read(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    node = Node(tmp_path, 2, FILE_SIZE)
    session = node.session()
    node.ask(session, publish("new", exchange="golden", key="k.b"))
    a = delivered(node.ask(session, consume("a", "a")))
    assert [body for body, _ in a] == [*(f"sealed {i}" for i in range(40)), "sealed 1", "last", "new"]
    replies = node.ask(session, consume("b", "b"))
    b = delivered(replies)
    assert [body for body, _ in b] == [*(f"sealed {i}" for i in range(5, 40, 2)), "last", "new"]
    assert b[0][1], "returned before, so flagged"
    dead = c.DeclareQueue(CHANNEL, QueueSpec(QueueName("b")), passive=True)
    assert node.ask(session, dead) == [r.QueueDeclared(CHANNEL, QueueName("b"), 0, 1)]
    assert node.ask(session, c.Get(CHANNEL, QueueName("a"))) == [r.GotNothing(CHANNEL)]
