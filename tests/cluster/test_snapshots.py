"""What a member answers to a leader's offer of a snapshot."""

from __future__ import annotations

import errno

import pytest

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Kind
from broker.cluster.snapshots import AHEAD_COUNT_MAX, DONE, Job, Snapshots
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


class Offering:
    """A leader that is asked for a snapshot, by a member of which only the questions are here."""

    def __init__(self, ahead_count_max: int) -> None:
        cluster, leader, _ = joining()
        self._wire = Wire()
        here, self._there = self._wire.add("leader", leader.peer), self._wire.add("member", JOINING)
        self._wire.meet()
        self._wire.run(1.0)
        shard = ReplicatedShard(leader.shard, (leader.peer, 1), ShardId(SHARD))
        self.snapshots = Snapshots({shard.id: shard}, here.peers, leader.journal.begin_import, ahead_count_max)
        export = next(iter(cluster.exports.values()))
        self.whole = export.read()
        export.close()
        # The offer that was lost, as it were; the next one is the first of its own.
        self.snapshots.receive_request(JOINING, Frame(Kind.SNAPSHOT_REQUEST, [SHARD, 0, 0]), 0.0)
        self.snapshots.look(1.0)

    def ask(self, offset: int) -> None:
        self.snapshots.receive_request(JOINING, Frame(Kind.SNAPSHOT_REQUEST, [SHARD, 1, offset]), 1.0)

    def begin_read(self) -> Job:
        """One is due, and done; what it came to is not told yet."""
        (job,) = self.snapshots.jobs
        self.snapshots.jobs.clear()
        assert job.run() is None
        return job

    def sent(self) -> list[tuple[object, bytes]]:
        """All chunks by now: where each begins, and it."""
        self._wire.run(0.5)
        frames = [frame for _, _, frame in self._there.heard.frames if frame.kind == Kind.SNAPSHOT_CHUNK]
        return [(frame.head[2], bytes(frame.body)) for frame in frames]


def test_the_chunk_after_the_one_that_was_sent_is_read_before_it_is_asked_for() -> None:
    offering = Offering(1)
    offering.ask(0)
    offering.begin_read().done(None)
    first, end = (0, offering.whole), (len(offering.whole), b"")
    assert offering.sent() == [first]
    offering.begin_read().done(None)
    assert offering.sent() == [first], "it is not asked for yet"
    offering.ask(0)  # the answer was lost
    assert offering.sent() == [first, first]
    offering.ask(end[0])
    assert offering.sent() == [first, first, end]
    assert offering.snapshots.jobs == [], "nothing comes after the end"
    offering.ask(end[0])  # lost, too
    offering.begin_read().done(None)
    assert offering.sent() == [first, first, end, end]


def test_a_chunk_that_is_asked_for_while_it_is_read_is_sent_once() -> None:
    offering = Offering(1)
    offering.ask(0)
    offering.begin_read().done(None)
    ahead = offering.begin_read()
    offering.ask(len(offering.whole))  # the thread has it, which nobody here knows yet
    assert len(offering.sent()) == 1
    assert offering.snapshots.jobs == []
    ahead.done(None)
    assert offering.sent() == [(0, offering.whole), (len(offering.whole), b"")]


def test_of_many_snapshots_at_a_time_a_chunk_is_read_when_it_is_asked_for() -> None:
    offering = Offering(0)
    offering.ask(0)
    offering.begin_read().done(None)
    assert offering.snapshots.jobs == []
    offering.ask(len(offering.whole))
    offering.begin_read().done(None)
    assert offering.sent() == [(0, offering.whole), (len(offering.whole), b"")]
