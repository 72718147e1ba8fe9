"""What a member answers to a leader's offer of a snapshot."""

from __future__ import annotations

from broker.cluster.frame_kinds import Kind
from broker.cluster.snapshots import DONE, Snapshots
from broker.core.replicated_shard import ReplicatedShard
from broker.model.names import ShardId
from tests.cluster.wire import Wire
from tests.kernel.carrier import JOINING, carried, joining
from tests.kernel.replicas import SHARD


def test_what_is_here_already_is_not_fetched_again() -> None:
    cluster, leader, message = joining()
    imported = carried(cluster, message)
    imported.finish()
    # It falls before Raft hears of it, and so before the leader does.
    member = cluster.members[JOINING].crashed(3)
    wire = Wire()
    there, here = wire.add("leader", leader.peer), wire.add("member", JOINING)
    wire.meet()
    wire.run(1.0)
    shard = ReplicatedShard(member.shard, (JOINING, 2), ShardId(SHARD))
    snapshots = Snapshots({shard.id: shard}, here.peers, member.journal.begin_import)
    assert snapshots.receive_offer(shard, message)
    wire.run(0.5)
    asked = [frame.head for _, _, frame in there.heard.frames if frame.kind == Kind.SNAPSHOT_REQUEST]
    assert asked == [[SHARD, 0, DONE]]
    assert snapshots.progress() == []
