"""Volatile things in a cluster: on one node, known to all, and gone with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from broker.core.session import Session
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ExchangeName, QueueName, RoutingKey
from broker.model.refusals import Refusal
from broker.model.topology import BindingSpec, ExchangeSpec, QueueSpec
from tests.cluster.nodes import CHANNEL, TestedCluster
from tests.core.node import confirmed, consume, declare, delivered, publish

NAMES = ("n1", "n2", "n3")


def sessions_of(cluster: TestedCluster) -> dict[str, Session]:
    return {name: node.session() for name, node in cluster.nodes.items()}


def own(name: str, **options: Any) -> c.DeclareQueue:
    """The session's own queue."""
    return c.DeclareQueue(CHANNEL, QueueSpec(QueueName(name), exclusive=True, **options))


def exchange(name: str, type: str = "fanout", durable: bool = False, **options: object) -> c.DeclareExchange:
    return c.DeclareExchange(CHANNEL, ExchangeSpec(ExchangeName(name), type, durable=durable, **options))  # type: ignore[arg-type]


def binding(source: str, queue: str, key: str = "") -> BindingSpec:
    return BindingSpec(ExchangeName(source), queue, RoutingKey(key))


def bind(source: str, queue: str, key: str = "") -> c.Bind:
    return c.Bind(CHANNEL, binding(source, queue, key))


def refusal_of(replies: list[r.Reply]) -> Refusal | None:
    return next((reply.refusal for reply in replies if isinstance(reply, r.Refuse)), None)


def passive(name: str) -> c.DeclareQueue:
    return c.DeclareQueue(CHANNEL, QueueSpec(QueueName(name)), passive=True)


def is_there(cluster: TestedCluster, node: str, queue: str) -> bool:
    return refusal_of(cluster.ask(cluster.nodes[node].session(), passive(queue))) is not Refusal.NOT_FOUND


def has_exchange(cluster: TestedCluster, node: str, name: str) -> bool:
    asked = c.DeclareExchange(CHANNEL, ExchangeSpec(ExchangeName(name), "fanout"), passive=True)
    return refusal_of(cluster.ask(cluster.nodes[node].session(), asked)) is None


@pytest.fixture
def formed() -> Iterator[TestedCluster]:
    """One whose nodes may come back."""
    made = TestedCluster(3)
    made.settle()
    yield made
    for name in list(made.nodes):
        made.kill(name)


# ---- queues


def test_a_reply_comes_back_to_a_queue_of_another_node(cluster: TestedCluster) -> None:
    sessions = sessions_of(cluster)
    for asking, answering in (("n1", "n2"), ("n2", "n3"), ("n3", "n1")):
        asker, answerer = sessions[asking], sessions[answering]
        declared = cluster.ask(asker, own(""))[0]
        assert isinstance(declared, r.QueueDeclared)
        cluster.ask(asker, consume(declared.name, tag="mine", no_ack=True))
        for number in range(3):
            answer = publish(f"answer {number}", key=declared.name, tag=number + 1)
            assert confirmed(cluster.ask(answerer, answer)) == [number + 1]
            assert delivered(asker.take_replies()) == [(f"answer {number}", False)]


def test_a_queue_without_a_disk_is_one_for_all_nodes(cluster: TestedCluster) -> None:
    sessions = sessions_of(cluster)
    cluster.ask(sessions["n2"], declare("q", durable=False))
    for name, session in sessions.items():
        assert refusal_of(cluster.ask(session, declare("q", durable=False))) is None
        cluster.ask(session, publish(f"from {name}", tag=1))
    got = cluster.ask(sessions["n1"], consume("q", credit=2))
    assert delivered(got) == [("from n1", False), ("from n2", False)]
    sessions["n1"].submit([c.Settle(CHANNEL, 0, 0, c.Outcome.ACCEPTED)])  # type: ignore[arg-type]
    assert delivered(cluster.ask(sessions["n1"])) == [("from n3", False)]
    assert cluster.ask(sessions["n3"], c.PurgeQueue(CHANNEL, QueueName("q")))[0] == r.QueuePurged(CHANNEL, 0)
    assert isinstance(cluster.ask(sessions["n3"], c.DeleteQueue(CHANNEL, QueueName("q")))[0], r.QueueDeleted)
    assert not any(is_there(cluster, name, "q") for name in NAMES)


def test_anothers_own_queue_is_locked_from_every_node(cluster: TestedCluster) -> None:
    owner = cluster.nodes["n2"].session()
    cluster.ask(owner, own("mine"))
    for name in NAMES:
        for command in (passive("mine"), own("mine"), declare("mine", durable=False), consume("mine")):
            assert refusal_of(cluster.ask(cluster.nodes[name].session(), command)) is Refusal.RESOURCE_LOCKED
    cluster.nodes["n2"].core.close_session(owner)
    cluster.run(0.2)
    for name in ("n1", "n3"):
        session = cluster.nodes[name].session()
        assert refusal_of(cluster.ask(session, own("mine"))) is None
        cluster.nodes[name].core.close_session(session)
        cluster.run(0.2)


