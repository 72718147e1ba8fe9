"""Three whole cores and the net between them: any of them serves anybody, and none is missed."""

from __future__ import annotations

from typing import cast

import pytest

from broker.cluster.frame_kinds import Channel
from broker.cluster.peer import SUSPICION_S
from broker.core import forward_words as w
from broker.core.replicated_shard import ReplicatedShard
from broker.core.session import ROOM
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import DeliveryTag
from broker.model.refusals import Refusal
from kernel import FLAG_PERSISTENT, MessageRun
from tests.cluster.nodes import CHANNEL, STEP_S, ClusterNode, TestedCluster
from tests.core.node import confirmed, consume, declare, delivered, publish, run_of

ALL_SO_FAR = DeliveryTag(0)


def accept_all() -> c.Settle:
    return c.Settle(CHANNEL, ALL_SO_FAR, ALL_SO_FAR, c.Outcome.ACCEPTED)


def started() -> TestedCluster:
    cluster = TestedCluster(3, static=True)
    cluster.settle()
    return cluster


def test_any_node_declares_publishes_and_consumes_whoever_leads() -> None:
    cluster = started()
    for number, node in enumerate(cluster.nodes.values()):
        session = node.session()
        queue = f"q{number}"
        replies = cluster.ask(session, declare(queue), publish("a", "b", key=queue, tag=1))
        assert replies == [r.QueueDeclared(CHANNEL, queue, 0, 0), r.Confirm(CHANNEL, [(1, 2)])]  # type: ignore[arg-type]
    for node in cluster.nodes.values():
        session = node.session()
        got = cluster.ask(session, *(consume(f"q{number}", tag=f"t{number}", credit=1) for number in range(3)))
        assert sum(isinstance(reply, r.ConsumerStarted) for reply in got) == 3


def test_what_one_node_is_told_the_others_know_at_once() -> None:
    cluster = started()
    one, two, three = (node.session() for node in cluster.nodes.values())
    cluster.ask(one, declare("q"))
    for session in (two, three):
        assert cluster.ask(session, publish("m", tag=1)) == [r.Confirm(CHANNEL, [(1, 1)])]
    assert cluster.ask(one, c.Get(CHANNEL, "q", no_ack=True))[0].message_count == 1  # type: ignore[union-attr, arg-type]


