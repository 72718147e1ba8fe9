"""A node attaches to who leads a shard; who leads may say so twice, and is answered twice."""

from __future__ import annotations

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
