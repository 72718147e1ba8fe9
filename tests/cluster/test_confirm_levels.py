"""When a publisher is told: for each queue as it asks, whoever leads it and wherever the publisher is."""

from __future__ import annotations

import pytest

from broker.model import commands as c
from broker.model import replies as r
from broker.model.refusals import Refusal
from tests.cluster.nodes import ClusterNode, TestedCluster
from tests.core.asked import asking
from tests.core.node import confirmed, declare, publish

LEVELS = ("none", "leader", "quorum")


def started() -> tuple[TestedCluster, ClusterNode]:
    """With a queue for each level, and who leads them: their shard is one."""
    cluster = TestedCluster(3, shards=1, static=True)
    cluster.settle()
    session = cluster.nodes["n1"].session()
    replies = cluster.ask(session, *(declare(level, x_confirm=level) for level in LEVELS))
    assert all(isinstance(reply, r.QueueDeclared) for reply in replies)
    leader = cluster.leader_of(1)
    assert leader is not None
    return cluster, leader


def told(cluster: TestedCluster, node: ClusterNode, seconds: float) -> list[str]:
    """Which levels a publisher there is told of within that time."""
    session = node.session()
    tags = dict(enumerate(LEVELS, 1))
    for tag, level in tags.items():
        session.submit([publish("m", key=level, tag=tag)])
    cluster.run(seconds)
    return [tags[tag] for tag in sorted(confirmed(session.take_replies()))]


def test_all_are_told_while_all_is_well() -> None:
    cluster, _ = started()
    for node in cluster.nodes.values():
        assert told(cluster, node, 0.3) == list(LEVELS)


def test_without_followers_a_quorum_is_waited_for_and_less_is_not() -> None:
    cluster, leader = started()
    publisher = next(node for node in cluster.nodes.values() if node is not leader)
    third = next(node for node in cluster.nodes.values() if node not in (leader, publisher))
    # The leader is heard by nobody for a moment, and hears all: shorter than anybody's patience.
    cluster.wire.cut(leader.name, third.name)
    session = leader.session()
    for tag, level in enumerate(LEVELS, 1):
        session.submit([publish("m", key=level, tag=tag)])
    cluster.wire.cut(leader.name, publisher.name)
    cluster.run(0.05)
    assert confirmed(session.take_replies()) == [1, 2]
    cluster.wire.heal()
    cluster.run(1)
    assert confirmed(session.take_replies()) == [3]


@pytest.mark.parametrize("of_queue", LEVELS)
def test_a_publisher_says_what_it_waits_for_whatever_the_queue_says(of_queue: str) -> None:
    cluster, leader = started()
    session = leader.session()
    for name in cluster.nodes.keys() - {leader.name}:
        cluster.wire.cut(leader.name, name)
    session.submit([asking(*LEVELS, key=of_queue, tag=1)])
    cluster.run(0.05)
    assert sorted(confirmed(session.take_replies())) == [1, 2]
    cluster.wire.heal()
    cluster.run(1)
    assert confirmed(session.take_replies()) == [3]


def test_nothing_is_waited_for_where_nothing_is_asked() -> None:
    _, leader = started()
    session = leader.session()
    session.submit([publish("m", key="none", tag=1)])
    assert confirmed(session.take_replies()) == [1]


@pytest.mark.parametrize("value", ["all", "", 1])
def test_another_level_is_refused(value: object) -> None:
    cluster, leader = started()
    refused = cluster.ask(leader.session(), declare("q", x_confirm=value))[0]
    assert isinstance(refused, r.Refuse)
    assert refused.refusal is Refusal.PRECONDITION_FAILED


def test_a_queue_is_not_declared_again_with_another_level() -> None:
    cluster, leader = started()
    refused = cluster.ask(leader.session(), declare("leader", x_confirm="quorum"))[0]
    assert isinstance(refused, r.Refuse)
    assert isinstance(
        cluster.ask(leader.session(), c.DeclareQueue(declare("x").channel, declare("x").spec))[0], r.QueueDeclared
    )
