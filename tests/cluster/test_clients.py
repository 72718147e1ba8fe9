"""Clients with sessions in a cluster: any node serves any of them, and what a session is owed follows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.cluster.peer import SUSPICION_S
from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import QueueName
from broker.model.topology import QueueSpec
from kernel import Grant, PacketIds
from tests.cluster.homes import (
    DAY_S,
    attached_at,
    client_at,
    durable_at,
    ids_of,
    is_asked_to_come_again,
    is_taken_over,
    leader_of_client,
)
from tests.cluster.nodes import CHANNEL, TestedCluster
from tests.core.clients import PUBCOMP, PUBREC, Client, published
from tests.core.node import confirmed, consume, declare, delivered, publish

NAMES = ("n1", "n2", "n3")


@pytest.fixture
def formed() -> Iterator[TestedCluster]:
    """One whose nodes may come back."""
    made = TestedCluster(3)
    made.settle()
    yield made
    for name in list(made.nodes):
        made.kill(name)


def elsewhere(cluster: TestedCluster, *names: str) -> str:
    """A node that is none of these."""
    return next(name for name in cluster.nodes if name not in names)


def comes_again(cluster: TestedCluster, name: str, client_id: str) -> Client:
    """To a durable session that is there."""
    client = client_at(cluster, name, client_id)
    assert client.attach(clean=False, expiry_s=DAY_S)
    return client


# ---- publishing and delivering


def test_a_client_that_is_connected_is_served_after_its_node_took_the_topology_from_a_snapshot(
    cluster: TestedCluster,
) -> None:
    for name in NAMES:
        client = attached_at(cluster, name, f"c{name}", expiry_s=DAY_S)
        client.subscribe(name, qos=1)
        client.publish("before", topic=name, qos=0)
        assert client.bodies() == ["before"]
        back = cluster.nodes[name].core.back
        back._restore(back.meta_shard)
        client.publish("after", topic=name, qos=0)
        assert client.bodies() == ["after"]


@pytest.mark.parametrize("durable", [True, False])
def test_each_qos_arrives_from_any_node_at_any_node(cluster: TestedCluster, durable: bool) -> None:
    expiry_s = DAY_S if durable else 0
    clients = {name: attached_at(cluster, name, f"c{name}", expiry_s=expiry_s) for name in NAMES}
    for client in clients.values():
        client.subscribe("a/+", qos=2)
    for name, client in clients.items():
        assert confirmed(client.publish(f"one {name}", topic="a/b", qos=1)) == [client.next_tag - 1]
        client.publish(f"zero {name}", topic="a/b", qos=0)
        assert confirmed(client.publish_once(f"two {name}", 7, topic="a/b")) == [client.next_tag - 1]
        released = [x for x in client.ask(cs.Release(PacketIds.of([7]))) if isinstance(x, cs.Released)]
        assert [x.packet_ids.to_list() for x in released] == [[7]]
    expected = sorted(f"{qos} {name}" for qos in ("zero", "one", "two") for name in NAMES)
    for client in clients.values():
        sent = client.take_sent()
        assert sorted(body for _, body in sent) == expected
        assert sorted(body for packet_id, body in sent if packet_id is None) == [f"zero {name}" for name in NAMES]
        due = [x for x in client.acknowledge(*ids_of(sent), kind=PUBREC) if isinstance(x, cs.ReleaseDue)]
        assert sorted(id for x in due for id in x.packet_ids.to_list()) == sorted(ids_of(sent))
        client.acknowledge(*ids_of(sent), kind=PUBCOMP)


@pytest.mark.parametrize("durable", [True, False])
def test_the_receive_maximum_holds_wherever_the_session_is(cluster: TestedCluster, durable: bool) -> None:
    publisher = attached_at(cluster, "n1", "p")
    for name in NAMES:
        client = attached_at(cluster, name, f"s{name}", expiry_s=DAY_S if durable else 0, receive_max=2)
        client.subscribe(name)
        publisher.publish("1", "2", "3", "4", topic=name)
        sent = client.take_sent()
        assert [body for _, body in sent] == ["1", "2"]
        client.acknowledge(*ids_of(sent))
        assert client.bodies() == ["3", "4"]


@pytest.mark.parametrize("durable", [True, False])
def test_nothing_comes_at_a_higher_qos_than_was_asked_for_while_not_all_nodes_know_of_it(
    cluster: TestedCluster, durable: bool
) -> None:
    """Those that do send what is published there, before the client is answered."""
    meta = cluster.leader_of(0)
    assert meta is not None
    here = elsewhere(cluster, meta.name)
    third = elsewhere(cluster, meta.name, here)
    publisher = attached_at(cluster, meta.name, "p")
    client = durable_at(cluster, here, "s") if durable else attached_at(cluster, here, "s")
    for name in (meta.name, here) if durable else (here,):
        cluster.wire.cut(third, name)
    client.session.submit([cs.Subscribe([cs.SubscriptionSpec("a/+", 1)], 0)])
    client.run()
    publisher.publish_once("m", 7, topic="a/b")
    client.run()
    assert not any(isinstance(reply, cs.Subscribed) for reply in client.replies), "it is answered once all know"
    grants = [reply.grants for reply in client.replies if isinstance(reply, cs.DeliverPublishes)]
    assert [
        grant.qos for of_reply in grants for grant in ([of_reply] if isinstance(of_reply, Grant) else of_reply)
    ] == [1]


def test_a_session_waits_at_whichever_node_its_client_comes_to_next(cluster: TestedCluster) -> None:
    publisher = attached_at(cluster, "n1", "p")
    durable_at(cluster, "n2", "s").subscribe(qos=1)
    client = comes_again(cluster, "n3", "s")
    held: list[str] = []
    for number, name in enumerate(NAMES * 2):
        client.lose()
        publisher.publish(f"m{number}")
        held.append(f"m{number}")
        client = comes_again(cluster, name, "s")
        sent = client.take_sent()
        assert [body for _, body in sent] == held
        client.acknowledge(ids_of(sent)[0])
        held.pop(0)


@pytest.mark.parametrize("durable", [True, False])
def test_a_client_is_not_sent_its_own_if_it_wants_so(cluster: TestedCluster, durable: bool) -> None:
    for name in NAMES:
        client = attached_at(cluster, name, f"s{name}", expiry_s=DAY_S if durable else 0)
        other = attached_at(cluster, elsewhere(cluster, name), f"o{name}")
        client.subscribe(name, no_local=True)
        other.subscribe(name)
        client.publish("mine", topic=name)
        client.publish("mine0", topic=name, qos=0)
        other.publish("other", topic=name)
        assert client.bodies() == ["other"]
        assert sorted(other.bodies()) == ["mine", "mine0", "other"]


# ---- wills


@pytest.mark.parametrize("durable", [True, False])
def test_a_will_is_sent_once_when_the_connection_is_lost(cluster: TestedCluster, durable: bool) -> None:
    options = {"expiry_s": DAY_S if durable else 0}
    watcher = attached_at(cluster, "n1", "w")
    watcher.subscribe("will")
    for name in NAMES:
        will = cs.Will(published(f"lost {name}", topic="will"))
        attached_at(cluster, name, f"c{name}", will=will, **options).lose()
        assert watcher.bodies() == [f"lost {name}"]
        attached_at(cluster, name, f"c{name}", will=will, **options).detach()
        assert watcher.bodies() == []


def test_a_will_is_sent_once_when_the_clients_node_is_lost(cluster: TestedCluster) -> None:
    watcher = attached_at(cluster, "n1", "w")
    watcher.subscribe("will")
    for number in range(3):
        for name in ("n2", "n3"):
            durable_at(cluster, name, f"{name} {number}", will=cs.Will(published(f"{name} {number}", topic="will")))
    cluster.kill("n3")
    cluster.run(5)
    assert sorted(watcher.bodies()) == ["n3 0", "n3 1", "n3 2"]


# ---- takeover


@pytest.mark.parametrize("first_durable", [True, False])
@pytest.mark.parametrize("second_durable", [True, False])
def test_another_node_takes_a_client_over(cluster: TestedCluster, first_durable: bool, second_durable: bool) -> None:
    watcher = attached_at(cluster, "n1", "w")
    watcher.subscribe("will")
    for number, (here, there) in enumerate([("n1", "n2"), ("n2", "n3"), ("n3", "n1"), ("n2", "n2")]):
        id = f"c{number}"
        will = cs.Will(published(f"will {id}", topic="will"))
        first = attached_at(cluster, here, id, clean=False, expiry_s=DAY_S if first_durable else 0, will=will)
        first.subscribe(id)
        second = client_at(cluster, there, id)
        present = second.attach(clean=False, expiry_s=DAY_S if second_durable else 0)
        assert present == first_durable
        assert is_taken_over(first)
        assert watcher.bodies() == [f"will {id}"]
        second.subscribe(id)
        watcher.publish("m", topic=id)
        assert second.bodies() == ["m"]
        assert first.bodies() == []
        first.lose()
        watcher.publish("n", topic=id)
        assert second.bodies() == ["n"]


@pytest.mark.parametrize("first_durable", [True, False])
@pytest.mark.parametrize("second_durable", [True, False])
def test_of_two_that_come_at_once_one_stays(cluster: TestedCluster, first_durable: bool, second_durable: bool) -> None:
    for number, (here, there) in enumerate([("n1", "n2"), ("n2", "n3"), ("n3", "n1")]):
        clients = [client_at(cluster, here, f"c{number}"), client_at(cluster, there, f"c{number}")]
        for client, durable in zip(clients, [first_durable, second_durable], strict=True):
            client.session.submit([cs.AttachSession(client.client_id, False, DAY_S if durable else 0, 10)])
        cluster.run(0.5)
        taken = [is_taken_over(client) or is_asked_to_come_again(client) for client in clients]
        attached = [any(isinstance(x, cs.SessionAttached) for x in client.replies) for client in clients]
        staying = [c for c, gone, was in zip(clients, taken, attached, strict=True) if was and not gone]
        assert len(staying) == 1, (taken, attached, [client.replies for client in clients])
        staying[0].subscribe(f"t{number}")
        assert confirmed(staying[0].publish("m", topic=f"t{number}")) == [1]
        assert staying[0].bodies() == ["m"]
        for client in clients:
            if client is not staying[0]:
                client.lose()
        assert confirmed(staying[0].publish("n", topic=f"t{number}")) == [2]
        assert staying[0].bodies() == ["n"]


@pytest.mark.parametrize("stands_still", [True, False])
def test_who_comes_while_nobody_leads_its_session_waits_for_whoever_does(
    formed: TestedCluster, stands_still: bool
) -> None:
    """Its node or another; also if it was said already, to a leader that was never heard of again."""
    durable_at(formed, "n1", "c").subscribe("t")
    leader = leader_of_client(formed, "c")
    homes = [name for name in NAMES if name != leader]
    if stands_still:
        for name in homes:
            formed.wire.cut(leader, name)
    else:
        formed.kill(leader)
        formed.run(0.05)
    known, new = [client_at(formed, name, id) for name, id in zip(homes, "cd", strict=True)]
    for client in (known, new):
        attach = cs.AttachSession(client.client_id, False, DAY_S, 10)
        client.session.submit([attach, cs.Subscribe([cs.SubscriptionSpec(client.client_id, 1)], 0)])
    formed.run(3)
    for client in (known, new):
        assert not is_asked_to_come_again(client)
        attached, subscribed = client.replies[2:]
        assert isinstance(attached, cs.SessionAttached)
        assert attached.present == (client is known)
        assert isinstance(subscribed, cs.Subscribed)
        client.publish("m", topic=client.client_id)
        assert client.bodies() == ["m"]


# ---- queues


@pytest.mark.parametrize("durable", [True, False])
def test_clients_consume_from_a_queue_that_is_led_anywhere(cluster: TestedCluster, durable: bool) -> None:
    amqp = cluster.nodes["n1"].session()
    for number, name in enumerate(NAMES * 2):
        queue = f"q{number}"
        cluster.ask(amqp, declare(queue), publish("1", "2", "3", key=queue))
        client = attached_at(cluster, name, queue, expiry_s=DAY_S if durable else 0, receive_max=2)
        client.subscribe(f"$queue/{queue}")
        sent = client.take_sent()
        assert [body for _, body in sent] == ["1", "2"]
        client.acknowledge(ids_of(sent)[0])
        assert client.bodies() == ["3"]
        client.lose()
        got = delivered(cluster.ask(amqp, consume(queue, tag=queue)))
        assert got == [("2", True), ("3", True)]


def test_what_a_client_holds_of_a_queue_stays_with_it_when_the_queues_leader_is_lost(cluster: TestedCluster) -> None:
    amqp = cluster.nodes["n1"].session()
    cluster.ask(amqp, declare("q"), publish("1", "2", "3"))
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    name = elsewhere(cluster, leader.name)
    client = attached_at(cluster, name, "c", receive_max=2)
    client.subscribe("$queue/q")
    sent = client.take_sent()
    assert [body for _, body in sent] == ["1", "2"]
    cluster.kill(leader.name)
    cluster.run(5)
    assert client.bodies() == [], "what it holds is not handed out again"
    client.acknowledge(*ids_of(sent))
    assert client.bodies() == ["3"]
    other = cluster.nodes[name].session()
    assert delivered(cluster.ask(other, consume("q"))) == []
    passive = c.DeclareQueue(CHANNEL, QueueSpec(QueueName("q")), passive=True)
    assert cluster.ask(other, passive) == [r.QueueDeclared(CHANNEL, QueueName("q"), 0, 2)]


# ---- retained


def test_what_is_retained_from_any_node_is_sent_to_subscribers_at_any_node(cluster: TestedCluster) -> None:
    for name in NAMES:
        attached_at(cluster, name, f"p{name}").publish(f"old {name}", topic=f"r/{name}", retain=True)
        attached_at(cluster, name, f"p{name}").publish(f"new {name}", topic=f"r/{name}", retain=True)
    for name in NAMES:
        for durable in (True, False):
            client = attached_at(cluster, name, f"s{name}{durable}", expiry_s=DAY_S if durable else 0)
            client.subscribe("r/#")
            assert sorted(client.bodies()) == [f"new {name}" for name in NAMES]


def test_what_is_retained_is_so_after_a_failover(cluster: TestedCluster) -> None:
    attached_at(cluster, "n1", "p").publish(*[f"m{n}" for n in range(3)], topic="r/1", retain=True)
    vhost = next(iter(cluster.nodes["n1"].core.back.topology.vhosts()))
    leader = cluster.leader_of(cluster.nodes["n1"].core.back.topology.retained_shard(vhost))
    assert leader is not None
    cluster.kill(leader.name)
    cluster.run(5)
    for name in cluster.nodes:
        client = attached_at(cluster, name, f"s{name}")
        client.subscribe("r/#")
        assert client.bodies() == ["m2"]
        client.publish("", topic="r/1", retain=True)
        client.publish("m2", topic="r/1", retain=True)


def test_many_retained_messages_come_by_pages_also_from_elsewhere(cluster: TestedCluster) -> None:
    publisher = attached_at(cluster, "n1", "p")
    for begin in range(0, 2500, 500):
        for number in range(begin, begin + 500):
            messages = published(f"m{number}", topic=f"r/{number}", retain=True)
            publisher.session.submit([c.Publish(cs.NO_CHANNEL, messages)])
        publisher.run()
    for name in NAMES:
        client = attached_at(cluster, name, f"s{name}", receive_max=5000)
        client.subscribe("r/#", qos=0)
        cluster.run(1)
        assert sorted(client.bodies()) == sorted(f"m{number}" for number in range(2500))


@pytest.mark.parametrize("knows", [False, True], ids=["at once", "when the node knew"])
def test_what_a_client_left_at_a_node_that_was_cut_off_does_not_follow_what_it_published_since(
    formed: TestedCluster, knows: bool
) -> None:
    """It was not acknowledged: such a client publishes it again itself, before anything else ([MQTT-4.6.0-1])."""
    here, there = "n2", "n3"
    client = durable_at(formed, here, "c")
    client.publish("first", topic="r/1", retain=True)
    for name in (there, elsewhere(formed, here, there)):
        formed.wire.cut(here, name)
    if knows:
        formed.run(2)
    old = published("old", topic="r/1", retain=True)
    other = published("zero", topic="r/2", qos=0, retain=True)
    client.session.submit([c.Publish(cs.NO_CHANNEL, old, 2), c.Publish(cs.NO_CHANNEL, other)])
    formed.run(3)
    assert not confirmed(client.session.take_replies())
    client.lose()
    again = comes_again(formed, there, "c")
    assert confirmed(again.publish("new", topic="r/1", retain=True)) == [1]
    formed.wire.heal()
    formed.run(5)
    for name in NAMES:
        watcher = attached_at(formed, name, f"w{name}")
        watcher.subscribe("r/#")
        # At QoS 0 nobody does, and it is for the node to bring it or not.
        assert sorted(watcher.bodies()) == (["new"] if knows else ["new", "zero"])


# ---- shared subscriptions


@pytest.mark.parametrize("qos", [0, 1])
def test_members_at_several_nodes_share(cluster: TestedCluster, qos: int) -> None:
    members = [attached_at(cluster, name, f"clean {name}") for name in NAMES]
    members += [durable_at(cluster, name, f"durable {name}", receive_max=100) for name in NAMES]
    for member in members:
        member.subscribe("t", qos=qos, share="g")
    for name in NAMES:
        publisher = attached_at(cluster, name, f"p{name}")
        publisher.publish(*[f"{name} {number}" for number in range(60)], qos=qos)
    cluster.run(0.2)
    shares = [member.bodies() for member in members]
    everything = sorted(f"{name} {number}" for name in NAMES for number in range(60))
    assert sorted(body for share in shares for body in share) == everything
    assert all(len(share) == 30 for share in shares), [len(share) for share in shares]


def test_a_member_whose_client_is_away_gets_none_while_another_is_there(cluster: TestedCluster) -> None:
    members = [durable_at(cluster, name, f"d{name}") for name in NAMES]
    for member in members:
        member.subscribe("t", share="g")
    for member in members[1:]:
        member.lose()
    for name in NAMES:
        attached_at(cluster, name, f"p{name}").publish("1", "2", "3")
    assert len(members[0].bodies()) == 9


# ---- leaders change


def test_clients_come_again_when_the_leader_is_lost_and_find_everything(cluster: TestedCluster) -> None:
    clients = {name: durable_at(cluster, name, f"c{name}") for name in NAMES}
    for client in clients.values():
        client.subscribe("t", qos=2)
    lost = leader_of_client(cluster, "cn1")
    publisher_at = elsewhere(cluster, lost)
    publisher = attached_at(cluster, publisher_at, "p")
    assert confirmed(publisher.publish("1", "2", "3")) == [1, 2, 3]
    sent = {name: client.take_sent() for name, client in clients.items()}
    for name, client in clients.items():
        client.acknowledge(ids_of(sent[name])[0], kind=PUBREC)
    moving = [name for name in NAMES if leader_of_client(cluster, f"c{name}") == lost]
    assert moving
    cluster.kill(lost)
    cluster.run(5)
    for name in moving:
        if name != lost:
            assert is_asked_to_come_again(clients[name])
    for name in NAMES:
        if name == lost or name in moving:
            at = name if name in cluster.nodes else publisher_at
            again = comes_again(cluster, at, f"c{name}")
            due = [x.packet_ids.to_list() for x in again.replies if isinstance(x, cs.ReleaseDue)]
            assert due == [[ids_of(sent[name])[0]]]
            assert again.take_sent() == sent[name][1:]
    publisher.publish("4")


def test_what_is_published_once_is_so_when_leaders_change(formed: TestedCluster) -> None:
    cluster = formed
    watcher = durable_at(cluster, "n1", "w")
    watcher.subscribe("t", qos=2)
    publisher = durable_at(cluster, "n2", "p")
    taken: list[str] = []
    for number in range(4):
        body = f"m{number}"
        taken.append(body)
        leader = leader_of_client(cluster, "p")
        publisher.session.submit([cs.PublishOnce(published(body, qos=2), PacketIds.of([5]), number + 1)])
        cluster.run(0.005 * number)
        cluster.kill(leader)
        cluster.run(4)
        publisher = comes_again(cluster, next(iter(cluster.nodes)), "p")
        publisher.publish_once(body, 5)
        released = publisher.ask(cs.Release(PacketIds.of([5])))
        assert [x.packet_ids.to_list() for x in released if isinstance(x, cs.Released)] == [[5]]
        cluster.start(leader)
        cluster.run(4)
    watcher = comes_again(cluster, "n1", "w")
    cluster.run(1)
    assert watcher.bodies() == taken


def test_a_leader_that_was_cut_off_publishes_nothing_twice(cluster: TestedCluster) -> None:
    """What it had taken in and could not commit is not said again by it when it is back."""
    publisher = durable_at(cluster, "n1", "p")
    leader = leader_of_client(cluster, "p")
    publisher.lose()
    watcher = durable_at(cluster, elsewhere(cluster, leader), "w")
    watcher.subscribe("t", qos=2)
    publisher = comes_again(cluster, leader, "p")
    others = [name for name in NAMES if name != leader]
    for other in others:
        cluster.wire.cut(leader, other)
        cluster.wire.cut(other, leader)
    publisher.session.submit([cs.PublishOnce(published("m", qos=2), PacketIds.of([5]), 1)])
    cluster.run(6)
    assert not confirmed(publisher.session.take_replies())
    again = comes_again(cluster, others[0], "p")
    assert confirmed(again.publish_once("m", 5)) == [1]
    cluster.wire.heal()
    for other in others:
        cluster.wire.reset(leader, other)
        cluster.wire.reset(other, leader)
    cluster.run(6)
    for name in others:
        assert cluster.nodes[name].core.back.clients is not None
    seen = watcher.bodies()
    if is_asked_to_come_again(watcher):
        seen = comes_again(cluster, others[0], "w").bodies()
    assert seen == ["m"]


# ---- time


def test_a_session_expires_and_is_gone_everywhere(cluster: TestedCluster) -> None:
    durable_at(cluster, "n1", "keeps")
    for name in NAMES:
        client = attached_at(cluster, name, f"c{name}", clean=False, expiry_s=2)
        client.subscribe("t")
        client.lose()
        assert client_at(cluster, elsewhere(cluster, name), f"c{name}").attach(clean=False, expiry_s=2)
    for name in NAMES:
        for session in list(cluster.nodes[name].core.sessions.values()):
            cluster.nodes[name].core.close_session(session)
    cluster.run(3)
    for name in NAMES:
        assert not client_at(cluster, name, f"c{name}").attach(clean=False, expiry_s=2)
    assert client_at(cluster, "n2", "keeps").attach(clean=False, expiry_s=2)


def test_a_client_comes_again_when_its_leader_did_not_hear_its_node_for_a_while(cluster: TestedCluster) -> None:
    """The leader ended the client's session there, and its node noticed nothing."""
    durable_at(cluster, "n1", "c").detach()
    leader = leader_of_client(cluster, "c")
    front = elsewhere(cluster, leader)
    client = comes_again(cluster, front, "c")
    client.subscribe("t", qos=1)
    cluster.wire.cut(front, leader)
    cluster.run(SUSPICION_S + 0.05)
    assert front not in {info.node_name for info in cluster.nodes[leader].cluster.up.values()}
    assert leader in {info.node_name for info in cluster.nodes[front].cluster.up.values()}
    cluster.wire.heal()
    cluster.run(1.0)
    assert is_asked_to_come_again(client)
    client.lose()
    client = comes_again(cluster, front, "c")
    attached_at(cluster, leader, "p").publish("m", qos=1)
    cluster.run(0.5)
    assert client.bodies() == ["m"]
