"""What a member answers to a leader's offer of a snapshot."""

from __future__ import annotations

import errno

import pytest

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Kind
from broker.cluster.snapshots import AHEAD_COUNT_MAX, DONE, Snapshots
from broker.core.replicated_shard import ReplicatedShard
from broker.model.names import ShardId
from tests.cluster.wire import Wire
from tests.kernel.carrier import JOINING, carried, joining
from tests.kernel.replicas import SHARD, Member


class Offered:
    """A member that a leader offers a snapshot."""

    def __init__(self, leader: Member, member: Member, ahead_count_max: int = AHEAD_COUNT_MAX) -> None:
        self._wire = Wire()
        self._there, here = self._wire.add("leader", leader.peer), self._wire.add("member", JOINING)
        self._wire.meet()
        self._wire.run(1.0)
        self._shard = ReplicatedShard(member.shard, (JOINING, 2), ShardId(SHARD))
        shards = {self._shard.id: self._shard}
        self.snapshots = Snapshots(shards, here.peers, member.journal.begin_import, ahead_count_max)

    def answers(self, message: bytes) -> list[list[object]]:
        """All that the leader was told by now."""
        assert self.snapshots.receive_offer(self._shard, message)
        return self.heard()

    def heard(self) -> list[list[object]]:
        self._wire.run(0.5)
        return [frame.head for _, _, frame in self._there.heard.frames if frame.kind == Kind.SNAPSHOT_REQUEST]


def test_a_disk_that_refuses_to_read_what_is_here_is_told_of_and_ends_nothing_by_itself() -> None:
    cluster, leader, message = joining()
    imported = carried(cluster, message)
    imported.finish()
    member = cluster.members[JOINING]
    offered = Offered(leader, member)
    failures: list[OSError] = []
    offered.snapshots.failed = failures.append
    member.disk.fail_read_once(next(name for name in member.disk.names() if name.startswith("blocks")))
    assert offered.answers(message) == []
    assert [error.errno for error in failures] == [errno.EIO]
    assert offered.answers(message) == [[SHARD, 0, DONE]]


def test_what_is_here_already_is_not_fetched_again() -> None:
    cluster, leader, message = joining()
    imported = carried(cluster, message)
    imported.finish()
    # It falls before Raft hears of it, and so before the leader does.
    member = cluster.members[JOINING].crashed(3)
    offered = Offered(leader, member)
    assert offered.answers(message) == [[SHARD, 0, DONE]]
    assert offered.snapshots.progress() == []


@pytest.mark.parametrize("ahead", [0, 1])
def test_the_next_chunk_is_asked_for_when_one_is_taken_in_or_before_if_few_come_at_a_time(
    ahead: int,
) -> None:
    cluster, leader, message = joining()
    export = next(iter(cluster.exports.values()))
    whole = export.read()
    pieces = [whole[:100], whole[100:300], whole[300:], b""]
    offered = Offered(leader, cluster.members[JOINING], ahead)
    offsets: list[object] = [0]
    assert [head[2] for head in offered.answers(message)] == offsets
    at = 0
    for piece in pieces:
        offered.snapshots.receive_chunk(leader.peer, Frame(Kind.SNAPSHOT_CHUNK, [SHARD, 0, at], piece))
        offered.snapshots.receive_chunk(leader.peer, Frame(Kind.SNAPSHOT_CHUNK, [SHARD, 0, at], piece))  # sent again
        at += len(piece)
        early = [at] if piece and ahead else []
        assert [head[2] for head in offered.heard()] == offsets + early
        (job,) = offered.snapshots.jobs
        offered.snapshots.jobs.clear()
        job.done(job.run())
        offsets.append(at if piece else DONE)
        assert [head[2] for head in offered.heard()] == offsets
    assert offered.snapshots.progress() == []