def test_a_consumer_that_begins_while_its_connection_is_full_is_served_once_it_is_not() -> None:
    """Both queues are led elsewhere: what the one's consumer was given leaves no room for the other's."""
    cluster = started()
    cluster.ask(next(iter(cluster.nodes.values())).session(), declare("a"), declare("b"))
    leaders = [cluster.leader_of(cluster.shard_of(queue)) for queue in "ab"]
    session = next(node for node in cluster.nodes.values() if node not in leaders).session()
    size = "m" * (ROOM // 3)
    cluster.ask(session, publish(size, size, size, size, key="a", tag=1), publish("last", key="b", tag=5))
    first = cluster.ask(session, consume("a", tag="t"))
    assert len(delivered(first)) >= 3
    assert session.room <= 0
    assert delivered(cluster.ask(session, consume("b", tag="u"))) == []
    session.receive_drained()
    cluster.run(0.2)
    assert ("last", False) in delivered(session.take_replies())


def test_a_new_queue_is_led_where_it_is_declared_unless_it_is_to_be_balanced() -> None:
    cluster = started()
    leader = cluster.leader_of(1)
    assert leader is not None
    session = leader.session()
    led = {shard.id for shard in leader.core.back.logged if shard.leading}
    for number in range(4):
        cluster.ask(session, declare(f"q{number}"), declare(f"b{number}", x_queue_leader_locator="balanced"))
        assert cluster.shard_of(f"q{number}") in led
    assert {cluster.shard_of(f"b{number}") for number in range(4)} == {1, 2}


def test_a_queue_is_looked_at_purged_and_deleted_from_any_node() -> None:
    cluster = started()
    sessions = [node.session() for node in cluster.nodes.values()]
    cluster.ask(sessions[0], declare("q"), publish("a", "b", "c", tag=1))
    for session in sessions:
        passive = c.DeclareQueue(CHANNEL, declare("q").spec, passive=True)
        assert cluster.ask(session, passive) == [r.QueueDeclared(CHANNEL, "q", 3, 0)]  # type: ignore[arg-type]
        refused = cluster.ask(session, c.DeleteQueue(CHANNEL, "q", if_empty=True))  # type: ignore[arg-type]
        assert isinstance(refused[0], r.Refuse)
        assert refused[0].refusal is Refusal.PRECONDITION_FAILED
    assert cluster.ask(sessions[1], c.PurgeQueue(CHANNEL, "q")) == [r.QueuePurged(CHANNEL, 3)]  # type: ignore[arg-type]
    assert cluster.ask(sessions[2], c.DeleteQueue(CHANNEL, "q")) == [r.QueueDeleted(CHANNEL, 0)]  # type: ignore[arg-type]
    for session in sessions:
        missing = cluster.ask(session, c.Get(CHANNEL, "q"))  # type: ignore[arg-type]
        assert isinstance(missing[0], r.Refuse)


def test_a_queue_that_rejects_when_full_does_so_for_publishers_of_any_node() -> None:
    cluster = started()
    sessions = [node.session() for node in cluster.nodes.values()]
    cluster.ask(sessions[0], declare("q", x_max_length=2, x_overflow="reject-publish"))
    for number, session in enumerate(sessions):
        replies = cluster.ask(session, publish("m", tag=1))
        assert type(replies[0]) is (r.Reject if number == 2 else r.Confirm)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("persistent", [True, False])
def test_a_full_queue_rejects_what_comes_by_nodes_that_do_not_lead_it(durable: bool, persistent: bool) -> None:
    cluster = started()
    owner = next(iter(cluster.nodes.values()))
    cluster.ask(owner.session(), declare("q", durable, x_max_length=2, x_overflow="reject-publish"))
    leader = cluster.leader_of(cluster.shard_of("q")) if durable else owner
    assert leader is not None
    session = next(node for node in cluster.nodes.values() if node is not leader).session()
    session.submit([c.Publish(CHANNEL, run_of("m", persistent=persistent), tag) for tag in range(1, 5)])
    cluster.run(0.2)
    replies = session.take_replies()
    assert confirmed(replies) == [1, 2]
    assert [reply.tags for reply in replies if isinstance(reply, r.Reject)] == [[(3, 3), (4, 4)]]


def test_what_a_queue_elsewhere_rejects_of_a_run_for_several_shards_is_told_by_its_tags() -> None:
    cluster = started()
    cluster.ask(
        next(iter(cluster.nodes.values())).session(),
        declare("a", x_max_length=2, x_overflow="reject-publish"),
        declare("b"),
    )
    assert cluster.shard_of("a") != cluster.shard_of("b")
    leader = cluster.leader_of(cluster.shard_of("a"))
    session = next(node for node in cluster.nodes.values() if node is not leader).session()
    rows = [(b"", b"ab"[n % 2 : n % 2 + 1], b"\x10\x00\x02", b"m%d" % n, FLAG_PERSISTENT, None) for n in range(8)]
    replies = cluster.ask(session, c.Publish(CHANNEL, MessageRun.of(CHANNEL, rows), 1))
    assert [reply.tags for reply in replies if isinstance(reply, r.Reject)] == [[(5, 5), (7, 7)]]
    assert confirmed(replies) == [1, 2, 3, 4, 6, 8]
    got = cluster.ask(session, consume("a"), consume("b", tag="u"))
    assert sorted(body for body, _ in delivered(got)) == ["m0", "m1", "m2", "m3", "m5", "m7"]


def around_a_queue_that_rejects(cluster: TestedCluster) -> tuple[ClusterNode, ClusterNode]:
    """Who leads q, which takes two messages, and who doesn't."""
    cluster.ask(next(iter(cluster.nodes.values())).session(), declare("q", x_max_length=2, x_overflow="reject-publish"))
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    return leader, next(node for node in cluster.nodes.values() if node is not leader)


def test_what_a_lost_leader_may_have_rejected_is_not_confirmed() -> None:
    cluster = started()
    leader, front = around_a_queue_that_rejects(cluster)
    session = front.session()
    cluster.wire.cut(leader.name, front.name)
    session.submit([publish("m", tag=tag) for tag in range(1, 5)])
    cluster.run(0.1)
    cluster.kill(leader.name)
    cluster.wire.heal()
    cluster.run(4)
    replies = session.take_replies()
    assert 3 not in confirmed(replies)
    assert 4 not in confirmed(replies)
    tags = [tag for reply in replies if isinstance(reply, r.Reject) for tag in reply.tags]
    assert len(confirmed(replies)) + sum(last - first + 1 for first, last in tags) == 4


def test_what_was_rejected_while_a_leader_was_not_heard_is_not_confirmed_by_what_it_says_before_it_answers() -> None:
    cluster = started()
    leader, front = around_a_queue_that_rejects(cluster)
    session, peer = front.session(), cluster.peers[leader.name]
    cluster.wire.slow(leader.name, front.name, Channel.FORWARD, 0.5)
    session.submit([publish("m", tag=tag) for tag in range(1, 5)])
    cluster.run(0.1)
    shard, forwarding = front.core.back.shards[cluster.shard_of("q")], front.core.back.forwarding
    assert isinstance(shard, ReplicatedShard)
    assert forwarding is not None
    term, incarnation = leader.kernels[shard.id].term, forwarding.live[peer]
    forwarding.receive_peer_down(peer)
    forwarding.receive_peer_up(peer, incarnation)
    forwarding.receive(peer, w.Leading(shard.id, term))
    forwarding.receive(peer, w.Applied(shard.id, term, shard._window[-1].number, []))
    assert confirmed(session.take_replies()) == []
    cluster.run(3)
    replies = session.take_replies()
    assert not {3, 4} & set(confirmed(replies))


def test_a_leader_is_lost_and_nobody_sees_it() -> None:
    cluster = started()
    holders = {name: node.session() for name, node in cluster.nodes.items()}
    first = next(iter(holders.values()))
    cluster.ask(first, declare("q"), publish(*(f"m{n}" for n in range(9)), tag=1))
    for name, session in holders.items():
        got = cluster.ask(session, consume("q", tag=name, credit=2))
        assert len(delivered(got)) == 2
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    cluster.kill(leader.name)
    holders.pop(leader.name)
    publisher = next(iter(cluster.nodes.values())).session()
    publisher.submit([publish("after", tag=1)])
    cluster.run(1.5)
    assert confirmed(publisher.take_replies()) == [1]
    for session in holders.values():
        assert not delivered(session.take_replies()), "what is held is not handed out again"
    cluster.run(2.5)
    seen: list[tuple[str, bool]] = []
    for _ in range(6):
        for session in holders.values():
            seen += delivered(cluster.ask(session, accept_all()))
    assert len(seen) == len({body for body, _ in seen}) == 6, "the lost node's clients held two, three were ready"
    assert sum(redelivered for _, redelivered in seen) >= 2
    assert {type(reply) for reply in first.take_replies()} <= {r.Deliver}


def test_a_node_that_comes_back_at_another_address_is_found_there() -> None:
    cluster = TestedCluster(3)
    cluster.settle()
    cluster.kill("n3")
    cluster.run(1)
    cluster.start("n3", port=7001)
    cluster.run(2)
    for name in ("n1", "n2"):
        addresses = {row.name: row.address for row in cluster.nodes[name].core.back.topology.nodes()}
        assert addresses["n3"] == "n3:7001"
        assert names_up(cluster.nodes[name]) == {"n1", "n2", "n3"} - {name}
        assert any((who, address) == (name, "n3:7001") for _, who, address, _ in cluster.wire.dials)


def names_up(node: ClusterNode) -> set[str]:
    return {info.node_name for info in node.cluster.up.values()}


def test_who_leads_is_known_though_it_says_so_before_the_last_leader_knows_that_it_is_none() -> None:
    cluster = started()
    leader = cluster.leader_of(1)
    assert leader is not None
    heir = next(node for node in cluster.nodes.values() if node is not leader)
    for channel in (Channel.CONSENSUS, Channel.BULK):
        cluster.wire.slow(heir.name, leader.name, channel, 0.1)
    assert leader.kernels[1].transfer_leader(cluster.peers[heir.name])
    cluster.run(1)
    assert cluster.leader_of(1) is heir
    shard = leader.core.back.shards[1]
    assert isinstance(shard, ReplicatedShard)
    assert shard.reachable


def test_what_is_said_where_another_leads_by_now_goes_there_though_raft_has_not_said_so() -> None:
    cluster = started()
    cluster.ask(next(iter(cluster.nodes.values())).session(), declare("q"))
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    session = leader.session()
    kernel = leader.kernels[cluster.shard_of("q")]
    others = [node for node in cluster.nodes.values() if node is not leader]
    for node in others:
        for channel in (Channel.CONSENSUS, Channel.BULK):
            cluster.wire.slow(node.name, leader.name, channel, 1.0)
    assert kernel.transfer_leader(cluster.peers[others[0].name])
    session.submit([publish("m", tag=1)])
    cluster.run(4)
    assert confirmed(session.take_replies()) == [1]


def test_a_node_that_most_others_don_t_hear_routes_nothing_until_it_knows_what_they_know() -> None:
    cluster = TestedCluster(3)
    cluster.settle()
    lonely = cluster.nodes["n3"]

    def is_blocked() -> bool:
        return lonely.core.blocked

    session = lonely.session()
    cluster.ask(session, declare("q"))
    for other in ("n1", "n2"):
        cluster.wire.cut("n3", other)
    while all("n3" in names_up(cluster.nodes[name]) for name in ("n1", "n2")) and not is_blocked():
        cluster.run(0.005)
    assert is_blocked(), "before the others give it up"
    assert all("n3" in names_up(cluster.nodes[name]) for name in ("n1", "n2"))
    cluster.run(2)
    one = cluster.nodes["n1"].session()
    assert isinstance(cluster.ask(one, declare("new"), seconds=1)[0], r.QueueDeclared), "the others go on"
    cluster.wire.heal()
    cluster.run(5)
    assert not is_blocked()
    assert cluster.ask(session, publish("m", key="new", tag=1), seconds=1) == [r.Confirm(CHANNEL, [(1, 1)])]


@pytest.mark.parametrize("stood_still", [False, True])
def test_what_is_published_at_a_node_that_is_behind_goes_where_it_does_once_that_is_not(stood_still: bool) -> None:
    """A process that stood still finds what its clients said before it hears of the others, or of its own silence."""
    cluster = TestedCluster(3)
    cluster.settle()
    lonely = cluster.nodes["n3"]
    session = lonely.session()
    for other in ("n1", "n2"):
        cluster.wire.cut("n3", other)
    if stood_still:
        del cluster.nodes["n3"]
    cluster.run(3)
    one = cluster.nodes["n1"].session()
    assert isinstance(cluster.ask(one, declare("new"), seconds=1)[0], r.QueueDeclared), "the others go on"
    cluster.nodes["n3"] = lonely
    lonely.core.begin_round(cluster.wire.now)
    session.submit([publish("a", key="new", tag=1)])
    assert cluster.ask(session, publish("b", key="new", tag=2), seconds=0.5) == []
    cluster.wire.heal()
    assert confirmed(cluster.ask(session, seconds=5)) == [1, 2]
    assert delivered(cluster.ask(one, consume("new"), seconds=1)) == [("a", False), ("b", False)]


def unreachable(front: ClusterNode) -> list[int]:
    """Shards whose leader a node can't find."""
    shards = cast("list[ReplicatedShard]", front.core.back.shards[:3])
    return [shard.id for shard in shards if not shard.reachable]


def test_a_node_that_did_not_hear_a_leader_for_a_while_finds_it_again_though_that_noticed_nothing() -> None:
    cluster = started()
    leader = cluster.leader_of(1)
    assert leader is not None
    front = next(node for node in cluster.nodes.values() if node is not leader)
    session = front.session()
    cluster.ask(session, declare("q"), consume(credit=10))
    cluster.wire.cut(leader.name, front.name)
    cluster.run(SUSPICION_S + 0.05)
    assert leader.cluster.identity.peer not in front.cluster.up
    assert front.cluster.identity.peer in leader.cluster.up
    cluster.wire.heal()
    cluster.run(1.0)
    assert not unreachable(front)
    replies = cluster.ask(session, publish("a", tag=1), seconds=1.0)
    assert r.Confirm(CHANNEL, [(1, 1)]) in replies
    assert delivered(replies) == [("a", False)]


def test_a_node_is_told_of_leaders_that_took_it_for_up_before_it_did_so_with_them() -> None:
    cluster = started()
    leader = cluster.leader_of(1)
    assert leader is not None
    front = next(node for node in cluster.nodes.values() if node is not leader)
    for _ in range(20):  # the links' handshakes end in any order
        cluster.wire.reset(leader.name, front.name)
        cluster.run(0.5)
        assert not unreachable(front)


def test_who_lost_messages_while_nobody_heard_him_may_still_settle_them() -> None:
    cluster = started()
    cluster.ask(next(iter(cluster.nodes.values())).session(), declare("q"))
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    node = next(node for node in cluster.nodes.values() if node is not leader)
    holder, other = node.session(), leader.session()
    cluster.ask(holder, publish("a", "b", "c", tag=1), consume("q", tag="h", credit=3))
    info = leader.cluster.up[node.journal.peer]
    leader.cluster.peer_down(info)
    cluster.run(0.1)
    again = cluster.ask(other, consume("q", tag="o", credit=2))
    assert delivered(again) == [("a", True), ("b", True)]
    leader.cluster.peer_up(info)
    cluster.run(0.2)
    back = cluster.ask(holder, c.Settle(CHANNEL, ALL_SO_FAR, ALL_SO_FAR, c.Outcome.REQUEUED))
    assert delivered(back) == [("c", True)], "what another holds does not come back"
    cluster.ask(other, accept_all())
    cluster.ask(holder, accept_all())
    queue = next(row.queue_id for row in leader.core.back.topology.queues())
    assert leader.core.back.queues[queue][0].kernel.counts(queue) == (0, 0, 0)


def test_what_was_given_back_and_handed_out_anew_is_not_given_back_again_to_the_next_leader() -> None:
    cluster = started()
    cluster.ask(next(iter(cluster.nodes.values())).session(), declare("q"))
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    node = next(node for node in cluster.nodes.values() if node is not leader)
    holder = node.session()
    cluster.ask(holder, publish("a", "b", tag=1), consume("q", tag="h", credit=2))
    back = cluster.ask(holder, c.Settle(CHANNEL, ALL_SO_FAR, ALL_SO_FAR, c.Outcome.REQUEUED), seconds=0)
    while not back:
        back = cluster.ask(holder, seconds=STEP_S)
    assert delivered(back) == [("a", True), ("b", True)]
    window = node.core.back.shards[cluster.shard_of("q")]
    assert isinstance(window, ReplicatedShard)
    assert window.unsettled, "the give-back must not be applied yet"
    cluster.kill(leader.name)
    cluster.run(4)
    assert not delivered(holder.take_replies()), "it holds them"
    other = next(each for each in cluster.nodes.values() if each is not node).session()
    assert not delivered(cluster.ask(other, consume("q", tag="o", credit=2)))
    node.core.close_session(holder)
    assert len(delivered(cluster.ask(other))) == 2


@pytest.mark.parametrize(("number", "counts"), [(0, (1, 0, 0)), (1 << 40, (0, 1, 0))])
def test_what_is_settled_already_is_not_held_until_it_is(number: int, counts: tuple[int, int, int]) -> None:
    cluster = started()
    cluster.ask(next(iter(cluster.nodes.values())).session(), declare("q"), publish("m", tag=1))
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    queue = next(row.queue_id for row in leader.core.back.topology.queues())
    shard = leader.core.back.queues[queue][0]
    assert isinstance(shard, ReplicatedShard)
    forwarding = leader.core.back.forwarding
    assert forwarding is not None
    peer = next(iter(forwarding.live))
    forwarding.receive(peer, w.Attach(shard.id, shard.term, [], [], [(number, queue, 0, 0)]))
    assert shard.kernel.counts(queue) == counts


def test_who_goes_while_a_queue_s_leader_is_looked_for_consumes_nothing_of_the_next_one() -> None:
    cluster = started()
    cluster.ask(next(iter(cluster.nodes.values())).session(), declare("q"))
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    sessions = [(node, node.session()) for node in cluster.nodes.values() if node is not leader]
    cluster.kill(leader.name)
    for node, session in sessions:  # one of them leads next, the other does not
        session.submit([consume("q", tag="c", credit=1)])
        node.core.close_session(session)
    cluster.run(4)
    other = next(iter(cluster.nodes.values())).session()
    got = cluster.ask(other, publish("m", tag=1), consume("q", tag="c"))
    assert delivered(got) == [("m", False)]


@pytest.mark.parametrize("cut_s", [1.0, 2.0, 3.0])
def test_a_leader_that_was_heard_and_heard_nobody_is_followed_by_one(cut_s: float) -> None:
    cluster = started()
    leader = cluster.leader_of(0)
    assert leader is not None
    for other in [name for name in cluster.nodes if name != leader.name]:
        cluster.wire.cut(other, leader.name)
    cluster.run(cut_s)
    cluster.wire.heal()
    cluster.settle(8)


def test_what_two_sessions_of_a_new_leader_hold_comes_back_when_the_second_gives_it_back() -> None:
    cluster = started()
    cluster.ask(next(iter(cluster.nodes.values())).session(), declare("q"), publish("a", "b", tag=1))
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    queue = next(row.queue_id for row in leader.core.back.topology.queues())
    shard = leader.core.back.queues[queue][0]
    assert isinstance(shard, ReplicatedShard)
    shard.hold_own(queue, 0, 1)
    shard.hold_own(queue, 1, 1)
    shard.settle(queue, 1, 1, c.Outcome.REQUEUED)
    assert shard.kernel.counts(queue) == (0, 2, 0)
    shard.settle(queue, 0, 1, c.Outcome.REQUEUED)
    assert shard.kernel.counts(queue) == (2, 0, 0)
