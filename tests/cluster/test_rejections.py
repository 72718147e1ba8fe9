"""Who rejects a message that has to be read before it can be dead-lettered, and what is lost meanwhile."""

from __future__ import annotations

import pytest

from broker.core.session import Session
from broker.model import commands as c
from broker.model.names import DeliveryTag, QueueName
from tests.cluster.nodes import CHANNEL, ClusterNode, TestedCluster
from tests.core.node import confirmed, consume, declare, delivered, publish

FIRST = DeliveryTag(1)
REJECT = c.Settle(CHANNEL, FIRST, FIRST, c.Outcome.REJECTED)


class Rejected:
    """A client holds "m", and one of its shard, who has yet to read it, leads."""

    def __init__(self, here: bool) -> None:
        """``here``: the client is at the leader's."""
        self.cluster = cluster = TestedCluster(3)
        cluster.settle()
        dying = declare(x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
        cluster.ask(cluster.nodes["n1"].session(), declare("dead"), dying, publish("m", tag=1), seconds=1)
        cluster.restart_all()
        self.shard = cluster.shard_of("q")
        first = self.leader
        self.client, other = (node for node in cluster.nodes.values() if node is not first)
        self.session: Session = self.client.session()
        assert delivered(cluster.ask(self.session, consume("q", tag="t", credit=1))) == [("m", False)]
        heir = self.client if here else other
        assert first.kernels[self.shard].transfer_leader(cluster.peers[heir.name])
        cluster.run(1)
        assert self.leader is heir
        heir.reads_wait = True

    @property
    def leader(self) -> ClusterNode:
        leader = self.cluster.leader_of(self.shard)
        assert leader is not None
        return leader

    def reject(self) -> None:
        """And publish: that comes after it, and waits with it."""
        assert not confirmed(self.cluster.ask(self.session, REJECT, publish("later", tag=1)))
        assert self.leader.reads

    def read(self) -> None:
        self.leader.reads_wait = False
        self.cluster.run(0.5)

    def see_to_it_that_it_died_once(self) -> None:
        replies = self.session.take_replies()
        assert confirmed(replies) == [1]
        assert [body for body, _ in delivered(replies)] == ["later"]
        dead = self.cluster.ask(self.session, consume("dead", tag="d"), seconds=1)
        assert delivered(dead) == [("m", False)]
        leader = self.leader
        [queue] = [row.queue_id for row in leader.core.back.topology.queues() if row.spec.name == "q"]
        assert leader.kernels[self.shard].counts(queue) == (0, 1, 0), "held is what came later"


@pytest.mark.parametrize("here", [False, True])
def test_what_was_rejected_dies_once_it_is_read_whoever_leads(here: bool) -> None:
    rejected = Rejected(here)
    rejected.reject()
    rejected.read()
    rejected.see_to_it_that_it_died_once()


def test_a_leader_that_is_lost_before_it_read_what_was_rejected_leaves_that_to_the_next_one() -> None:
    rejected = Rejected(here=False)
    rejected.reject()
    rejected.cluster.kill(rejected.leader.name)
    rejected.cluster.run(5)
    rejected.see_to_it_that_it_died_once()


def test_who_is_not_heard_while_what_he_rejected_is_read_says_what_came_after_it_again() -> None:
    rejected = Rejected(here=False)
    rejected.reject()
    leader = rejected.leader
    info = leader.cluster.up[rejected.client.journal.peer]
    leader.cluster.peer_down(info)
    rejected.cluster.run(0.1)
    leader.cluster.peer_up(info)
    rejected.cluster.run(0.2)
    rejected.read()
    rejected.see_to_it_that_it_died_once()


def test_a_queue_that_is_deleted_before_what_was_rejected_of_it_is_read_holds_nobody_up() -> None:
    rejected = Rejected(here=False)
    rejected.reject()
    cluster = rejected.cluster
    cluster.ask(rejected.leader.session(), c.DeleteQueue(CHANNEL, QueueName("q")), seconds=0.5)
    assert confirmed(rejected.session.take_replies()) == [1]
    assert not delivered(cluster.ask(rejected.session, consume("dead", tag="d"), seconds=1))
