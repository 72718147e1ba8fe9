"""Statements of MQTT 5 that the core keeps, each under its number in the specification's Appendix B."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model import replies as r
from kernel import PacketIds
from tests.core.clients import PUBACK, PUBCOMP, PUBREC, Client, published
from tests.core.node import Node, confirmed

DAY_S = 86_400


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.journal.abandon()


def attached(node: Node, client_id: str = "c", **options: object) -> Client:
    client = Client(node, client_id)
    client.attach(**options)  # type: ignore[arg-type]
    return client


def first_id(client: Client) -> int:
    (packet_id, _), *_ = client.take_sent()
    assert packet_id is not None
    return packet_id


def grants_of(client: Client) -> list[str]:
    return [repr(reply.grants) for reply in client.replies if isinstance(reply, cs.DeliverPublishes)]


def due(replies: list[r.Reply]) -> list[tuple[list[int], list[int]]]:
    return [(x.packet_ids.to_list(), x.unknown.to_list()) for x in replies if isinstance(x, cs.ReleaseDue)]


@pytest.mark.parametrize("durable", [True, False])
def test_4_3_3_4_a_refused_qos_2_message_is_over(node: Node, durable: bool) -> None:
    """No PUBREL follows a PUBREC of 0x80 or more, and its identifier is free; nor is it sent again."""
    subscriber = attached(node, "s", clean=False, expiry_s=DAY_S if durable else 0, receive_max=1)
    subscriber.subscribe(qos=2)
    publisher = attached(node, "p")
    publisher.publish("1", "2", qos=2)
    packet_id = first_id(subscriber)
    replies = subscriber.acknowledge(packet_id, kind=PUBACK)  # as the adapter has it
    assert due(replies) == []
    assert subscriber.bodies() == ["2"]
    subscriber.lose()
    if durable:
        again = Client(node, "s")
        assert again.attach(clean=False, expiry_s=DAY_S)
        assert again.bodies() == ["2"]
        assert due(again.replies) == []


def test_4_3_3_7_a_message_that_was_received_does_not_expire(node: Node) -> None:
    subscriber, publisher = attached(node, "s", clean=False, expiry_s=DAY_S), attached(node, "p")
    subscriber.subscribe(qos=2)
    publisher.ask(c.Publish(cs.NO_CHANNEL, published("x", qos=2, expiry_ms=1_000), 1))
    packet_id = first_id(subscriber)
    assert due(subscriber.acknowledge(packet_id, kind=PUBREC)) == [([packet_id], [])]
    node.wait(5_000)
    subscriber.lose()
    again = Client(node, "s")
    assert again.attach(clean=False, expiry_s=DAY_S)
    assert due(again.replies) == [([packet_id], [])]
    again.acknowledge(packet_id, kind=PUBCOMP)
    again.lose()
    once_more = Client(node, "s")
    assert once_more.attach(clean=False, expiry_s=DAY_S)
    assert due(once_more.replies) == []


def test_4_3_3_10_a_publish_that_comes_again_and_again_is_taken_once(node: Node) -> None:
    publisher, subscriber = attached(node, "p", clean=False, expiry_s=DAY_S), attached(node, "s")
    subscriber.subscribe(qos=2)
    for _ in range(3):
        assert len(confirmed(publisher.publish_once("1", 5))) == 1
    publisher.lose()
    again = Client(node, "p")
    assert again.attach(clean=False, expiry_s=DAY_S)
    assert confirmed(again.publish_once("1", 5)) == [1]
    assert subscriber.bodies() == ["1"]


def test_4_4_0_1_nothing_is_sent_again_while_the_client_is_connected(node: Node) -> None:
    subscriber = attached(node, "s")
    subscriber.subscribe(qos=1)
    attached(node, "p").publish("1")
    assert subscriber.bodies() == ["1"]
    node.wait(3_600_000)
    assert subscriber.bodies() == []


def test_2_2_1_4_an_identifier_is_not_used_twice_while_it_is_in_flight(node: Node) -> None:
    subscriber = attached(node, "s", receive_max=65_535)
    subscriber.subscribe(qos=2)
    publisher = attached(node, "p")
    for _ in range(10):
        publisher.publish(*map(str, range(100)), qos=2)
    ids = [packet_id for packet_id, _ in subscriber.take_sent()]
    assert len(set(ids)) == len(ids) == 1000
    assert 0 not in ids


def test_3_3_4_2_the_highest_qos_of_overlapping_subscriptions(node: Node) -> None:
    subscriber, publisher = attached(node, "s"), attached(node, "p")
    subscriber.subscribe("a/#", qos=2)
    subscriber.subscribe("a/b", qos=0)
    publisher.publish("1", topic="a/b", qos=2)
    ((packet_id, body),) = subscriber.take_sent()
    assert (packet_id is not None, body) == (True, "1")
    publisher.publish("0", topic="a/b", qos=0)
    assert subscriber.take_sent() == [(None, "0")]


def test_3_3_4_3_retained_messages_have_the_subscriptions_identifier(node: Node) -> None:
    attached(node, "p").publish("kept", topic="a/b", retain=True)
    subscriber = attached(node, "s")
    subscriber.subscribe("a/+", id=9)
    assert subscriber.bodies() == ["kept"]
    assert "9" in grants_of(subscriber)[0]


def test_3_3_4_5_a_shared_subscription_has_its_identifier(node: Node) -> None:
    subscriber = attached(node, "s")
    subscriber.subscribe("a", share="g", id=11)
    attached(node, "p").publish("1", topic="a")
    assert subscriber.bodies() == ["1"]
    assert "11" in grants_of(subscriber)[0]


def test_4_8_2_retained_messages_are_not_sent_to_shared_subscriptions(node: Node) -> None:
    attached(node, "p").publish("kept", topic="a", retain=True)
    subscriber = attached(node, "s")
    subscriber.subscribe("a", share="g")
    assert subscriber.bodies() == []


def test_4_8_2_6_what_a_member_refuses_goes_to_nobody_else(node: Node) -> None:
    members = [attached(node, name) for name in ("m", "n")]
    for member in members:
        member.subscribe("a", share="g", qos=2)
    attached(node, "p").publish("1", topic="a", qos=2)
    sent = [member.take_sent() for member in members]
    turn = 0 if sent[0] else 1
    members[turn].acknowledge(sent[turn][0][0] or 0, kind=PUBACK)
    assert members[1 - turn].bodies() == []
    members[turn].lose()
    assert members[1 - turn].bodies() == []


def test_4_8_2_5_what_a_member_was_sent_waits_for_it(node: Node) -> None:
    members = [attached(node, name, clean=False, expiry_s=DAY_S) for name in ("m", "n")]
    for member in members:
        member.subscribe("a", share="g", qos=2)
    attached(node, "p").publish("1", topic="a", qos=2)
    sent = [member.take_sent() for member in members]
    turn = 0 if sent[0] else 1
    members[turn].lose()
    assert members[1 - turn].bodies() == []
    again = Client(node, ("m", "n")[turn])
    assert again.attach(clean=False, expiry_s=DAY_S)
    assert again.take_sent() == sent[turn]


def test_4_8_2_a_share_and_a_subscription_of_the_same_filter_are_two(node: Node) -> None:
    subscriber = attached(node, "s")
    subscriber.subscribe("a")
    subscriber.subscribe("a", share="g")
    replies = subscriber.ask(cs.Unsubscribe([("h", "a"), ("g", "a"), ("g", "a")]))
    found = [list(reply.found) for reply in replies if isinstance(reply, cs.Unsubscribed)]
    assert found[0][:2] == [False, True]
    attached(node, "p").publish("1", topic="a")
    assert subscriber.bodies() == ["1"]


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retained", [True, False])
def test_3_8_4_8_nothing_is_sent_above_the_granted_qos(node: Node, granted: int, qos: int, retained: bool) -> None:
    publisher, subscriber = attached(node, "p"), attached(node, "s")
    if retained:
        publisher.publish("x", topic="a", qos=qos, retain=True)
    subscriber.subscribe("a", qos=granted)
    if not retained:
        publisher.publish("x", topic="a", qos=qos)
    ((packet_id, _),) = subscriber.take_sent()
    assert (packet_id is None) == (min(qos, granted) == 0)
    assert f"qos={granted}" in grants_of(subscriber)[0].lower().replace(" ", "")


def test_3_3_2_5_a_message_that_expired_is_not_sent(node: Node) -> None:
    subscriber, publisher = attached(node, "s", clean=False, expiry_s=DAY_S), attached(node, "p")
    subscriber.subscribe()
    subscriber.lose()
    publisher.ask(c.Publish(cs.NO_CHANNEL, published("short", expiry_ms=1_000), 1))
    publisher.ask(c.Publish(cs.NO_CHANNEL, published("long", expiry_ms=100_000), 2))
    node.wait(5_000)
    again = Client(node, "s")
    assert again.attach(clean=False, expiry_s=DAY_S)
    assert again.bodies() == ["long"]


@pytest.mark.parametrize("retain_handling", [0, 1, 2])
def test_3_3_1_9_to_11_retain_handling(node: Node, retain_handling: int) -> None:
    attached(node, "p").publish("kept", topic="a", retain=True)
    subscriber = attached(node, "s")
    subscriber.subscribe("a", retain_handling=retain_handling)
    assert subscriber.bodies() == ([] if retain_handling == 2 else ["kept"])
    subscriber.subscribe("a", retain_handling=retain_handling)
    assert subscriber.bodies() == (["kept"] if retain_handling == 0 else [])


@pytest.mark.parametrize("expiry_s", [0, 1000])
def test_3_1_4_3_a_takeover_sends_the_will_at_once_if_the_session_ends(node: Node, expiry_s: int) -> None:
    """With a delay and a session that goes on, the client's return cancels it ([MQTT-3.1.3-9])."""
    watcher = attached(node, "w")
    watcher.subscribe("will")
    will = cs.Will(published("dead", topic="will"), delay_s=60)
    old = Client(node, "c")
    old.attach(clean=False, expiry_s=expiry_s, will=will)
    new = Client(node, "c")
    assert new.attach(clean=False, expiry_s=expiry_s) == bool(expiry_s)
    assert any(isinstance(reply, cs.SessionTaken) for reply in old.run())
    node.wait(100_000)
    assert watcher.bodies() == ([] if expiry_s else ["dead"])


def test_3_1_2_8_a_will_goes_out_once(node: Node) -> None:
    watcher = attached(node, "w")
    watcher.subscribe("will")
    will = cs.Will(published("dead", topic="will"))
    for expiry_s in (0, 1000):
        client = Client(node, f"c{expiry_s}")
        client.attach(clean=True, expiry_s=expiry_s, will=will)
        client.detach(send_will=True)
        client.lose()
        node.wait(5_000_000)
        assert watcher.bodies() == ["dead"]


def test_an_identifier_that_is_not_known_is_told(node: Node) -> None:
    client = attached(node, "c")
    assert due(client.acknowledge(77, kind=PUBREC)) == [([], [77])]
    assert client.acknowledge(78, kind=PUBACK) == []
    assert client.acknowledge(79, kind=PUBCOMP) == []
    released = client.ask(cs.Release(PacketIds.of([80])))
    assert [(x.packet_ids.to_list(), x.unknown.to_list()) for x in released if isinstance(x, cs.Released)] == [
        ([], [80])
    ]
