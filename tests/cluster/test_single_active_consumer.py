"""Exclusive and single active consumers in a cluster never overlap, whoever leads their queue."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.replicated_shard import ReplicatedShard
from broker.core.session import Session
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ConsumerTag, DeliveryTag, QueueName
from tests.cluster.nodes import CHANNEL, STEP_S, TestedCluster
from tests.core.node import consume, declare, delivered, publish

NAMES = ("n1", "n2", "n3")
ALL = DeliveryTag(0)


class Reader:
    """A consumer at some node; what it was handed."""

    def __init__(self, cluster: TestedCluster, name: str, credit: int | None = None, exclusive: bool = False) -> None:
        self.cluster = cluster
        self.name = name
        self.session: Session = cluster.nodes[name].session()
        self.said = cluster.ask(
            self.session,
            c.Consume(CHANNEL, ConsumerTag("t"), QueueName("q"), False, exclusive=exclusive, credit=credit),
        )

    def take(self) -> list[str]:
        replies = self.said + self.cluster.ask(self.session)
        self.said = [reply for reply in replies if not isinstance(reply, r.Deliver)]
        return [body for body, _ in delivered(replies)]

    def settle(self, outcome: c.Outcome = c.Outcome.ACCEPTED) -> None:
        self.said += self.cluster.ask(self.session, c.Settle(CHANNEL, ALL, ALL, outcome))

    @property
    def is_lost(self) -> bool:
        self.said += self.cluster.ask(self.session)
        return any(isinstance(reply, r.ConsumerLost) for reply in self.said)


def declared(cluster: TestedCluster, durable: bool = True, **arguments: Any) -> tuple[Session, str]:
    """One who publishes, at the leader of "q"; that."""
    cluster.ask(cluster.nodes["n1"].session(), declare(durable=durable, **arguments))
    name = "n1"
    if durable:
        leader = cluster.leader_of(cluster.shard_of("q"))
        assert leader is not None
        name = leader.name
    return cluster.nodes[name].session(), name


def others(cluster: TestedCluster, *names: str) -> list[str]:
    return [name for name in cluster.nodes if name not in names]


@pytest.mark.parametrize("durable", [True, False])
def test_one_at_a_time_wherever_they_are(cluster: TestedCluster, durable: bool) -> None:
    publisher, _ = declared(cluster, durable, x_single_active_consumer=True)
    readers = [Reader(cluster, name, credit=1) for name in NAMES]
    cluster.ask(publisher, publish(*"123456"))
    for first, second in (("1", "2"), ("2", "3"), ("3", "4")):
        assert readers[0].take() == [first]
        readers[0].settle()
        assert readers[0].take() == [second]
        assert [reader.take() for reader in readers[1:]] == [[] for _ in readers[1:]]
        readers.pop(0).session.close()


@pytest.mark.parametrize("holds", [True, False])
def test_who_was_active_stays_so_under_the_next_leader(cluster: TestedCluster, holds: bool) -> None:
    publisher, leader = declared(cluster, x_single_active_consumer=True)
    one, other = others(cluster, leader)
    first, second, third = Reader(cluster, leader), Reader(cluster, other, credit=2), Reader(cluster, one)
    cluster.ask(publisher, publish("1", "2"))
    assert first.take() == ["1", "2"]
    first.settle()
    first.session.close()
    cluster.ask(publisher, publish("3", "4", "5"))
    assert (second.take(), third.take()) == (["3", "4"], [])
    if not holds:
        second.settle()
        assert second.take() == ["5"]
        second.settle()
    cluster.kill(leader)
    cluster.run(5)
    assert (second.take(), third.take()) == ([], []), "what it holds is not handed out again"
    cluster.ask(cluster.nodes[one].session(), publish("6"))
    if holds:
        second.settle()
        assert (second.take(), third.take()) == (["5", "6"], [])
    else:
        assert (second.take(), third.take()) == (["6"], [])


def test_who_has_only_part_of_its_credit_goes_on_under_the_next_leader(cluster: TestedCluster) -> None:
    publisher, leader = declared(cluster, x_single_active_consumer=True)
    one, other = others(cluster, leader)
    first, second = Reader(cluster, other, credit=2), Reader(cluster, one)
    cluster.ask(publisher, publish("1"))
    assert first.take() == ["1"]
    cluster.kill(leader)
    cluster.run(5)
    cluster.ask(cluster.nodes[one].session(), publish("2"))
    assert (first.take(), second.take()) == (["2"], [])


def test_what_a_cancelled_one_holds_is_waited_for_under_the_next_leader_too(cluster: TestedCluster) -> None:
    publisher, leader = declared(cluster, x_single_active_consumer=True)
    one, other = others(cluster, leader)
    first, second = Reader(cluster, other, credit=1), Reader(cluster, one)
    cluster.ask(publisher, publish("1", "2"))
    assert first.take() == ["1"]
    cluster.ask(first.session, c.Cancel(CHANNEL, ConsumerTag("t")))
    assert second.take() == []
    cluster.kill(leader)
    cluster.run(5)
    assert second.take() == []
    first.settle()
    assert second.take() == ["2"]


def test_when_the_active_ones_node_dies_another_has_what_it_held(cluster: TestedCluster) -> None:
    publisher, leader = declared(cluster, x_single_active_consumer=True)
    one, other = others(cluster, leader)
    first, second, third = Reader(cluster, other), Reader(cluster, one), Reader(cluster, leader)
    cluster.ask(publisher, publish("1", "2"))
    assert first.take() == ["1", "2"]
    cluster.kill(other)
    cluster.run(5)
    assert (second.take(), third.take()) == (["1", "2"], [])


def test_when_leader_and_active_one_die_together_another_has_what_it_held(cluster: TestedCluster) -> None:
    publisher, leader = declared(cluster, x_single_active_consumer=True)
    one, other = others(cluster, leader)
    first, second, third = Reader(cluster, leader), Reader(cluster, one), Reader(cluster, other)
    cluster.ask(publisher, publish("1", "2"))
    assert first.take() == ["1", "2"]
    cluster.kill(leader)
    cluster.run(6)
    assert sorted((second.take(), third.take())) == [[], ["1", "2"]]


def cut_off(cluster: TestedCluster, name: str) -> None:
    for each in others(cluster, name):
        cluster.wire.cut(name, each)
        cluster.wire.cut(each, name)


def test_one_that_was_cut_off_waits_when_it_is_back(cluster: TestedCluster) -> None:
    publisher, leader = declared(cluster, x_single_active_consumer=True)
    one, other = others(cluster, leader)
    first, second = Reader(cluster, other), Reader(cluster, one, credit=2)
    cluster.ask(publisher, publish(*"12345"))
    assert first.take() == list("12345")
    cut_off(cluster, other)
    cluster.run(8)
    assert second.take() == ["1", "2"]
    cluster.wire.heal()
    cluster.run(8)
    assert (first.take(), second.take()) == ([], []), "what it held is for the other now"
    second.settle()
    assert (first.take(), second.take()) == ([], ["3", "4"])
    assert not first.is_lost
    second.settle()
    assert second.take() == ["5"]
    second.session.close()
    cluster.run(1)
    assert (first.take(), first.is_lost) == (["5"], False)


@pytest.mark.parametrize("exclusive", [True, False])
def test_whoever_had_an_exclusive_consumer_and_was_cut_off_loses_it(cluster: TestedCluster, exclusive: bool) -> None:
    publisher, leader = declared(cluster)
    one, other = others(cluster, leader)
    first = Reader(cluster, other, exclusive=True)
    cluster.ask(publisher, publish("1"))
    assert first.take() == ["1"]
    cut_off(cluster, other)
    cluster.run(8)
    second = Reader(cluster, one, exclusive=exclusive)
    assert second.take() == ["1"]
    cluster.wire.heal()
    cluster.run(8)
    assert first.is_lost
    cluster.ask(publisher, publish("2"))
    assert (first.take(), second.take()) == ([], ["2"])


def test_an_exclusive_one_is_refused_at_any_node(cluster: TestedCluster) -> None:
    declared(cluster, x_single_active_consumer=True)
    for name in NAMES:
        said = cluster.ask(
            cluster.nodes[name].session(),
            c.Consume(CHANNEL, ConsumerTag("t"), QueueName("q"), False, exclusive=True),
        )
        assert [type(reply) for reply in said] == [r.Refuse]
        assert delivered(cluster.ask(cluster.nodes[name].session(), consume())) == []


def hand_over(cluster: TestedCluster, leader: str, heir: str, name: str) -> None:
    """Until that node has told the next leader of "q" what it has there, which is on its way: ``heal`` lets it come."""
    number = cluster.shard_of("q")
    cluster.wire.cut(name, heir)
    assert cluster.nodes[leader].kernels[number].transfer_leader(cluster.peers[heir])
    back = cluster.nodes[name].core.back
    shard = back.shards[number]
    assert isinstance(shard, ReplicatedShard)
    assert back.forwarding is not None
    while back.forwarding.front.leader(shard) != cluster.peers[heir]:
        cluster.run(STEP_S)
    assert not shard.reachable


def test_who_leaves_before_the_next_leader_has_answered_is_not_waited_for(cluster: TestedCluster) -> None:
    publisher, leader = declared(cluster, x_single_active_consumer=True)
    one, other = others(cluster, leader)
    first, second = Reader(cluster, one), Reader(cluster, other)
    cluster.ask(publisher, publish("0"))
    assert first.take() == ["0"]
    first.settle()
    hand_over(cluster, leader, other, one)
    first.session.close()
    cluster.run(STEP_S)
    cluster.wire.heal()
    cluster.ask(publisher, publish("1"), seconds=1)
    assert second.take() == ["1"]


def test_what_is_settled_before_the_next_leader_has_answered_makes_room_for_more(cluster: TestedCluster) -> None:
    publisher, leader = declared(cluster)
    one, other = others(cluster, leader)
    reader = Reader(cluster, one, credit=2)
    cluster.ask(publisher, publish(*"123456"))
    assert reader.take() == ["1", "2"]
    hand_over(cluster, leader, other, one)
    cluster.ask(reader.session, c.Settle(CHANNEL, ALL, ALL, c.Outcome.ACCEPTED), seconds=STEP_S)
    cluster.wire.heal()
    cluster.run(1)
    assert reader.take() == ["3", "4"]
