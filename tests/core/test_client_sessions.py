"""Clients' sessions: what outlives a connection and a crash, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.core.back import ClientSettings
from broker.core.retained import RetainedLimits
from broker.core.topology_commands import PutPermission, PutUser
from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ClientId, UserName, VhostName
from broker.model.refusals import Refusal
from kernel import ORIGIN_MQTT, MessageRun, PacketIds
from tests.core.clients import PUBCOMP, PUBREC, Client, published
from tests.core.node import Node, confirmed

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


def test_each_qos_arrives_in_order_and_at_most_as_granted(node: Node) -> None:
    subscriber, publisher = attached(node, "s"), attached(node, "p")
    subscriber.subscribe("a/+", qos=1)
    assert confirmed(publisher.publish("1", "2", topic="a/b")) == [1, 2]
    publisher.publish("3", topic="a/b", qos=0)
    publisher.publish("no", topic="a/b/c")
    sent = subscriber.take_sent()
    assert [body for packet_id, body in sent if packet_id is not None] == ["1", "2"]
    assert [body for packet_id, body in sent if packet_id is None] == ["3"]
    subscriber.subscribe("a/+", qos=0)
    publisher.publish("4", topic="a/b", qos=1)
    assert subscriber.take_sent() == [(None, "4")]


def test_a_client_that_was_sent_nothing_has_no_volatile_queue(node: Node) -> None:
    subscriber, publisher = attached(node, "s"), attached(node, "p")
    subscriber.subscribe("a/+", qos=1)
    queues = node.broker.back.queues
    assert not queues
    publisher.publish("1", topic="b", qos=1)
    assert not queues
    publisher.publish("2", topic="a/b", qos=1)
    assert len(queues) == 2, "of QoS 0, and of QoS 1 and 2"
    subscriber.lose()
    assert not queues


def test_no_more_than_the_receive_maximum_is_sent_before_acknowledgements(node: Node) -> None:
    subscriber, publisher = attached(node, "s", receive_max=2), attached(node, "p")
    subscriber.subscribe()
    publisher.publish("1", "2", "3", "4")
    publisher.publish("q0", qos=0)
    sent = subscriber.take_sent()
    assert [body for _, body in sent] == ["1", "2", "q0"] or [body for _, body in sent] == ["q0", "1", "2"]
    ids = [packet_id for packet_id, _ in sent if packet_id is not None]
    subscriber.acknowledge(ids[0])
    assert subscriber.bodies() == ["3"]
    subscriber.acknowledge(ids[1])
    assert subscriber.bodies() == ["4"]


def test_a_durable_session_gets_what_came_while_it_was_away_and_what_it_did_not_acknowledge(node: Node) -> None:
    subscriber, publisher = attached(node, "s", clean=False, expiry_s=DAY_S), attached(node, "p")
    subscriber.subscribe(qos=2)
    publisher.publish("1", "2")
    sent = subscriber.take_sent()
    subscriber.acknowledge(sent[0][0] or 0)
    subscriber.lose()
    publisher.publish("3")
    publisher.publish("gone", qos=0)
    again = Client(node, "s")
    assert again.attach(clean=False, expiry_s=DAY_S)
    assert again.take_sent() == [sent[1], ((sent[1][0] or 0) + 1, "3")]
    deliveries = [reply.deliveries for reply in again.replies if isinstance(reply, cs.DeliverPublishes)]
    flags = [run.redelivered(index) for run in deliveries for index in range(run.count)]
    assert flags == [True, False]


def test_a_durable_session_survives_a_crash_with_its_ids(node: Node) -> None:
    subscriber, publisher = attached(node, "s", clean=False, expiry_s=DAY_S), attached(node, "p")
    subscriber.subscribe("a/#", qos=2, id=7)
    publisher.publish("1", "2", "3", topic="a/b")
    first, second, third = subscriber.take_sent()
    assert any(isinstance(reply, cs.ReleaseDue) for reply in subscriber.acknowledge(first[0] or 0, kind=PUBREC))
    node = node.crashed()
    again = Client(node, "s")
    assert again.attach(clean=False, expiry_s=DAY_S)
    due = [reply.packet_ids.to_list() for reply in again.replies if isinstance(reply, cs.ReleaseDue)]
    assert due == [[first[0]]]
    assert again.take_sent() == [second, third]
    again.acknowledge(first[0] or 0, kind=PUBCOMP)
    node = node.crashed()
    once_more = Client(node, "s")
    assert once_more.attach(clean=False, expiry_s=DAY_S)
    assert not any(isinstance(reply, cs.ReleaseDue) for reply in once_more.replies)
    Client(node, "p").attach()
    publisher = attached(node, "p")
    publisher.publish("4", topic="a/c")
    assert once_more.bodies() == ["2", "3", "4"]
    grants = [reply.grants for reply in once_more.replies if isinstance(reply, cs.DeliverPublishes)]
    assert repr(grants[0]) == repr(grants[-1])
    node.journal.abandon()


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_published_once_is_taken_once_until_its_id_is_released(node: Node, durable: bool) -> None:
    publisher = attached(node, "p", clean=False, expiry_s=DAY_S if durable else 0)
    subscriber = attached(node, "s")
    subscriber.subscribe(qos=2)
    assert confirmed(publisher.publish_once("1", 5)) == [1]
    assert confirmed(publisher.publish_once("1", 5)) == [2], "it came again, and is said to be safe again"
    assert subscriber.bodies() == ["1"]
    released = publisher.ask(cs.Release(PacketIds.of([5, 6, 5, 6])))
    assert [(x.packet_ids.to_list(), x.unknown.to_list()) for x in released if isinstance(x, cs.Released)] == [
        ([5], [6, 5, 6])
    ]
    assert confirmed(publisher.publish_once("2", 5)) == [3]
    assert subscriber.bodies() == ["2"]


def test_an_id_taken_before_a_crash_is_taken_after_it(node: Node) -> None:
    publisher = attached(node, "p", clean=False, expiry_s=DAY_S)
    subscriber = attached(node, "s", clean=False, expiry_s=DAY_S)
    subscriber.subscribe(qos=2)
    publisher.publish_once("1", 5)
    publisher.publish_once("2", 6)
    publisher.ask(cs.Release(PacketIds.of([5])))
    node = node.crashed()
    publisher = Client(node, "p")
    assert publisher.attach(clean=False, expiry_s=DAY_S)
    publisher.publish_once("2", 6)
    publisher.publish_once("3", 5)
    subscriber = Client(node, "s")
    assert subscriber.attach(clean=False, expiry_s=DAY_S)
    assert subscriber.bodies() == ["1", "2", "3"]
    node.journal.abandon()


@pytest.mark.parametrize("expiry_s", [0, DAY_S])
@pytest.mark.parametrize("connected", [True, False])
def test_a_clean_start_forgets_the_session(node: Node, expiry_s: int, connected: bool) -> None:
    before = attached(node, "s", clean=False, expiry_s=DAY_S)
    before.subscribe()
    if not connected:
        before.lose()
    again = Client(node, "s")
    assert not again.attach(clean=True, expiry_s=expiry_s)
    attached(node, "p").publish("1")
    assert again.bodies() == []


def test_a_session_that_is_not_durable_goes_with_its_connection(node: Node) -> None:
    subscriber = attached(node, "s")
    subscriber.subscribe()
    assert node.broker.back.topology.sessions()
    before = node.journal.submitted
    attached(node, "p").publish("1", qos=1)
    assert subscriber.bodies() == ["1"]
    subscriber.lose()
    node.run()
    assert node.journal.submitted == before, "a clean session never waits for a disk"
    assert [row.client_id for row in node.broker.back.topology.sessions()] == ["p"]
    assert not Client(node, "s").attach(clean=False)


def test_a_session_is_taken_over_by_its_own_user_only(node: Node) -> None:
    old = attached(node, "s", clean=False, expiry_s=DAY_S)
    old.subscribe()
    new = Client(node, "s")
    assert new.attach(clean=False, expiry_s=DAY_S)
    assert any(isinstance(reply, cs.SessionTaken) for reply in old.run())
    old.lose()
    attached(node, "p").publish("1")
    assert new.bodies() == ["1"]
    stranger = node.broker.open_session()
    node.broker.back.submit(PutUser(UserName("other"), None))
    node.broker.back.submit(PutPermission(UserName("other"), _VHOST, ".*", ".*", ".*"))
    node.run()
    stranger.submit([cs.AuthenticateAnonymous(UserName("other")), c.OpenVhost(_VHOST)])
    stranger.submit([cs.AttachSession(ClientId("s"), True, 0, 10)])
    node.run()
    refusals = [reply.refusal for reply in stranger.take_replies() if isinstance(reply, r.Refuse)]
    assert refusals == [Refusal.CLIENT_ID_TAKEN]
    attached(node, "q").publish("2")
    assert new.bodies() == ["2"]


def test_two_that_attach_at_once_have_the_session_one_after_the_other(node: Node) -> None:
    first, second = Client(node, "s"), Client(node, "s")
    for client in (first, second):
        client.session.submit([cs.AttachSession(ClientId("s"), False, DAY_S, 10)])
    node.run()
    said = [[type(reply) for reply in client.run()] for client in (first, second)]
    assert cs.SessionTaken in said[0]
    assert cs.SessionAttached in said[1]
    assert second.replies[-1].present if isinstance(second.replies[-1], cs.SessionAttached) else True
    second.subscribe()
    attached(node, "p").publish("1")
    assert second.bodies() == ["1"]


def test_a_session_expires_also_while_the_broker_is_down(node: Node) -> None:
    attached(node, "a", clean=False, expiry_s=100).detach()
    attached(node, "b", clean=False, expiry_s=1000).detach()
    node.wait(50_000)
    assert len(node.broker.back.topology.sessions()) == 2
    wall_ms = node.wall_ms
    node = node.crashed()
    node.wall_ms = wall_ms
    node.wait(60_000)
    assert [row.client_id for row in node.broker.back.topology.sessions()] == ["b"]
    assert Client(node, "b").attach(clean=False, expiry_s=1000)
    node.wait(2_000_000)
    assert [row.client_id for row in node.broker.back.topology.sessions()] == ["b"]
    node.journal.abandon()


@pytest.mark.parametrize("expiry_s", [0, DAY_S])
def test_a_will_is_sent_for_a_client_that_is_lost_and_not_for_one_that_says_goodbye(node: Node, expiry_s: int) -> None:
    watcher = attached(node, "w")
    watcher.subscribe("will")
    will = cs.Will(published("dead", topic="will"))
    client = Client(node, "c")
    client.attach(clean=True, expiry_s=expiry_s, will=will)
    client.detach()
    assert watcher.bodies() == []
    client = Client(node, "c")
    client.attach(clean=True, expiry_s=expiry_s, will=will)
    client.lose()
    assert watcher.bodies() == ["dead"]
    client = Client(node, "c")
    client.attach(clean=True, expiry_s=expiry_s, will=will)
    client.detach(send_will=True)
    assert watcher.bodies() == ["dead"]


def test_a_client_that_comes_back_at_once_finds_no_session_it_said_was_over(node: Node) -> None:
    client, again = attached(node, "s", clean=False, expiry_s=DAY_S), Client(node, "s")
    client.session.submit([cs.DetachSession(False, 0)])
    again.session.submit([cs.AttachSession(ClientId("s"), False, DAY_S, 10)])
    present = [reply.present for reply in again.run() if isinstance(reply, cs.SessionAttached)]
    assert present == [False]
    again.subscribe()
    node.wait(10_000)
    attached(node, "p").publish("1")
    assert again.bodies() == ["1"], "the end of the old session is not the new one's"


def test_a_retained_message_that_is_on_its_way_is_not_missed(node: Node) -> None:
    publisher, late = attached(node, "p"), attached(node, "s")
    messages = published("kept", topic="a", retain=True)
    publisher.session.submit([c.Publish(cs.NO_CHANNEL, messages, 1)])
    late.session.submit([cs.Subscribe([cs.SubscriptionSpec("a", 1)])])
    assert late.bodies() == ["kept"]


def test_a_will_waits_for_its_delay_or_the_end_of_the_session_and_is_cancelled_by_a_return(node: Node) -> None:
    watcher = attached(node, "w", clean=False, expiry_s=DAY_S)
    watcher.subscribe("will")
    will = cs.Will(published("dead", topic="will"), delay_s=60)
    attached(node, "c", clean=False, expiry_s=1000, will=will).lose()
    node.wait(59_000)
    assert watcher.bodies() == []
    back = Client(node, "c")
    assert back.attach(clean=False, expiry_s=1000, will=will)
    node.wait(100_000)
    assert watcher.bodies() == []
    back.lose()
    node.wait(61_000)
    assert watcher.bodies() == ["dead"]
    attached(node, "d", clean=False, expiry_s=10, will=will).lose()
    node.wait(11_000)
    assert watcher.bodies() == ["dead"], "the session is over before the delay is"


def test_a_delayed_will_is_sent_once_across_a_crash(node: Node) -> None:
    watcher = attached(node, "w", clean=False, expiry_s=DAY_S)
    watcher.subscribe("will")
    will = cs.Will(published("dead", topic="will"), delay_s=60)
    attached(node, "c", clean=False, expiry_s=1000, will=will).lose()
    wall_ms = node.wall_ms
    node = node.crashed()
    node.wall_ms = wall_ms
    watcher = Client(node, "w")
    assert watcher.attach(clean=False, expiry_s=DAY_S)
    node.wait(61_000)
    assert watcher.bodies() == ["dead"]
    wall_ms = node.wall_ms
    node = node.crashed()
    node.wall_ms = wall_ms
    watcher = Client(node, "w")
    assert watcher.attach(clean=False, expiry_s=DAY_S)
    node.wait(61_000)
    assert [body for body in watcher.bodies() if body != "dead"] == []
    node.journal.abandon()


def test_overlapping_subscriptions_are_one_copy_with_all_ids(node: Node) -> None:
    subscriber, publisher = attached(node, "s"), attached(node, "p")
    subscriber.subscribe("a/#", qos=0, id=1)
    subscriber.subscribe("a/+", qos=1, id=2)
    publisher.publish("1", topic="a/b")
    sent = subscriber.take_sent()
    assert [body for _, body in sent] == ["1"]
    assert sent[0][0] is not None
    grants = [reply.grants for reply in subscriber.replies if isinstance(reply, cs.DeliverPublishes)]
    assert "1, 2" in repr(grants[0])


def test_no_local_keeps_a_clients_own_messages_from_it(node: Node) -> None:
    client, other = attached(node, "c"), attached(node, "o")
    client.subscribe(no_local=True)
    other.subscribe()
    client.publish("mine")
    other.publish("theirs")
    assert client.bodies() == ["theirs"]
    assert other.bodies() == ["mine", "theirs"]


def test_members_of_a_share_take_turns_and_a_lost_one_has_none(node: Node) -> None:
    members = [attached(node, f"m{number}") for number in range(3)]
    for member in members:
        member.subscribe(share="g")
    publisher = attached(node, "p")
    publisher.publish(*map(str, range(9)))
    got = [member.bodies() for member in members]
    assert [len(bodies) for bodies in got] == [3, 3, 3]
    assert sorted(body for bodies in got for body in bodies) == sorted(map(str, range(9)))
    members[0].lose()
    publisher.publish(*map(str, range(8)))
    assert [len(member.bodies()) for member in members[1:]] == [4, 4]


def test_a_dollar_topic_is_matched_by_no_leading_wildcard(node: Node) -> None:
    subscriber, publisher = attached(node, "s"), attached(node, "p")
    subscriber.subscribe("#")
    subscriber.subscribe("+/x")
    publisher.publish("hidden", topic="$any/x")
    assert subscriber.bodies() == []
    subscriber.subscribe("$any/#")
    publisher.publish("shown", topic="$any/x")
    assert subscriber.bodies() == ["shown"]


def test_a_retained_message_is_sent_to_new_subscriptions_and_survives_a_crash(node: Node) -> None:
    publisher = attached(node, "p")
    publisher.publish("old", topic="a/b", retain=True)
    publisher.publish("new", topic="a/b", retain=True)
    publisher.publish("other", topic="a/c", retain=True)
    publisher.publish("not", topic="a/d")
    first = attached(node, "s")
    first.subscribe("a/+")
    assert sorted(first.bodies()) == ["new", "other"]
    first.subscribe("a/+", retain_handling=1)
    first.subscribe("a/+", retain_handling=2)
    assert first.bodies() == []
    publisher.publish("", topic="a/c", retain=True)
    assert first.bodies() == [""]
    node = node.crashed()
    again = attached(node, "s")
    again.subscribe("#", qos=0)
    assert again.take_sent() == [(None, "new")]
    node.journal.abandon()


def test_a_retained_message_expires_from_its_arrival_on(node: Node) -> None:
    publisher = attached(node, "p")
    messages = published("short", topic="a", retain=True, expiry_ms=10_000)
    publisher.ask(c.Publish(cs.NO_CHANNEL, messages, 1))
    node.wait(4_000)
    first = attached(node, "s")
    first.subscribe("a")
    assert first.bodies() == ["short"]
    deliveries = [reply.deliveries for reply in first.replies if isinstance(reply, cs.DeliverPublishes)]
    left = deliveries[0].messages().expiration_ms(0)
    assert left is not None
    assert 5_000 < left <= 6_000
    node.wait(7_000)
    second = attached(node, "t")
    second.subscribe("a")
    assert second.bodies() == []
    assert node.broker.back.retained.of(_VHOST).count == 0


def test_many_retained_messages_come_by_pages_and_delay_nobody(node: Node) -> None:
    publisher = attached(node, "p")
    for number in range(3000):
        messages = published(str(number), topic=f"many/{number}", retain=True)
        publisher.session.submit([c.Publish(cs.NO_CHANNEL, messages)])
    node.run()
    everything, one = attached(node, "all"), attached(node, "one")
    everything.session.submit([cs.Subscribe([cs.SubscriptionSpec("#", 0)], 0)])
    node.step()
    one.subscribe("many/2999", qos=0)
    assert one.bodies() == ["2999"]
    for _ in range(400):
        node.wait(10)
        everything.run()
    assert sorted(int(body) for body in everything.bodies()) == list(range(3000))


def mixed(*topics: str, qos: int) -> MessageRun:
    rows = [row for topic in topics for row in published(topic, topic=topic, qos=qos).rows()]
    return MessageRun.of(0, rows, ORIGIN_MQTT)


MIXED = ("a", "$SYS/x", "b", "a", "$SYS/y", "$SYS/x", "c")


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("durable", [True, False])
def test_of_a_run_only_what_may_not_be_published_is_rejected(node: Node, qos: int, durable: bool) -> None:
    """How publishes fell into runs is the network's doing."""
    subscriber = attached(node, "s")
    subscriber.subscribe("#")
    publisher = attached(node, "p", clean=False, expiry_s=DAY_S if durable else 0)
    messages = mixed(*MIXED, qos=qos)
    replies = publisher.ask(
        cs.PublishOnce(messages, PacketIds.of(range(1, 8)), 1)
        if qos == 2
        else c.Publish(cs.NO_CHANNEL, messages, 1 if qos else 0)
    )
    assert sorted(subscriber.bodies()) == ["a", "a", "b", "c"]
    rejected = [tags for reply in replies if isinstance(reply, r.Reject) for tags in reply.tags]
    assert (sorted(confirmed(replies)), rejected) == (([1, 3, 4, 7], [(2, 2), (5, 6)]) if qos else ([], []))
    if qos == 2:
        released = publisher.ask(cs.Release(PacketIds.of([1, 2])))
        assert [(x.packet_ids.to_list(), x.unknown.to_list()) for x in released if isinstance(x, cs.Released)] == [
            ([1], [2])
        ]


