"""Replicas of which one joins by a snapshot that is carried over by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kernel import Shard
from kernel.disk import SimDisk
from kernel.journal import Export, Import
from tests.kernel.replicas import QUEUE, SHARD, Cluster, Member

PEERS = [11, 22, 33]
JOINING = 44
NAME = struct.Struct("<QQ")
"""What an offer carries: the export's number, and about how many bytes it has."""


class Carrier(Cluster):
    """A cluster that offers snapshots, and keeps their messages until they are carried over."""

    def __init__(self) -> None:
        super().__init__(PEERS)
        self.exports: dict[bytes, Export] = {}
        self.snapshots: list[bytes] = []

    def run(self) -> None:
        super().run()
        for peer, member in self.members.items():
            if member.shard.wants_snapshot() is not None:
                self.offer(peer)

    def offer(self, peer: int) -> None:
        shard = self.members[peer].shard
        export = shard.export()
        assert export is not None
        name = NAME.pack(len(self.exports), export.size)
        self.exports[name] = export
        assert shard.offer_snapshot(export, name)

    def deliver(self, to: int, data: bytes) -> None:
        if to == JOINING and Shard.snapshot_in(data) is not None:
            self.snapshots.append(data)
        else:
            super().deliver(to, data)

    def take_snapshot(self) -> bytes:
        """Ticks until a leader's message with a snapshot is on its way; the message."""
        while not self.snapshots:
            self.tick()
        return self.snapshots.pop()


def joining() -> tuple[Carrier, Member, bytes]:
    """A leader with messages, a newcomer, and the leader's message with a snapshot for it."""
    cluster = Carrier()
    leader = cluster.leader()
    leader.shard.create_queue(QUEUE)
    leader.shard.reserve_mark(QUEUE)
    leader.publish(*(f"message {number}" for number in range(50)))
    cluster.settled(leader)
    leader.shard.settle(QUEUE, 0, 9, 0)
    leader.shard.settle(QUEUE, 20, 24, 0)
    leader.publish("last")
    cluster.settled(leader)
    assert leader.shard.propose_conf([("learner", JOINING)])
    cluster.members[JOINING] = Member(SimDisk(1 << 30), JOINING, [])
    return cluster, leader, cluster.take_snapshot()


def chunks(export: Export) -> Iterator[bytes]:
    while chunk := export.read():
        yield chunk


def carried(cluster: Carrier, message: bytes, size: int = 100) -> Import:
    """What the snapshot of that message came to at the newcomer, carried in pieces of some bytes."""
    snapshot = Shard.snapshot_in(message)
    assert snapshot is not None
    leader, index, term, name = snapshot
    export = cluster.exports[name]
    assert (export.index, export.term) == (index, term)
    assert export.size > 0
    imported = cluster.members[JOINING].journal.begin_import(SHARD)
    assert leader in PEERS
    for chunk in chunks(export):
        for start in range(0, len(chunk), size):
            imported.receive(chunk[start : start + size])
    assert imported.position == (index, term)
    export.close()
    return imported
