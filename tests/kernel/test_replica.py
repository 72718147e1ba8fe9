"""Three replicas of a shard: they elect, replicate, fail over, restart, and change their members."""

from __future__ import annotations

import pytest

from kernel import Shard, take_frames
from tests.kernel.replicas import QUEUE, SHARD, Cluster, Member, route_to, run_of, stepped

PEERS = [11, 22, 33]
FRONT = (99, 7)
"""Another node's front."""


def led() -> tuple[Cluster, Member]:
    """A cluster whose leader has made the queue."""
    cluster = Cluster(PEERS)
    leader = cluster.leader()
    leader.shard.create_queue(QUEUE)
    leader.shard.reserve_mark(QUEUE)
    cluster.settled(leader)
    return cluster, leader


def hashes(cluster: Cluster) -> set[tuple[int, int]]:
    return {(member.shard.applied_index, member.shard.state_hash()) for member in cluster.members.values()}


def test_three_replicas_elect_one_and_apply_the_same() -> None:
    cluster, leader = led()
    leader.publish("a", "b")
    last = leader.publish("c")
    cluster.settled(leader)
    assert len(hashes(cluster)) == 1
    assert leader.applied[leader.peer, 1] == last
    assert leader.bodies() == ["a", "b", "c"]
    assert [member.serving for member in cluster.members.values()].count(True) == 1
    assert {member.shard.leader for member in cluster.members.values()} == {leader.peer}
    status = leader.shard.status()
    assert status is not None
    role, term, leading, last_index, commit, applied, progress = status
    assert (role, term, leading) == ("leader", leader.shard.term, leader.peer)
    assert last_index == commit == applied == leader.shard.applied_index
    assert [(peer, matched) for peer, matched, _, _ in progress] == [(peer, last_index) for peer in PEERS]


def test_who_does_not_serve_takes_nothing_in_and_has_nothing_ready() -> None:
    cluster, leader = led()
    leader.publish("a")
    cluster.settled(leader)
    other = next(member.shard for peer, member in cluster.members.items() if peer != leader.peer)
    with pytest.raises(ValueError, match="does not serve"):
        other.publish(run_of("x"), [route_to(QUEUE)])
    for call in (lambda: other.settle(QUEUE, 0, 0, 0), lambda: other.give_back(QUEUE, 0, 0), other.barrier):
        with pytest.raises(ValueError, match="does not serve"):
            call()
    assert other.take(QUEUE, 9, 1 << 20) is None
    assert not other.pending
    assert other.counts(QUEUE) == (0, 0, 0)


def test_a_new_leader_delivers_what_the_old_one_had_from_its_own_journal() -> None:
    cluster, old = led()
    for number in range(20):
        old.publish(f"{number}")
        cluster.settled(old)
    assert old.shard.take(QUEUE, 5, 1 << 20) is not None
    old.shard.settle(QUEUE, 0, 2, 0)
    cluster.settled(old)
    cluster.cut = {old.peer}
    new = cluster.leader()
    assert new.peer != old.peer
    assert new.bodies() == [f"{number}" for number in range(3, 20)]
    cluster.cut = set()
    cluster.tick(5)
    assert not old.serving
    assert not old.shard.serving
    assert len(hashes(cluster)) == 1


def test_what_a_cut_off_leader_took_in_is_lost_and_its_front_says_it_again() -> None:
    cluster, old = led()
    old.publish("a")
    cluster.settled(old)
    cluster.cut = {old.peer}
    lost = old.publish("b")
    old.shard.propose(1000)
    cluster.run()
    new = cluster.leader()
    cluster.cut = set()
    cluster.tick(5)
    assert new.shard.accepted_through(old.peer, 1) == lost - 1
    new.shard.append(run_of("b"), [route_to(QUEUE)])
    new.shard.take_in(old.peer, 1, lost, True)
    with pytest.raises(ValueError, match="before"):
        new.shard.take_in(old.peer, 1, lost, True)
    cluster.settled(new)
    assert new.applied[old.peer, 1] == old.shard.applied_through(old.peer, 1) == lost
    assert new.bodies() == ["a", "b"]
    # Its own numbers go on there when it leads again.
    assert new.shard.transfer_leader(old.peer)
    cluster.run()
    assert cluster.leader() is old
    assert old.publish("c") == lost + 1
    cluster.settled(old)
    assert len(hashes(cluster)) == 1