def test_a_queue_goes_with_its_last_consumer_wherever_that_is(cluster: TestedCluster) -> None:
    for here, there in (("n1", "n2"), ("n2", "n3"), ("n3", "n1")):
        owner, reader = cluster.nodes[here].session(), cluster.nodes[there].session()
        cluster.ask(owner, c.DeclareQueue(CHANNEL, QueueSpec(QueueName("q"), auto_delete=True)), consume("q", tag="1"))
        cluster.ask(reader, consume("q", tag="2"))
        cluster.ask(owner, c.Cancel(CHANNEL, "1"))  # type: ignore[arg-type]
        assert is_there(cluster, here, "q")
        cluster.nodes[there].core.close_session(reader)
        cluster.run(0.2)
        assert not any(is_there(cluster, name, "q") for name in NAMES)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_name_is_given_once_when_two_nodes_want_it_at_once(cluster: TestedCluster, exclusive: bool) -> None:
    for number, (here, there) in enumerate((("n1", "n2"), ("n2", "n3"), ("n3", "n1"))):
        name = f"q{number}"
        sessions = [cluster.nodes[here].session(), cluster.nodes[there].session()]
        for session in sessions:
            session.submit([c.DeclareQueue(CHANNEL, QueueSpec(QueueName(name), exclusive=exclusive))])
        cluster.run(0.5)
        refusals = [refusal_of(session.take_replies()) for session in sessions]
        assert sorted(map(str, refusals)) == sorted(["None", str(Refusal.RESOURCE_LOCKED if exclusive else None)])
        if not exclusive:
            cluster.ask(sessions[0], publish("1", key=name))
            assert delivered(cluster.ask(sessions[1], consume(name))) == [("1", False)]
        ids = {node.core.back.topology.tables.vhosts["/"].queues[name].queue_id for node in cluster.nodes.values()}  # type: ignore[index]
        assert len(ids) == 1


def test_a_durable_queue_of_the_name_is_no_volatile_one(cluster: TestedCluster) -> None:
    one, two = cluster.nodes["n1"].session(), cluster.nodes["n2"].session()
    one.submit([declare("q")])
    two.submit([declare("q", durable=False)])
    cluster.run(0.5)
    refusals = [refusal_of(session.take_replies()) for session in (one, two)]
    assert sorted(map(str, refusals)) == sorted(["None", str(Refusal.PRECONDITION_FAILED)]), refusals


# ---- exchanges and bindings


def test_bindings_of_volatile_things_lead_there_from_every_node(cluster: TestedCluster) -> None:
    sessions = sessions_of(cluster)
    cluster.ask(sessions["n1"], exchange("durable", durable=True), exchange("x"))
    reader = cluster.nodes["n2"].session()
    cluster.ask(reader, own("q"), bind("durable", "q"), bind("x", "q"), consume("q", no_ack=True))
    cluster.ask(sessions["n3"], exchange("lost", durable=True, arguments={"alternate-exchange": "x"}))
    for name, session in sessions.items():
        cluster.ask(session, publish(f"1 {name}", exchange="durable"), publish(f"2 {name}", exchange="x"))
        cluster.ask(session, publish(f"3 {name}", exchange="lost"))
    got = [body for body, _ in delivered(reader.take_replies())]
    assert sorted(got) == sorted(f"{kind} {name}" for kind in "123" for name in NAMES)


def test_volatile_things_are_unbound_and_deleted_from_any_node(cluster: TestedCluster) -> None:
    for here, there in (("n1", "n2"), ("n2", "n3"), ("n3", "n1")):
        owner, other = cluster.nodes[here].session(), cluster.nodes[there].session()
        cluster.ask(owner, exchange("x"), exchange("auto", auto_delete=True), declare("q", durable=False))
        cluster.ask(owner, bind("x", "q"), bind("auto", "q"))
        cluster.ask(other, c.Unbind(CHANNEL, binding("x", "q")), c.Unbind(CHANNEL, binding("auto", "q")))
        for name in NAMES:
            cluster.ask(cluster.nodes[name].session(), publish("m", exchange="x"))
            assert not has_exchange(cluster, name, "auto"), "it went with its last binding"
        assert cluster.ask(owner, c.Get(CHANNEL, QueueName("q"))) == [r.GotNothing(CHANNEL)]
        cluster.ask(other, bind("x", "q"), publish("m", exchange="x"))
        assert delivered(cluster.ask(owner, c.Get(CHANNEL, QueueName("q"), no_ack=True))) == [("m", False)]
        cluster.ask(other, c.DeleteExchange(CHANNEL, ExchangeName("x")), c.DeleteQueue(CHANNEL, QueueName("q")))
        assert not any(has_exchange(cluster, name, "x") or is_there(cluster, name, "q") for name in NAMES)


