"""A node attaches to who leads a shard; who leads may say so twice, and is answered twice."""

from __future__ import annotations

import pytest

from broker.core import forward_words as w
from broker.core.replicated_shard import ReplicatedShard
from broker.model import commands as c
from broker.model.names import ConsumerTag, QueueName
from tests.cluster.nodes import CHANNEL, ClusterNode, TestedCluster
from tests.core.node import consume, declare, delivered, publish


def around_a_queue(cluster: TestedCluster, *bodies: str) -> tuple[ClusterNode, ClusterNode]:
    """Who leads q, which holds these, and who doesn't."""
    cluster.settle()
    cluster.ask(cluster.nodes["n1"].session(), declare("q"), *(publish(body) for body in bodies), seconds=1)
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    return leader, next(node for node in cluster.nodes.values() if node is not leader)


def hear_twice_who_leads(cluster: TestedCluster, front: ClusterNode, command: c.Command) -> None:
    """And a command is submitted meanwhile, by a client that goes on."""
    shard, forwarding = front.core.back.shards[cluster.shard_of("q")], front.core.back.forwarding
    assert isinstance(shard, ReplicatedShard)
    assert forwarding is not None
    leader = cluster.leader_of(shard.id)
    assert leader is not None
    leading = w.Leading(shard.id, leader.kernels[shard.id].term)
    session = front.session()
    forwarding.receive(cluster.peers[leader.name], leading)
    session.submit([command])
    forwarding.receive(cluster.peers[leader.name], leading)
    cluster.run(1)
    session.submit([c.Cancel(CHANNEL, ConsumerTag("t"))])
    cluster.run(1)


def counts(leader: ClusterNode, cluster: TestedCluster) -> tuple[int, int, int]:
    kernel = leader.kernels[cluster.shard_of("q")]
    return kernel.counts(next(row.queue_id for row in leader.core.back.topology.queues()))


def test_a_consumer_that_began_meanwhile_is_one_and_is_gone_when_it_is_cancelled() -> None:
    cluster = TestedCluster(3)
    leader, front = around_a_queue(cluster)
    hear_twice_who_leads(cluster, front, consume("q", credit=9))
    cluster.ask(leader.session(), publish("m"), seconds=1)
    assert counts(leader, cluster) == (1, 0, 0)
    assert delivered(cluster.ask(leader.session(), consume("q"), seconds=1)) == [("m", False)]


def test_what_was_asked_meanwhile_is_done_once() -> None:
    cluster = TestedCluster(3)
    leader, front = around_a_queue(cluster, "m0", "m1")
    hear_twice_who_leads(cluster, front, c.Get(CHANNEL, QueueName("q"), no_ack=True))
    assert counts(leader, cluster) == (1, 0, 0)
    assert delivered(cluster.ask(leader.session(), consume("q"), seconds=1)) == [("m1", False)]


@pytest.mark.parametrize(("number", "attached"), [(0, True), (1 << 40, False)])
def test_an_answer_without_a_number_is_taken_and_one_to_another_question_is_not(number: int, attached: bool) -> None:
    """0: of 0.1.0 as it first was (tests/cluster/golden), which knew of no numbers."""
    cluster = TestedCluster(3)
    leader, front = around_a_queue(cluster)
    shard, forwarding = front.core.back.shards[cluster.shard_of("q")], front.core.back.forwarding
    assert isinstance(shard, ReplicatedShard)
    assert forwarding is not None
    peer, term = cluster.peers[leader.name], leader.kernels[shard.id].term
    forwarding.receive(peer, w.Leading(shard.id, term))
    assert not shard.reachable
    forwarding.receive(peer, w.Attached(shard.id, term, 0, number))
    assert shard.reachable is attached


def test_a_consumer_that_is_told_of_twice_is_one() -> None:
    """Whoever says so: a second one of its key would outlive it."""
    cluster = TestedCluster(3)
    leader, front = around_a_queue(cluster)
    session, peer = front.session(), cluster.peers[front.name]
    cluster.ask(session, consume("q", credit=9), seconds=1)
    forwarding, shard = leader.core.back.forwarding, leader.core.back.shards[cluster.shard_of("q")]
    assert forwarding is not None
    assert isinstance(shard, ReplicatedShard)
    queue = next(row.queue_id for row in leader.core.back.topology.queues())
    (key,) = forwarding.leader._guests[shard.id][peer].consumers
    spec = w.ConsumerSpec(key, queue, False, False, 0, 9, 1 << 20)
    forwarding.receive(peer, w.Consume(shard.id, shard.kernel.term, spec))
    cluster.ask(session, c.Cancel(CHANNEL, ConsumerTag("t")), seconds=1)
    assert leader.core.back.queues[queue][1].consumer_count == 0