def test_a_will_on_a_topic_of_the_brokers_is_refused(node: Node) -> None:
    client = Client(node, "c")
    will = cs.Will(published("I am the broker", topic="$SYS/broker/version"))
    replies = client.ask(cs.AttachSession(ClientId("c"), True, 0, 10, will))
    assert [reply.refusal for reply in replies if isinstance(reply, r.Refuse)] == [Refusal.ACCESS_REFUSED]
    assert not Client(node, "c").attach(clean=False)


def test_a_sticky_share_is_one_members_as_long_as_it_is_there(tmp_path: Path) -> None:
    node = Node(tmp_path, client_settings=ClientSettings(sticky_shares=True))
    members = [attached(node, f"m{number}") for number in range(3)]
    for member in members:
        member.subscribe(share="g")
    publisher = attached(node, "p")
    publisher.publish("1", "2", "3")
    assert [member.bodies() for member in members] == [["1", "2", "3"], [], []]
    members[0].lose()
    publisher.publish("4", "5")
    assert [member.bodies() for member in members[1:]] == [["4", "5"], []]
    node.journal.abandon()


def test_what_is_over_the_limits_is_not_retained_and_what_is_replaces(tmp_path: Path) -> None:
    node = Node(tmp_path, client_settings=ClientSettings(retained=RetainedLimits(count=2, size=100)))
    publisher = attached(node, "p")
    for topic in ("a", "b", "c"):
        publisher.publish(f"old {topic}", topic=topic, retain=True)
    publisher.publish("new b", topic="b", retain=True)
    subscriber = attached(node, "s")
    subscriber.subscribe("#")
    assert sorted(subscriber.bodies()) == ["new b", "old a"]
    assert node.broker.back.retained.of(_VHOST).refused_count == 1
    publisher.publish("", topic="a", retain=True)
    publisher.publish("c at last", topic="c", retain=True)
    late = attached(node, "l")
    late.subscribe("c")
    assert late.bodies() == ["c at last"]
    node.journal.abandon()


