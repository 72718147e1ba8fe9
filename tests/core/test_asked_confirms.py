"""``x-confirm`` of a message: its publisher is told when it asks to be, whatever the queue says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model import replies as r
from broker.model.refusals import Refusal
from kernel import MessageRun, PacketIds
from tests.core.asked import asking, asking_mqtt
from tests.core.clients import Client
from tests.core.node import CHANNEL, Node, confirmed, consume, declare, delivered


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.journal.abandon()


def bodies(node: Node) -> list[str]:
    return [body for body, _ in delivered(node.ask(node.session(), consume()))]


@pytest.mark.parametrize("of_queue", ["none", "quorum"])
def test_what_asks_for_nothing_is_confirmed_at_once_and_the_rest_when_it_is_safe(node: Node, of_queue: str) -> None:
    session = node.session()
    node.ask(session, declare(x_confirm=of_queue))
    session.submit([asking("none", "none", "quorum", None, "leader", "none", tag=1)])
    at_once = confirmed(session.take_replies())
    assert at_once == ([1, 2, 4, 6] if of_queue == "none" else [1, 2, 6])
    node.run()
    assert sorted(at_once + confirmed(session.take_replies())) == [1, 2, 3, 4, 5, 6]
    assert bodies(node) == ["none", "none", "quorum", "None", "leader", "none"]


def test_what_comes_before_a_level_that_is_none_is_published_and_nothing_after_it(node: Node) -> None:
    session = node.session()
    node.ask(session, declare())
    replies = node.ask(session, asking("quorum", None, "most", None, tag=1))
    [refused] = [reply for reply in replies if isinstance(reply, r.Refuse)]
    assert (refused.refusal, refused.tag) == (Refusal.PRECONDITION_FAILED, 3)
    assert "x-confirm" in refused.detail
    assert confirmed(replies) == [1, 2]
    assert bodies(node) == ["quorum", "None"]


def test_an_exchange_that_is_not_there_ends_the_run_too(node: Node) -> None:
    session = node.session()
    node.ask(session, declare())
    nowhere = MessageRun.of(CHANNEL, [(b"nowhere", *asking("none").messages.rows()[0][1:])])
    run = MessageRun.gathered([nowhere, asking("quorum").messages])
    replies = node.ask(session, c.Publish(CHANNEL, run, 1))
    assert [type(reply) for reply in replies] == [r.Refuse]
    assert bodies(node) == []


def test_a_transaction_with_such_a_message_does_not_begin(node: Node) -> None:
    session = node.session()
    node.ask(session, declare())
    [refused] = node.ask(session, c.CommitTransaction(CHANNEL, [asking("quorum", "most").messages], []))
    assert isinstance(refused, r.Refuse)
    assert refused.refusal is Refusal.PRECONDITION_FAILED
    assert bodies(node) == []


@pytest.mark.parametrize("expiry_s", [0, 100])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_client_is_refused_that_message_alone(node: Node, qos: int, expiry_s: int) -> None:
    client, watcher = Client(node, "p"), Client(node, "w")
    client.attach(expiry_s=expiry_s)
    watcher.attach()
    watcher.subscribe("t", qos=1)
    run = asking_mqtt("none", "most", "leader", qos=qos)
    if qos == 1:
        replies = client.ask(c.Publish(cs.NO_CHANNEL, run, 1))
    else:
        replies = client.ask(cs.PublishOnce(run, PacketIds.of([5, 6, 7]), 1))
    assert confirmed(replies) == [1, 3]
    [rejected] = [reply for reply in replies if isinstance(reply, r.Reject)]
    assert (list(rejected.tags), rejected.refusal) == ([(2, 2)], Refusal.PRECONDITION_FAILED)
    assert watcher.bodies() == ["none", "leader"]
