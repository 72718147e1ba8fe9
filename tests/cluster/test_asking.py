"""What a node asks of a leader, and what becomes of the answer when one of them is lost meanwhile."""

from __future__ import annotations

import pytest

from broker.model import commands as c
from broker.model.names import QueueName
from tests.cluster.nodes import CHANNEL, STEP_S, TestedCluster
from tests.core.node import declare, publish


@pytest.mark.parametrize("steps", range(8))
def test_what_was_read_for_a_node_that_is_lost_meanwhile_comes_back(steps: int) -> None:
    cluster = TestedCluster(3)
    cluster.settle()
    cluster.ask(cluster.nodes["n1"].session(), declare("q"), publish("m", tag=1), seconds=1)
    cluster.restart_all()
    shard = cluster.shard_of("q")
    leader = cluster.leader_of(shard)
    assert leader is not None
    asker = next(node for node in cluster.nodes.values() if node is not leader)
    asker.session().submit([c.Get(CHANNEL, QueueName("q"))])
    cluster.run(steps * STEP_S)
    cluster.kill(asker.name)
    cluster.run(1)
    kernel = leader.core.back.shards[shard].kernel
    [queue] = [id for id in kernel.queue_ids() if any(kernel.counts(id))]
    assert kernel.counts(queue) == (1, 0, 0)
