"""``$queue/<name>``: MQTT clients consume from queues, beside AMQP's consumers and each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.core.topology_commands import DeleteVhost, PutPermission, PutUser
from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ConsumerTag, QueueName, UserName, VhostName
from broker.model.refusals import Refusal
from broker.model.topology import QueueSpec
from kernel import Grant, PacketIds
from tests.core.clients import PUBREC, Client
from tests.core.node import CHANNEL, Node, confirmed, consume, declare, delivered, publish

DAY_S = 86_400
_VHOST = VhostName("/")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.journal.abandon()


def attached(node: Node, client_id: str = "c", **options: object) -> Client:
    client = Client(node, client_id)
    client.attach(**options)  # type: ignore[arg-type]
    return client


def refusal_of(client: Client, filter: str = "$queue/q", qos: int = 1) -> Refusal | None:
    replies = client.ask(cs.Subscribe([cs.SubscriptionSpec(filter, qos)]))
    [reply] = [reply for reply in replies if isinstance(reply, cs.Subscribed)]
    return reply.refusals[0]


def ready(node: Node, queue: str = "q") -> int:
    """How many messages nobody has."""
    session = node.session()
    replies = node.ask(session, c.DeclareQueue(CHANNEL, QueueSpec(QueueName(queue)), passive=True))
    [reply] = [reply for reply in replies if isinstance(reply, r.QueueDeclared)]
    return reply.message_count


def ids(sent: list[tuple[int | None, str]]) -> list[int]:
    return [packet_id for packet_id, _ in sent if packet_id is not None]


def test_consumers_of_both_protocols_share_a_queue(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, declare(), consume())
    first, second = attached(node, "1"), attached(node, "2")
    first.subscribe("$queue/q")
    second.subscribe("$queue/q", qos=0)
    first.publish(*"abcdef", topic="$queue/q")
    shares = [first.take_sent(), second.take_sent()]
    mine = [body for body, _ in delivered(amqp.take_replies())]
    assert len(ids(shares[0])) == len(shares[0]) > 0
    assert ids(shares[1]) == []
    assert len(shares[1]) > 0
    assert len(mine) > 0
    assert sorted([*mine, *[body for share in shares for _, body in share]]) == [*"abcdef"]


def test_what_is_acknowledged_is_gone_and_the_rest_comes_back_flagged(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, declare(), publish("1", "2", "3", "4"))
    client = attached(node, receive_max=3)
    client.subscribe("$queue/q", id=9)
    sent = client.take_sent()
    assert [body for _, body in sent] == ["1", "2", "3"], "no more than the Receive Maximum"
    [reply] = [reply for reply in client.replies if isinstance(reply, cs.DeliverPublishes)]
    assert (reply.grants.qos, reply.grants.subscription_ids) == (1, [9])  # type: ignore[union-attr]
    client.acknowledge(ids(sent)[1])
    assert client.bodies() == ["4"]
    client.lose()
    assert delivered(node.ask(amqp, consume())) == [("1", True), ("3", True), ("4", True)]


def test_what_is_settled_stays_so_over_a_crash(node: Node) -> None:
    node.ask(node.session(), declare(), publish("1", "2"))
    client = attached(node)
    client.subscribe("$queue/q")
    client.acknowledge(ids(client.take_sent())[0])
    again = node.crashed()
    assert [body for body, _ in delivered(again.ask(again.session(), consume()))] == ["2"]
    again.journal.abandon()


@pytest.mark.parametrize("dead_letters", [True, False])
def test_what_is_refused_is_rejected(node: Node, dead_letters: bool) -> None:
    amqp = node.session()
    arguments: dict[str, Any] = (
        {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "dead"} if dead_letters else {}
    )
    node.ask(amqp, declare("dead"), declare(**arguments), publish("1", "2"))
    client = attached(node)
    client.subscribe("$queue/q")
    sent = ids(client.take_sent())
    client.ask(cs.Acknowledge(4, PacketIds.of(sent[:1]), refused=True))
    client.acknowledge(sent[1])
    assert (ready(node, "dead"), ready(node)) == (int(dead_letters), 0)
    client.lose()
    assert ready(node) == 0


def test_a_pubrec_settles_nothing_of_a_queue(node: Node) -> None:
    node.ask(node.session(), declare(), publish("1"))
    client = attached(node)
    client.subscribe("$queue/q", qos=2)
    sent = ids(client.take_sent())
    [due] = [reply for reply in client.acknowledge(*sent, kind=PUBREC) if isinstance(reply, cs.ReleaseDue)]
    assert (due.packet_ids.to_list(), due.unknown.to_list()) == ([], sent)
    client.lose()
    assert ready(node) == 1


def test_ids_of_a_queue_and_of_the_session_never_collide(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, declare())
    client, publisher = attached(node, receive_max=10), attached(node, "p")
    client.subscribe("$queue/q")
    client.subscribe("t", qos=2)
    held: list[tuple[int | None, str]] = []
    for turn in range(6):
        node.ask(amqp, publish(f"q{turn}"))
        publisher.publish(f"t{turn}")
        held += client.take_sent()
        assert len(set(ids(held))) == len(held) == min(2 * turn + 2, 10), "Receive Maximum counts both"
    client.acknowledge(ids(held)[0], ids(held)[1])
    held = held[2:] + client.take_sent()
    assert sorted(body for _, body in held) == sorted(f"{kind}{turn}" for kind in "qt" for turn in range(1, 6))
    assert len(set(ids(held))) == 10
    client.acknowledge(*ids(held))
    assert ready(node) == 0


def test_rights_and_queues_that_are_not_there(node: Node) -> None:
    back = node.broker.back
    back.submit(PutUser(UserName("reader"), None, ()))
    back.submit(PutPermission(UserName("reader"), _VHOST, "", "", "mine.*"))
    node.run()
    owner = node.session()
    node.ask(owner, declare("mine/1"), declare("q"), declare("x"), publish("1", key="mine/1"))
    node.ask(owner, c.DeclareQueue(CHANNEL, QueueSpec(QueueName("mine/2"), exclusive=True)))
    node.ask(owner, c.Consume(CHANNEL, ConsumerTag("only"), QueueName("x"), exclusive=True))
    client = Client(node, user="reader")
    client.attach()
    assert refusal_of(client) is Refusal.ACCESS_REFUSED
    assert refusal_of(client, "$queue/mine/0") is Refusal.NOT_FOUND
    assert refusal_of(client, "$queue/mine/2") is Refusal.RESOURCE_LOCKED
    assert refusal_of(client, "t") is Refusal.ACCESS_REFUSED
    assert refusal_of(client, "$queue/mine/1") is None
    assert client.bodies() == ["1"]
    assert refusal_of(attached(node, "other"), "$queue/x") is Refusal.ACCESS_REFUSED


def test_an_unsubscribed_client_gets_no_more_and_may_still_acknowledge(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, declare(), publish("1", "2"))
    client = attached(node)
    client.subscribe("$queue/q")
    sent = ids(client.take_sent())
    [reply] = [x for x in client.ask(cs.Unsubscribe([(None, "$queue/q")])) if isinstance(x, cs.Unsubscribed)]
    assert reply.found == [True]
    node.ask(amqp, publish("3"))
    client.acknowledge(sent[0])
    assert client.take_sent() == []
    client.lose()
    assert [body for body, _ in delivered(node.ask(amqp, consume()))] == ["2", "3"]


def test_subscribing_again_replaces_the_consumer(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, c.DeclareQueue(CHANNEL, QueueSpec(QueueName("q"), auto_delete=True)))
    client = attached(node)
    client.subscribe("$queue/q")
    client.subscribe("$queue/q", qos=0)
    node.ask(amqp, publish("1", "2"))
    assert client.take_sent() == [(None, "1"), (None, "2")]
    client.lose()
    assert refusal_of(attached(node, "other")) is Refusal.NOT_FOUND, "the queue went with its last consumer"


@pytest.mark.parametrize("crashes", [False, True])
def test_a_durable_session_consumes_again_when_it_comes_back(node: Node, crashes: bool) -> None:
    node.ask(node.session(), declare(), publish("1", "2"))
    client = attached(node, clean=False, expiry_s=DAY_S)
    client.subscribe("$queue/q")
    sent = ids(client.take_sent())
    client.acknowledge(sent[1])
    if crashes:
        node = node.crashed()
    else:
        client.lose()
        assert ready(node) == 1
    node.ask(node.session(), publish("3"))
    again = Client(node)
    assert again.attach(clean=False, expiry_s=DAY_S)
    got = again.take_sent()
    assert [body for _, body in got] == ["1", "3"]
    again.acknowledge(*ids(got))
    assert again.take_sent() == []
    if crashes:
        node.journal.abandon()


def test_another_connection_that_takes_the_session_over_gets_what_was_not_acknowledged(node: Node) -> None:
    node.ask(node.session(), declare(), publish("1"))
    client = attached(node, clean=False, expiry_s=DAY_S)
    client.subscribe("$queue/q")
    assert client.bodies() == ["1"]
    again = Client(node)
    assert again.attach(clean=False, expiry_s=DAY_S)
    got = again.take_sent()
    assert [body for _, body in got] == ["1"]
    client.acknowledge(*ids(got))
    again.lose()
    assert ready(node) == 1, "the old connection has no say any more"


def test_a_queue_that_is_deleted_ends_its_subscription_in_silence(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, declare(), publish("1"))
    client, away = attached(node, expiry_s=DAY_S, clean=False), attached(node, "away", expiry_s=DAY_S, clean=False)
    away.subscribe("$queue/q")
    away.lose()
    client.subscribe("$queue/q")
    sent = ids(client.take_sent())
    before = len(client.replies)
    node.ask(amqp, c.DeleteQueue(CHANNEL, QueueName("q")))
    again = Client(node, "away")
    assert again.attach(clean=False, expiry_s=DAY_S)
    client.run()
    assert client.replies[before:] == []
    node.ask(amqp, declare(), publish("2"))
    client.acknowledge(*sent)
    assert (client.take_sent(), again.take_sent()) == ([], [])
    for each in (client, again):
        [reply] = [x for x in each.ask(cs.Unsubscribe([(None, "$queue/q")])) if isinstance(x, cs.Unsubscribed)]
        assert reply.found == [False]
    assert ready(node) == 1


def unsubscribed(client: Client) -> bool:
    """Whether there was a subscription."""
    [reply] = [x for x in client.ask(cs.Unsubscribe([(None, "$queue/q")])) if isinstance(x, cs.Unsubscribed)]
    return reply.found[0]


def test_a_queue_that_goes_while_it_is_subscribed_to_is_not_there(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, declare())
    client = attached(node, clean=False, expiry_s=DAY_S)
    amqp.submit([c.DeleteQueue(CHANNEL, QueueName("q"))])
    assert refusal_of(client) is Refusal.NOT_FOUND
    assert not unsubscribed(client)


def test_a_queue_that_is_made_anew_while_it_is_subscribed_to_again_is_consumed_from(node: Node) -> None:
    first, second = node.session(), node.session()
    node.ask(first, declare())
    client = attached(node, clean=False, expiry_s=DAY_S)
    client.subscribe("$queue/q")
    first.submit([c.DeleteQueue(CHANNEL, QueueName("q"))])
    second.submit([declare()])
    client.subscribe("$queue/q", qos=0)
    node.ask(first, publish("1"))
    assert client.take_sent() == [(None, "1")]
    assert unsubscribed(client)
    node.ask(first, publish("2"))
    assert client.take_sent() == []


def test_an_acknowledgement_of_the_session_makes_room_for_a_queue(node: Node) -> None:
    amqp = node.session()
    node.ask(amqp, declare())
    client, publisher = attached(node, receive_max=1), attached(node, "p")
    client.subscribe("t")
    client.subscribe("$queue/q")
    publisher.publish("t")
    node.ask(amqp, publish("q"))
    sent = client.take_sent()
    assert [body for _, body in sent] == ["t"]
    client.acknowledge(*ids(sent))
    assert client.bodies() == ["q"]


def test_what_is_left_of_a_topic_is_not_sent_as_a_queue_s(node: Node) -> None:
    node.ask(node.session(), declare())
    client, publisher = attached(node, receive_max=1), attached(node, "p")
    client.subscribe("t", id=3)
    publisher.publish("1", "2")
    sent = client.take_sent()
    client.ask(cs.Unsubscribe([(None, "t")]))
    client.subscribe("$queue/q", id=9)
    client.acknowledge(*ids(sent))
    assert client.bodies() == ["2"]
    last = [reply for reply in client.replies if isinstance(reply, cs.DeliverPublishes)][-1]
    grants = [last.grants] if isinstance(last.grants, Grant) else last.grants
    assert [grant.subscription_ids for grant in grants] == [[]]


def test_what_is_retained_is_not_sent_again_from_a_queue(node: Node) -> None:
    node.ask(node.session(), declare())
    client = attached(node)
    client.publish("1", topic="$queue/q", retain=True)
    client.subscribe("$queue/q")
    assert client.bodies() == ["1"]


@pytest.mark.parametrize("expiry_s", [0, DAY_S])
def test_a_vhost_that_is_deleted_takes_all_with_it(node: Node, expiry_s: int) -> None:
    node.ask(node.session(), declare(), publish("1"))
    client = attached(node, clean=False, expiry_s=expiry_s)
    client.subscribe("$queue/q")
    node.broker.back.submit(DeleteVhost(_VHOST))
    assert any(isinstance(reply, cs.SessionTaken) for reply in client.run())
    client.lose()
    assert not node.broker.back.queues


def test_a_queue_is_no_topic(node: Node) -> None:
    """A routing key that reads ``$queue.q`` leads to no queue, and topics get nothing of a queue."""
    amqp = node.session()
    node.ask(amqp, declare())
    client = attached(node)
    client.subscribe("$queue/q")
    client.subscribe("t", qos=0)
    node.ask(amqp, publish("no", key="$queue.q", exchange="amq.topic"))
    assert client.take_sent() == []
    assert confirmed(client.publish("1", topic="t")) == [1]
    assert client.take_sent() == [(None, "1")]
    client.publish("2", topic="$queue/q")
    client.acknowledge(*ids(client.take_sent()))
    assert ready(node) == 0