def test_other_fronts_commands_are_told_where_they_were_taken_in() -> None:
    cluster, leader = led()
    assert leader.shard.accepted_through(*FRONT) == 0
    assert leader.shard.append(run_of("x"), [route_to(QUEUE)]) is None
    leader.shard.take_in(*FRONT, 4, False)
    urgent = [leader.shard.urgent]
    assert leader.shard.accepted_through(*FRONT) == 4
    assert leader.shard.applied_through(*FRONT) == 0
    leader.shard.begin_queue(QUEUE + 1)
    leader.shard.take_in(*FRONT, 5, True)
    assert [*urgent, leader.shard.urgent] == [False, True]
    cluster.settled(leader)
    assert [member.shard.applied_through(*FRONT) for member in cluster.members.values()] == [5, 5, 5]
    assert [member for member in cluster.members.values() if FRONT in member.applied] == [leader]
    assert leader.applied[FRONT] == 5
    assert leader.shard.has_queue(QUEUE + 1)


@pytest.mark.parametrize("seed", range(5))
def test_all_lose_power_at_once_and_nothing_committed_is_lost(seed: int) -> None:
    cluster, leader = led()
    for number in range(30):
        leader.publish(f"{number}")
        cluster.settled(leader)
    leader.publish("never synced")
    leader.shard.propose(1000)
    cluster.members = {peer: member.crashed(seed) for peer, member in cluster.members.items()}
    leader = cluster.leader()
    cluster.tick(5)
    assert len(hashes(cluster)) == 1
    assert leader.bodies()[:30] == [f"{number}" for number in range(30)]


def test_an_idle_group_is_quiet_everywhere_and_a_busy_one_is_not() -> None:
    cluster, leader = led()
    shards = [member.shard for member in cluster.members.values()]
    cluster.tick(3)
    assert [shard.quiet for shard in shards] == [True] * 3
    assert take_frames(shards) == []
    leader.publish("a")
    assert not leader.shard.quiet
    leader.shard.propose(1000)
    assert {place for place, *_ in take_frames(shards)} == {shards.index(leader.shard)}
    behind = next(peer for peer in PEERS if peer != leader.peer)
    cluster.cut = {behind}
    cluster.run()
    assert not leader.shard.quiet
    cluster.cut = set()
    cluster.tick(5)
    assert [shard.quiet for shard in shards] == [True] * 3


def test_a_read_index_is_answered_once_a_quorum_was_heard() -> None:
    cluster, leader = led()
    assert leader.shard.read_index(5)
    cluster.run()
    assert leader.reads == [(5, leader.shard.applied_index)]
    other = next(member for peer, member in cluster.members.items() if peer != leader.peer)
    assert not other.shard.read_index(6)


def test_a_founder_takes_in_a_learner_by_snapshot_only_and_the_configuration_survives() -> None:
    cluster = Cluster([11])
    founder = cluster.leader()
    founder.shard.create_queue(QUEUE)
    founder.shard.reserve_mark(QUEUE)
    cluster.settled(founder)
    assert founder.shard.propose_conf([("learner", 22)])
    assert not founder.shard.propose_conf([("learner", 33)])
    cluster.settled(founder)
    assert founder.shard.conf() == ([11], [], [22], [])
    with pytest.raises(ValueError, match="no such change"):
        founder.shard.propose_conf([("king", 22)])
    founder.publish("a")
    cluster.settled(founder)
    restarted = founder.crashed(3)
    assert restarted.shard.conf() == ([11], [], [22], [])
    cluster.members[11] = restarted
    assert cluster.leader() is restarted
    assert restarted.bodies() == ["a"]


def test_a_message_that_no_peer_sends_is_refused() -> None:
    cluster, leader = led()
    assert not stepped(leader.shard, b"")
    assert not stepped(leader.shard, b"\xff" * 40)
    assert Shard.snapshot_in(b"\xff") is None
    assert leader.shard.dead is None
    assert leader.shard.id == SHARD
    assert cluster.leader() is leader
