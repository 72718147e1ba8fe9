"""``x-single-active-consumer``: one consumer of a queue at a time is handed messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.core.session import Session
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ConsumerTag, DeliveryTag, QueueName
from broker.model.refusals import Refusal
from tests.core.clients import Client
from tests.core.node import CHANNEL, Node, consume, declare, delivered, publish


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.journal.abandon()


def single(name: str = "q", **arguments: Any) -> c.DeclareQueue:
    return declare(name, x_single_active_consumer=True, **arguments)


def settle(outcome: c.Outcome = c.Outcome.ACCEPTED) -> c.Settle:
    """All that the channel holds."""
    return c.Settle(CHANNEL, DeliveryTag(0), DeliveryTag(0), outcome)


def reader(node: Node, **options: Any) -> Session:
    session = node.session()
    node.ask(session, consume(**options))
    return session


def bodies(node: Node, session: Session) -> list[str]:
    return [body for body, _ in delivered(node.ask(session))]


def with_priority(priority: int) -> c.Consume:
    return c.Consume(CHANNEL, ConsumerTag("t"), QueueName("q"), False, arguments={"x-priority": priority})


@pytest.mark.parametrize("durable", [True, False])
def test_the_first_has_all_and_the_next_follows_when_it_is_gone(node: Node, durable: bool) -> None:
    amqp = node.session()
    node.ask(amqp, single(durable=durable))
    first, second, third = reader(node), reader(node), reader(node)
    node.ask(amqp, publish("1", "2", "3"))
    assert [bodies(node, each) for each in (first, second, third)] == [["1", "2", "3"], [], []]
    node.ask(first, c.Settle(CHANNEL, DeliveryTag(1), DeliveryTag(1), c.Outcome.ACCEPTED))
    first.close()
    node.run()
    assert delivered(node.ask(second)) == [("2", True), ("3", True)]
    node.ask(amqp, publish("4"))
    assert [bodies(node, each) for each in (second, third)] == [["4"], []]


def test_one_without_credit_is_waited_for(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, single())
    first, second = reader(node, credit=1), reader(node)
    node.ask(amqp, publish("1", "2"))
    assert [bodies(node, each) for each in (first, second)] == [["1"], []]
    assert delivered(node.ask(first, settle())) == [("2", False)]
    assert bodies(node, second) == []


@pytest.mark.parametrize("outcome", c.Outcome)
def test_what_is_held_after_a_cancel_is_settled_before_the_next_begins(node: Node, outcome: c.Outcome) -> None:
    amqp = node.session()
    node.ask(amqp, single())
    first, second = reader(node, credit=2), reader(node)
    node.ask(amqp, publish("1", "2", "3"))
    node.ask(first, c.Cancel(CHANNEL, ConsumerTag("t")))
    assert bodies(node, second) == []
    node.ask(first, c.Settle(CHANNEL, DeliveryTag(1), DeliveryTag(1), outcome))
    assert bodies(node, second) == [], "it holds one more"
    node.ask(first, c.Settle(CHANNEL, DeliveryTag(2), DeliveryTag(2), outcome))
    given_back = outcome is c.Outcome.REQUEUED
    assert bodies(node, second) == (["1", "2", "3"] if given_back else ["3"])


def test_a_higher_priority_takes_over_once_nothing_is_held(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, single(), publish("1"))
    first = reader(node)
    assert bodies(node, first) == []  # it was told when it began
    high, higher = node.session(), node.session()
    node.ask(high, with_priority(1))
    node.ask(higher, with_priority(2))
    node.ask(amqp, publish("2"))
    assert [bodies(node, each) for each in (first, high, higher)] == [[], [], []]
    node.ask(first, settle())
    assert [bodies(node, each) for each in (first, high, higher)] == [[], [], ["2"]]
    node.ask(higher, settle())
    higher.close()
    node.ask(amqp, publish("3"))
    assert [bodies(node, each) for each in (first, high)] == [[], ["3"]]


def test_nobody_has_it_for_himself_and_nobody_gets_from_it(node: Node) -> None:
    session = node.session()
    node.ask(session, single(), publish("1"))
    [refused] = node.ask(session, c.Consume(CHANNEL, ConsumerTag("t"), QueueName("q"), False, exclusive=True))
    assert isinstance(refused, r.Refuse)
    assert (refused.refusal, refused.detail) == (Refusal.ACCESS_REFUSED, "queue 'q' in vhost '/' in exclusive use")
    getter = node.session()
    [refused] = node.ask(getter, c.Get(CHANNEL, QueueName("q"), no_ack=True))
    assert isinstance(refused, r.Refuse)
    assert refused.refusal is Refusal.RESOURCE_LOCKED
    assert delivered(node.ask(node.session(), consume())) == [("1", False)]


def test_a_redeclaration_must_agree(node: Node) -> None:
    node.ask(node.session(), single())
    [refused] = node.ask(node.session(), declare())
    assert isinstance(refused, r.Refuse)
    assert refused.refusal is Refusal.PRECONDITION_FAILED
    assert "x-single-active-consumer" in refused.detail
    [again] = node.ask(node.session(), single())
    assert isinstance(again, r.QueueDeclared)


def test_consumers_of_other_protocols_take_part(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, single())
    client = Client(node)
    client.attach()
    client.subscribe("$queue/q")
    second = reader(node)
    node.ask(amqp, publish("1"))
    sent = client.take_sent()
    assert [body for _, body in sent] == ["1"]
    assert bodies(node, second) == []
    client.lose()
    assert bodies(node, second) == ["1"]
