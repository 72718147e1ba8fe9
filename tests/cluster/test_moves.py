"""What goes from one shard to another while different nodes lead them: dead letters and transactions, each once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from broker.core.numbered import Numbered
from broker.core.replicated_shard import ReplicatedShard
from broker.core.session import Session
from broker.core.shard_commands import Barrier
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import DeliveryTag, QueueName
from broker.model.topology import QueueSpec
from tests.cluster.nodes import CHANNEL, TestedCluster
from tests.core.node import confirmed, consume, declare, delivered, publish, run_of

NAMES = ("n1", "n2", "n3")
DEAD = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "dead"}
ALL_SO_FAR = DeliveryTag(0)


@pytest.fixture
def cluster() -> Iterator[TestedCluster]:
    made = TestedCluster(3, static=True)
    made.settle()
    assert made.leader_of(1) is not made.leader_of(2), "else nothing is far"
    yield made
    for name in list(made.nodes):
        made.kill(name)


def settle_all(outcome: c.Outcome = c.Outcome.ACCEPTED) -> c.Settle:
    return c.Settle(CHANNEL, ALL_SO_FAR, ALL_SO_FAR, outcome)


def declare_apart(cluster: TestedCluster, session: Session, name: str, other: str, **arguments: Any) -> None:
    """The queue is in another shard than ``other``."""
    for _ in range(2):
        cluster.ask(session, declare(name, x_queue_leader_locator="balanced", **arguments))
        if cluster.shard_of(name) != cluster.shard_of(other):
            return
        cluster.ask(session, c.DeleteQueue(CHANNEL, QueueName(name)))
    raise AssertionError("both are in one shard")


def contents(cluster: TestedCluster, queue: str) -> list[str]:
    """What it holds, as somebody sees who takes it all."""
    name = next(iter(cluster.nodes))
    session = cluster.nodes[name].session()
    bodies = [body for body, _ in delivered(cluster.ask(session, consume(queue)))]
    cluster.ask(session, settle_all())
    cluster.nodes[name].core.close_session(session)
    cluster.run(0.1)
    return bodies


def count_of(cluster: TestedCluster, queue: str) -> int:
    session = next(iter(cluster.nodes.values())).session()
    [reply] = cluster.ask(session, c.DeclareQueue(CHANNEL, QueueSpec(QueueName(queue)), passive=True))
    assert isinstance(reply, r.QueueDeclared)
    return reply.message_count


# ---- dead letters


def test_what_dies_in_one_shard_is_buried_in_another_from_any_node(cluster: TestedCluster) -> None:
    one = cluster.nodes["n1"].session()
    cluster.ask(one, declare("dead"))
    declare_apart(cluster, one, "q", "dead", x_max_length=3, **DEAD)
    for name in NAMES:
        session = cluster.nodes[name].session()
        cluster.ask(session, publish(*(f"{name} {n}" for n in range(5))))
        assert contents(cluster, "dead") == [f"{name} 0", f"{name} 1"], "over the length"
        assert len(delivered(cluster.ask(session, consume()))) == 3
        cluster.ask(session, settle_all(c.Outcome.REJECTED))
        assert contents(cluster, "dead") == [f"{name} {n}" for n in range(2, 5)]
        cluster.nodes[name].core.close_session(session)
        cluster.run(0.1)


def test_what_expires_is_buried_and_a_queue_that_expires_is_gone_everywhere(cluster: TestedCluster) -> None:
    one = cluster.nodes["n1"].session()
    cluster.ask(one, declare("dead"))
    declare_apart(cluster, one, "q", "dead", x_message_ttl=500, x_expires=2000, **DEAD)
    cluster.ask(one, publish("1", "2"))
    cluster.run(0.7)
    assert contents(cluster, "dead") == ["1", "2"]
    cluster.run(2.5)
    for node in cluster.nodes.values():
        [reply] = cluster.ask(node.session(), c.Get(CHANNEL, QueueName("q")))
        assert isinstance(reply, r.Refuse)


@pytest.mark.parametrize("lost", ["source", "target"])
@pytest.mark.parametrize("after_s", [0.0, 0.02])
def test_what_dies_is_in_one_of_both_whoever_is_lost(cluster: TestedCluster, lost: str, after_s: float) -> None:
    one = cluster.nodes["n1"].session()
    cluster.ask(one, declare("dead"))
    declare_apart(cluster, one, "q", "dead", x_message_ttl=400, **DEAD)
    bodies = [f"m{number}" for number in range(20)]
    assert confirmed(cluster.ask(one, publish(*bodies, tag=1))) == list(range(1, 21))
    cluster.run(0.2)  # they expire now
    cluster.run(after_s)
    leader = cluster.leader_of(cluster.shard_of("q" if lost == "source" else "dead"))
    assert leader is not None
    cluster.kill(leader.name)
    cluster.run(6)
    assert contents(cluster, "q") == []
    assert contents(cluster, "dead") == bodies


# ---- transactions


def commit(session: Session, number: int) -> None:
    """Of one message for each of two queues, and for all that was delivered so far."""
    runs = [run_of(f"a{number}", key="a"), run_of(f"b{number}", key="b")]
    session.submit([c.CommitTransaction(CHANNEL, runs, [settle_all()])])


@pytest.mark.parametrize("name", NAMES)
def test_a_transaction_reaches_shards_of_several_leaders(cluster: TestedCluster, name: str) -> None:
    session = cluster.nodes[name].session()
    cluster.ask(session, declare("a"))
    declare_apart(cluster, session, "b", "a")
    for source in ("c", "d"):
        cluster.ask(session, declare(source), publish("1", "2", key=source), consume(source, tag=source, credit=1))
    for number in range(2):
        commit(session, number)
        session.submit([publish(f"after {number}", key="a"), publish(f"after {number}", key="b")])
        replies = cluster.ask(session, seconds=0.5)
        assert r.Done(CHANNEL) in replies, replies
    assert contents(cluster, "a") == ["a0", "after 0", "a1", "after 1"]
    assert contents(cluster, "b") == ["b0", "after 0", "b1", "after 1"]
    cluster.nodes[name].core.close_session(session)
    cluster.run(0.2)
    assert [count_of(cluster, source) for source in ("c", "d")] == [0, 0]


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("after_s", [0.0, 0.02])
def test_a_transaction_is_whole_whoever_is_lost(cluster: TestedCluster, lost: int, after_s: float) -> None:
    leader = cluster.leader_of(lost)
    assert leader is not None
    name = next(name for name in NAMES if name != leader.name)
    session = cluster.nodes[name].session()
    cluster.ask(session, declare("a"))
    declare_apart(cluster, session, "b", "a")
    cluster.ask(session, declare("c"), publish("1", key="c"), consume("c"))
    commit(session, 0)
    cluster.run(after_s)
    cluster.kill(leader.name)
    cluster.run(6)
    assert r.Done(CHANNEL) in session.take_replies()
    cluster.nodes[name].core.close_session(session)
    cluster.run(0.2)
    assert (contents(cluster, "a"), contents(cluster, "b"), contents(cluster, "c")) == (["a0"], ["b0"], [])


def test_a_transaction_of_a_node_that_is_lost_is_all_or_nothing(cluster: TestedCluster) -> None:
    names = ("n1", "n2", "n3")
    leaders = {node.name for shard in (1, 2) if (node := cluster.leader_of(shard)) is not None}
    name = next(name for name in names if name not in leaders)
    session = cluster.nodes[name].session()
    cluster.ask(session, declare("a"))
    declare_apart(cluster, session, "b", "a")
    cluster.ask(session, declare("c"), publish("1", key="c"), consume("c"))
    commit(session, 0)
    cluster.run(0.01)
    cluster.kill(name)
    cluster.run(6)
    left = (contents(cluster, "a"), contents(cluster, "b"), contents(cluster, "c"))
    assert left in ((["a0"], ["b0"], []), ([], [], ["1"]))


class SaysMore:
    """Somebody who, once told that a command is applied, says the next."""

    def __init__(self, shard: ReplicatedShard) -> None:
        self.shard = shard
        self.number = 0

    def applied(self) -> None:
        self.number = self.shard.barrier()


def test_what_is_said_when_a_node_begins_to_lead_comes_after_what_was_said_before() -> None:
    cluster = TestedCluster(3, static=True)
    cluster.settle()
    leader = cluster.leader_of(1)
    assert leader is not None
    shard = cast(ReplicatedShard, leader.core.back.shards[1])
    shard.lose_leader()
    first, second = shard.barrier(), shard.barrier()
    more = SaysMore(shard)
    shard.when_applied(first, more)
    assert shard.take_in(shard.sender, [Numbered(first, Barrier())], lambda *_: [])
    cluster.run(0.2)
    shard.attach_here()
    cluster.run(0.2)
    assert more.number == second + 1
    assert (shard.kernel.applied_through(*shard.sender), shard.window_size) == (more.number, 0)
