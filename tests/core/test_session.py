"""A session's channels: their numbers are used again, by clients that don't wait for the core."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import DeliveryTag, QueueName
from tests.core.node import CHANNEL, Node, consume, declare, publish

CLOSE, OPEN = c.CloseChannel(CHANNEL), c.OpenChannel(CHANNEL)
GET = c.Get(CHANNEL, QueueName("q"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_number_opened_again_waits_until_its_channel_is_closed(node: Node) -> None:
    """Settles are being committed: what the new channel asks is answered after ChannelClosed, never before."""
    session = node.session()
    node.ask(session, declare(), publish("a", "b"), consume(credit=1))
    ack = c.Settle(CHANNEL, DeliveryTag(1), DeliveryTag(1), c.Outcome.ACCEPTED)
    replies = node.ask(session, ack, CLOSE, OPEN, GET)
    assert [type(reply) for reply in replies] == [r.ChannelClosed, r.Got]


def test_what_follows_a_close_that_waits_is_kept(node: Node) -> None:
    """The declaration waits for the log, the close and the new channel's commands behind it."""
    session = node.session()
    replies = node.ask(session, declare(), CLOSE, OPEN, GET)
    assert [type(reply) for reply in replies] == [r.QueueDeclared, r.ChannelClosed, r.GotNothing]


def test_a_number_may_be_opened_and_closed_over_and_over(node: Node) -> None:
    session = node.session()
    replies = node.ask(session, declare(), CLOSE, OPEN, CLOSE, OPEN, declare("p"), CLOSE, OPEN, GET)
    closed = r.ChannelClosed(CHANNEL)
    assert [reply if reply == closed else type(reply) for reply in replies] == [
        r.QueueDeclared,
        closed,
        closed,
        r.QueueDeclared,
        closed,
        r.GotNothing,
    ]


def test_many_closes_that_wait_behind_each_other_do_not_recurse(node: Node) -> None:
    session = node.session()
    replies = node.ask(session, declare(), *(command for _ in range(2000) for command in (CLOSE, OPEN)), GET)
    assert replies.count(r.ChannelClosed(CHANNEL)) == 2000
    assert replies[-1] == r.GotNothing(CHANNEL)


def test_a_session_that_closes_while_a_channel_does_is_told_once(node: Node) -> None:
    session = node.session()
    replies = node.ask(session, declare(), CLOSE, OPEN, GET, c.CloseSession())
    assert replies.count(r.SessionClosed()) == 1
    session.close()
    assert node.ask(node.session(), GET) == [r.GotNothing(CHANNEL)]