def test_administrators_read_the_brokers_figures_and_nobody_else_does(node: Node) -> None:
    watcher, other = attached(node, "w"), Client(node, "o")
    node.broker.back.submit(PutUser(UserName("device"), None))
    node.broker.back.submit(PutPermission(UserName("device"), _VHOST, ".*", ".*", ".*"))
    node.run()
    watcher.subscribe("$SYS/#", qos=0)
    other.attach()
    other.publish("1", "2", qos=0)
    node.wait(10_000)
    figures = _topics(watcher)
    assert figures["$SYS/broker/clients/connected"] == "2"
    assert figures["$SYS/broker/publish/messages/received"] == "2"
    assert "$SYS/broker/uptime" in figures
    assert "$SYS/broker/load/messages/received/1min" in figures
    late = attached(node, "l")
    late.subscribe("$SYS/broker/version", qos=1)
    assert list(_topics(late)) == ["$SYS/broker/version"]
    everybody = attached(node, "e")
    everybody.subscribe("#")
    node.wait(10_000)
    assert everybody.bodies() == []
    stranger = Client(node, "x", user="device")
    stranger.attach()
    replies = stranger.ask(cs.Subscribe([cs.SubscriptionSpec("$SYS/#", 0), cs.SubscriptionSpec("a", 0)]))
    assert [x.refusals for x in replies if isinstance(x, cs.Subscribed)] == [[Refusal.ACCESS_REFUSED, None]]


def _topics(client: Client) -> dict[str, str]:
    client.run()
    runs = [reply.deliveries for reply in client.replies if isinstance(reply, cs.DeliverPublishes)]
    keys = [(run.routing_key(index).decode(), run.body(index).decode()) for run in runs for index in range(run.count)]
    return dict(keys)


def test_a_few_retained_messages_come_before_what_is_published_after_the_subscription(node: Node) -> None:
    publisher, late = attached(node, "p"), attached(node, "s")
    for topic in ("a", "b", "c"):
        publisher.publish(topic, topic=topic, retain=True)
    late.session.submit([cs.Subscribe([cs.SubscriptionSpec("#", 1)])])
    node.step()
    publisher.session.submit([c.Publish(cs.NO_CHANNEL, published("after"), 9)])
    node.step()
    assert late.bodies()[-1] == "after"