@pytest.mark.parametrize("durable", [True, False])
def test_an_exchange_goes_with_its_last_binding_when_that_goes_with_a_node(
    cluster: TestedCluster, durable: bool
) -> None:
    one, three = cluster.nodes["n1"].session(), cluster.nodes["n3"].session()
    cluster.ask(one, exchange("x", durable=durable, auto_delete=True))
    cluster.ask(three, own("q"), bind("x", "q"))
    cluster.kill("n3")
    cluster.run(5)
    assert not any(has_exchange(cluster, name, "x") for name in cluster.nodes)


# ---- a node is lost


def test_what_a_lost_node_had_is_gone_everywhere_and_its_names_are_free(formed: TestedCluster) -> None:
    cluster = formed
    sessions = sessions_of(cluster)
    cluster.ask(sessions["n3"], declare("q", durable=False), own("mine"), exchange("x"), bind("x", "q"))
    reader = sessions["n1"]
    cluster.ask(reader, consume("q", tag="t"))
    sessions["n2"].submit([publish("m", tag=1)])
    cluster.kill("n3")
    cluster.run(5)
    assert any(isinstance(reply, r.ConsumerLost) for reply in reader.take_replies())
    assert confirmed(sessions["n2"].take_replies()) == [1]
    for name in ("n1", "n2"):
        assert not is_there(cluster, name, "q")
        assert not has_exchange(cluster, name, "x")
    assert confirmed(cluster.ask(sessions["n2"], publish("nowhere", tag=2))) == [2]
    again = cluster.ask(sessions["n2"], declare("q", durable=False), own("mine"), exchange("x"), bind("x", "q"))
    assert refusal_of(again) is None
    cluster.start("n3")
    cluster.run(5)
    three = cluster.nodes["n3"].session()
    assert confirmed(cluster.ask(three, publish("m", exchange="x", tag=1))) == [1]
    assert delivered(cluster.ask(reader, consume("q", tag="u"))) == [("m", False)]


def test_a_node_that_is_started_again_has_volatile_things_again(formed: TestedCluster) -> None:
    cluster = formed
    one = cluster.nodes["n1"].session()
    for _ in range(2):
        three = cluster.nodes["n3"].session()
        declared = cluster.ask(three, own("mine"), consume("mine", no_ack=True))
        assert refusal_of(declared) is None
        for number in range(3):
            cluster.ask(one, publish(f"{number}", key="mine"))
        assert [body for body, _ in delivered(three.take_replies())] == ["0", "1", "2"]
        cluster.kill("n3")
        cluster.run(3)
        cluster.start("n3")
        cluster.run(5)


def test_a_question_to_a_node_that_is_lost_is_answered(cluster: TestedCluster) -> None:
    one, three = cluster.nodes["n1"].session(), cluster.nodes["n3"].session()
    cluster.ask(three, declare("q", durable=False), exchange("x"))
    questions: list[c.Command] = [
        c.Get(CHANNEL, QueueName("q")),
        passive("q"),
        c.PurgeQueue(CHANNEL, QueueName("q")),
        c.DeleteQueue(CHANNEL, QueueName("q")),
        bind("x", "q"),
        consume("q"),
    ]
    asking = []
    for question in questions:
        session = cluster.nodes["n1"].session()
        session.submit([question])
        asking.append(session)
    cluster.kill("n3")
    cluster.run(5)
    for session, question in zip(asking, questions, strict=True):
        assert len(session.take_replies()) == 1, question
    assert confirmed(cluster.ask(one, declare("other"), publish("m", key="other", tag=1))) == [1]


def test_links_that_break_leave_volatile_queues_in_order(cluster: TestedCluster) -> None:
    one, three = cluster.nodes["n1"].session(), cluster.nodes["n3"].session()
    cluster.ask(three, own("mine"), consume("mine", no_ack=True))
    cluster.ask(one, publish("1", key="mine"))
    for _ in range(3):
        cluster.wire.reset("n1", "n3")
        cluster.wire.reset("n3", "n1")
        cluster.run(3)
    cluster.ask(one, publish("2", key="mine", tag=1))
    cluster.ask(one, publish("3", key="mine", tag=2))
    assert [body for body, _ in delivered(three.take_replies())] == ["1", "2", "3"]


def test_what_is_told_again_goes_on_and_what_is_not_is_gone(cluster: TestedCluster) -> None:
    three, one = cluster.nodes["n3"].session(), cluster.nodes["n1"].session()
    cluster.ask(three, declare("q", durable=False), declare("gone", durable=False), exchange("x"), bind("x", "q"))
    cluster.ask(one, consume("q", tag="q", no_ack=True), consume("gone", tag="gone"))
    announcing = cluster.nodes["n3"].core.back.forwarding.announcing  # type: ignore[union-attr]
    cluster.wire.cut("n3", "n1")
    cluster.ask(three, c.DeleteQueue(CHANNEL, QueueName("gone")))
    cluster.wire.heal()
    for _ in range(3):
        announcing.tell(1)
        cluster.run(0.2)
    lost = [reply.consumer_tag for reply in one.take_replies() if isinstance(reply, r.ConsumerLost)]
    assert lost == ["gone"]
    cluster.ask(three, publish("m", exchange="x"))
    assert delivered(one.take_replies()) == [("m", False)]
