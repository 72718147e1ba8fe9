"""Groups that rest: who leads one goes on doing so until there is a reason for another."""

from __future__ import annotations

import pytest

from tests.cluster.nodes import TestedCluster

LONG_S = 4.0
"""Several times what a group waits for its leader at most."""


def terms_of(cluster: TestedCluster) -> list[int]:
    node = next(iter(cluster.nodes.values()))
    return [kernel.term for kernel in node.kernels]


def quiet_cluster(count: int, seed: int) -> TestedCluster:
    cluster = TestedCluster(count, static=True, seed=seed)
    cluster.settle()
    cluster.run(LONG_S)
    return cluster


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_leader_that_another_one_made_way_for_is_followed_though_nothing_is_said(seed: int) -> None:
    cluster = quiet_cluster(3, seed)
    before = terms_of(cluster)
    leader = cluster.leader_of(1)
    assert leader is not None
    heir = next(node for node in cluster.nodes.values() if node is not leader)
    assert leader.kernels[1].transfer_leader(cluster.peers[heir.name])
    cluster.run(LONG_S)
    before[1] += 1
    assert terms_of(cluster) == before
    assert cluster.leader_of(1) is heir


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_node_that_comes_back_makes_nobody_doubt_the_leaders_that_are_there(seed: int) -> None:
    cluster = quiet_cluster(3, seed)
    leaders = [cluster.leader_of(shard) for shard in range(cluster.shards + 1)]
    idle = next((name for name, node in cluster.nodes.items() if node not in leaders), None)
    if idle is None:  # everybody leads something: whoever goes is followed by others
        idle = "n1"
        cluster.kill(idle)
        cluster.run(LONG_S)
    else:
        cluster.kill(idle)
    cluster.run(1.0)
    before = [max(node.kernels[shard].term for node in cluster.nodes.values()) for shard in range(cluster.shards + 1)]
    cluster.start(idle)
    cluster.run(LONG_S)
    assert terms_of(cluster) == before


def test_who_is_no_voter_any_more_is_not_rested_for_though_its_node_is_heard() -> None:
    """It led when a change that made it a learner was under way: it has stepped down, and can't campaign."""
    cluster = quiet_cluster(3, 1)
    leader = cluster.leader_of(1)
    assert leader is not None
    learner, follower = (node for node in cluster.nodes.values() if node is not leader)
    assert leader.kernels[1].propose_conf([("learner", cluster.peers[learner.name])])
    cluster.run(LONG_S)
    replication, shard = follower.cluster.replication, follower.cluster.shards[1]
    assert replication is not None
    term = follower.kernels[1].term
    replication.receive_standing(shard, cluster.peers[leader.name], term)
    assert not replication.tick()
    replication.receive_standing(shard, cluster.peers[learner.name], term)
    assert replication.tick()


def test_what_is_said_of_a_shard_that_rests_stays_known() -> None:
    """And new: it is told seldom."""
    cluster = TestedCluster(3)
    cluster.settle()
    cluster.run(LONG_S)
    for _ in range(60):
        cluster.run(0.1)
        for node in cluster.nodes.values():
            assert node.cluster.membership is not None
            assert len(node.cluster.membership.statuses(cluster.wire.now)) == cluster.shards + 1


def test_who_heard_a_leader_before_its_node_was_up_rests_too() -> None:
    """Or it would doubt that leader as soon as that one rests."""
    cluster = TestedCluster(3, shards=3, static=True)
    cluster.settle()
    cluster.run(LONG_S)
    before = terms_of(cluster)
    leaders = [cluster.leader_of(shard) for shard in range(cluster.shards + 1)]
    name = next(name for name, node in cluster.nodes.items() if node not in leaders)
    cluster.kill(name)
    cluster.run(2.0)
    cluster.start(name)
    cluster.run(LONG_S)
    assert terms_of(cluster) == before


def test_a_shard_of_others_costs_nothing() -> None:
    cluster = TestedCluster(4)
    cluster.settle()
    cluster.run(4 * LONG_S)
    foreign = 0
    for node in cluster.nodes.values():
        assert node.cluster.replication is not None
        foreign += sum(not kernel.conf()[0] for kernel in node.kernels)
        assert not node.cluster.replication.tick(), node.name
    assert foreign == cluster.shards, "each is on three of the four"
