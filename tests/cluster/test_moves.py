"""What leaves a shard for another whose leader is elsewhere, while leaders change."""

from __future__ import annotations

from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import DeliveryTag
from tests.cluster.nodes import CHANNEL, TestedCluster
from tests.core.node import consume, declare, delivered, publish


def test_a_move_whose_leader_lost_its_shard_on_the_way_is_made_once_by_the_next() -> None:
    cluster = TestedCluster(3, static=True)
    cluster.settle()
    session = cluster.nodes["n1"].session()
    cluster.ask(session, declare("q", x_dead_letter_exchange="", x_dead_letter_routing_key="dead"))
    source = cluster.shard_of("q")
    cluster.ask(session, declare("dead"))
    target = cluster.shard_of("dead")
    assert source != target
    old, new, far = cluster.nodes["n1"], cluster.nodes["n2"], cluster.nodes["n3"]
    for shard, node in ((source, old), (target, far)):
        leader = cluster.leader_of(shard)
        assert leader is not None
        if leader is not node:
            assert leader.kernels[shard].transfer_leader(node.cluster.identity.peer)
        cluster.run(0.5)
        assert cluster.leader_of(shard) is node
    cluster.ask(session, consume(), publish("a", tag=1), seconds=1.0)
    cluster.wire.cut(old.name, far.name)
    cluster.ask(session, c.Settle(CHANNEL, DeliveryTag(1), DeliveryTag(1), c.Outcome.REJECTED), seconds=0.05)
    assert old.kernels[source].transfer_leader(new.cluster.identity.peer)
    cluster.run(0.2)
    assert cluster.leader_of(source) is new
    cluster.wire.heal()
    cluster.run(1.0)
    other = new.session()
    assert delivered(cluster.ask(other, consume("dead", tag="d"), seconds=0.5)) == [("a", False)]
    purged = cluster.ask(other, c.PurgeQueue(CHANNEL, "q"), seconds=0.5)  # type: ignore[arg-type]
    assert purged == [r.QueuePurged(CHANNEL, 0)]
