"""Clients that come, go and ask again before the log has caught up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model.names import ClientId, DeliveryTag
from kernel import PacketIds
from tests.core.clients import Client, published
from tests.core.node import CHANNEL, Node, consume, declare, publish

DAY_S = 86_400


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.journal.abandon()


def attach(client: Client, queue_length_max: int = 1000) -> None:
    """Asks, and doesn't wait."""
    client.session.submit([cs.AttachSession(client.client_id, False, DAY_S, 100, None, queue_length_max)])


@pytest.mark.parametrize("expiry_s", [0, DAY_S])
def test_who_is_taken_over_at_once_is_sent_nothing_more(node: Node, expiry_s: int) -> None:
    """The second one's turn begins when the first one has the session."""
    first, second, publisher = Client(node), Client(node), Client(node, "p")
    for client in (first, second):
        client.session.submit([cs.AttachSession(ClientId("c"), False, expiry_s, 100, None)])
    assert any(isinstance(reply, cs.SessionTaken) for reply in first.run())
    second.subscribe()
    publisher.attach()
    publisher.publish("1", "2", "3")
    assert first.bodies() == []
    assert second.bodies() == ["1", "2", "3"]


def test_who_leaves_while_it_attaches_is_sent_nothing_more(node: Node) -> None:
    subscriber, hasty, publisher = Client(node), Client(node), Client(node, "p")
    subscriber.attach(clean=False, expiry_s=DAY_S)
    subscriber.subscribe()
    subscriber.lose()
    attach(hasty)
    hasty.session.submit([cs.DetachSession(False)])
    hasty.run()
    publisher.attach()
    publisher.publish("1")
    assert hasty.bodies() == []
    after = Client(node)
    after.attach(clean=False, expiry_s=DAY_S)
    assert after.bodies() == ["1"]


def test_a_release_that_is_asked_for_again_is_answered_when_it_is_safe(node: Node) -> None:
    publisher = Client(node)
    publisher.attach(clean=False, expiry_s=DAY_S)
    publisher.publish_once("1", 7)
    release = cs.Release(PacketIds.of([7]))
    publisher.session.submit([release, release])
    node.step()
    assert not [reply for reply in publisher.session.take_replies() if isinstance(reply, cs.Released)]
    released = [reply for reply in publisher.run() if isinstance(reply, cs.Released)]
    assert [reply.packet_ids.to_list() for reply in released] == [[7], []]
    assert [reply.unknown.to_list() for reply in released] == [[], [7]]


def test_how_much_is_kept_for_a_client_survives_a_crash(node: Node) -> None:
    subscriber = Client(node)
    attach(subscriber, queue_length_max=2000)
    subscriber.run()
    subscriber.subscribe()
    subscriber.lose()
    again = node.crashed()
    publisher = Client(again, "p")
    publisher.attach()
    for number in range(15):
        publisher.publish(*(f"{number}/{index}" for index in range(100)))
    back = Client(again)
    attach(back, queue_length_max=2000)
    assert back.bodies()[0] == "0/0"
    again.journal.abandon()


def test_a_session_that_was_to_end_with_its_connection_ends_when_it_is_taken_over(node: Node) -> None:
    """It was durable before: MQTT 5, 3.1.2.11.2."""
    Client(node).attach(clean=False, expiry_s=DAY_S)
    assert Client(node).attach(clean=False, expiry_s=0)
    assert not Client(node).attach(clean=False, expiry_s=DAY_S)


def test_a_session_that_nobody_was_ever_attached_to_is_no_session(node: Node) -> None:
    """Its row was in the log, and that it was attached was not, when the node fell; it is deleted at the start."""
    subscriber = Client(node)
    attach(subscriber)
    node.step()
    while not node.broker.back.topology.sessions():
        node.sync()
        node.step()
    again = node.crashed()
    back = Client(again)
    assert not back.attach(clean=False, expiry_s=DAY_S)
    back.subscribe()
    back.lose()
    assert Client(again).attach(clean=False, expiry_s=DAY_S)
    again.journal.abandon()


def test_what_is_published_once_keeps_its_topic_beside_dead_letters(node: Node) -> None:
    """Both leave their shard for others, and did so in one run, which has one form: AMQP's."""
    session = node.session()
    node.ask(session, *(declare(name, x_dead_letter_exchange="amq.direct") for name in ("0", "1")))
    for name in ("0", "1"):
        node.ask(session, publish("dead", key=name), consume(name, tag=name))
    publisher, subscriber = Client(node, "p"), Client(node)
    publisher.attach(clean=False, expiry_s=DAY_S)
    subscriber.attach()
    subscriber.subscribe("#", qos=2)
    session.submit([c.Settle(CHANNEL, DeliveryTag(1), DeliveryTag(2), c.Outcome.REJECTED)])
    messages = published("1", topic="a.b/c", qos=2)
    publisher.session.submit([cs.PublishOnce(messages, PacketIds.of([1]), 1)])
    delivered = [reply.deliveries for reply in subscriber.run() if isinstance(reply, cs.DeliverPublishes)]
    assert [run.routing_key(0) for run in delivered] == [b"a.b/c"]


def test_retained_messages_that_are_not_in_memory_at_once_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.core.node.CACHE_SIZE", 4096)
    node = Node(tmp_path)
    publisher = Client(node, "p")
    publisher.attach()
    for number in range(12):
        publisher.publish(f"{number}" + 2000 * ".", topic=f"r/{number}", retain=True)
    for started in (node, node.crashed()):
        subscriber = Client(started)
        subscriber.attach()
        subscriber.subscribe("r/#")
        for _ in range(20):
            started.wait(10)
        assert sorted(int(body.rstrip(".")) for body in subscriber.bodies()) == list(range(12))
        started.journal.abandon()
