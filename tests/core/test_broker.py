"""The core's promises, said in commands and replies."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from broker.core.session import Session
from broker.core.topology_commands import CreateVhost, PutPermission, PutUser
from broker.core.users import hash_password
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ConsumerTag, DeliveryTag, ExchangeName, QueueName, RoutingKey, UserName, VhostName
from broker.model.refusals import Refusal
from broker.model.topology import BindingSpec, ExchangeSpec, QueueSpec
from tests.core.node import CHANNEL, Node, confirmed, consume, declare, delivered, publish, run_of


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture(params=[True, False], ids=["durable", "transient"])
def durable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def settle(first: int, last: int, outcome: c.Outcome = c.Outcome.ACCEPTED) -> c.Settle:
    return c.Settle(CHANNEL, DeliveryTag(first), DeliveryTag(last), outcome)


def test_what_is_published_is_delivered_in_order(node: Node, durable: bool) -> None:
    session = node.session()
    assert node.ask(session, declare(durable=durable)) == [r.QueueDeclared(CHANNEL, QueueName("q"), 0, 0)]
    replies = node.ask(session, publish("a", "b", tag=1), publish("c", tag=3), consume())
    assert delivered(replies) == [("a", False), ("b", False), ("c", False)]
    assert confirmed(replies) == [1, 2, 3]


def test_a_confirm_waits_for_the_sync(node: Node) -> None:
    session = node.session()
    node.ask(session, declare())
    session.submit([publish("a", tag=1)])
    node.step()
    assert session.take_replies() == []
    node.sync()
    node.step()
    assert confirmed(session.take_replies()) == [1]


def test_credit_bounds_what_is_unsettled_and_comes_back(node: Node, durable: bool) -> None:
    session = node.session()
    node.ask(session, declare(durable=durable))
    replies = node.ask(session, publish(*"abcdef"), consume(credit=2))
    assert delivered(replies) == [("a", False), ("b", False)]
    assert delivered(node.ask(session, settle(1, 1))) == [("c", False)]
    assert delivered(node.ask(session, settle(0, 3))) == [("d", False), ("e", False)]


def test_consumers_take_turns(node: Node, durable: bool) -> None:
    session = node.session()
    node.ask(session, declare(durable=durable), consume(tag="x"), consume(tag="y"))
    replies = node.ask(session, *(publish(str(i)) for i in range(10)))
    by_tag: dict[str, int] = {}
    for reply in replies:
        assert isinstance(reply, r.Deliver)
        by_tag[reply.consumer_tag] = by_tag.get(reply.consumer_tag, 0) + reply.deliveries.count
    assert by_tag == {"x": 5, "y": 5}


def test_a_requeued_message_comes_first_and_is_flagged(node: Node, durable: bool) -> None:
    session = node.session()
    node.ask(session, declare(durable=durable))
    node.ask(session, publish(*"abc"), consume(credit=2))
    replies = node.ask(session, settle(1, 1, c.Outcome.REQUEUED))
    assert delivered(replies) == [("a", True)]


def test_an_unknown_tag_is_refused_and_changes_nothing(node: Node) -> None:
    session = node.session()
    node.ask(session, declare(), publish("a"), consume())
    refused = r.Refuse(CHANNEL, Refusal.PRECONDITION_FAILED, "unknown delivery tag 5")
    assert node.ask(session, settle(5, 5)) == [refused]
    assert node.ask(session, settle(1, 1)) == []
    assert node.ask(session, settle(1, 1)) != []


def test_what_was_confirmed_survives_a_crash_in_order_and_settled_stays_settled(tmp_path: Path) -> None:
    node = Node(tmp_path)
    session = node.session()
    node.ask(session, declare())
    assert confirmed(node.ask(session, publish(*"abcd", tag=1), consume(credit=2))) == [1, 2, 3, 4]
    assert node.ask(session, settle(1, 1), c.CloseChannel(CHANNEL)) == [r.ChannelClosed(CHANNEL)]
    node = node.crashed()
    session = node.session()
    replies = node.ask(session, consume())
    assert [body for body, _ in delivered(replies)] == ["b", "c", "d"]
    assert delivered(replies)[0] == ("b", True)


def test_bindings_and_exchanges_survive_a_crash(tmp_path: Path) -> None:
    node = Node(tmp_path)
    session = node.session()
    exchange = ExchangeSpec(ExchangeName("x"), "topic", durable=True)
    binding = BindingSpec(exchange.name, "q", RoutingKey("a.*"))
    replies = node.ask(session, declare(), c.DeclareExchange(CHANNEL, exchange), c.Bind(CHANNEL, binding))
    assert replies[1:] == [r.Done(CHANNEL), r.Done(CHANNEL)]
    node = node.crashed()
    session = node.session()
    node.ask(session, publish("no", exchange="x", key="b"), publish("yes", exchange="x", key="a.b"))
    assert delivered(node.ask(session, consume())) == [("yes", False)]


def test_an_unroutable_mandatory_message_comes_back_before_its_confirm(node: Node) -> None:
    session = node.session()
    replies = node.ask(session, publish("a", key="nowhere", tag=1, mandatory=True))
    assert [type(reply) for reply in replies] == [r.Return, r.Confirm]
    assert isinstance(replies[0], r.Return)
    assert replies[0].detail == "", "the adapter says NO_ROUTE, and behind it what there is to add"


def test_an_unknown_exchange_is_refused_after_what_came_before_it(node: Node) -> None:
    session = node.session()
    node.ask(session, declare())
    rows = run_of("a").rows() + run_of("b", exchange="nope").rows() + run_of("c").rows()
    from kernel import MessageRun

    replies = node.ask(session, c.Publish(CHANNEL, MessageRun.of(CHANNEL, rows), 1))
    assert replies[0] == r.Refuse(CHANNEL, Refusal.NOT_FOUND, "no exchange 'nope' in vhost '/'", 2)
    assert confirmed(replies) == [1]


def test_dead_letters_move_once_with_their_history(node: Node, durable: bool) -> None:
    session = node.session()
    node.ask(
        session, declare("dead"), declare(durable=durable, x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
    )
    node.ask(session, publish(*"ab"), consume())
    node.ask(session, settle(1, 1, c.Outcome.REJECTED), settle(2, 2))
    replies = node.ask(session, consume("dead", tag="d"))
    assert delivered(replies) == [("a", False)]
    assert isinstance(replies[1], r.Deliver)
    assert b"x-death" in replies[1].deliveries.properties(0)


def test_dead_letters_wait_while_the_node_may_not_know_where_they_go(node: Node, durable: bool) -> None:
    session = node.session()
    spec = declare(durable=durable, x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
    node.ask(session, spec, publish("a"), consume())
    node.broker.isolate(True)
    node.ask(session, settle(1, 1, c.Outcome.REJECTED))
    node.ask(session, declare("dead"))
    node.broker.isolate(False)
    assert delivered(node.ask(session, consume("dead", tag="d"))) == [("a", False)]


def test_publishers_wait_while_the_node_may_not_know_where_their_messages_go(node: Node, durable: bool) -> None:
    session = node.session()
    node.broker.isolate(True)
    assert node.ask(session, publish("a", tag=1), c.CommitTransaction(CHANNEL, [publish("b").messages], [])) == []
    assert node.ask(node.session(), declare(durable=durable)) != [], "others go on"
    node.broker.isolate(False)
    assert confirmed(node.ask(session)) == [1]
    assert delivered(node.ask(session, consume())) == [("a", False), ("b", False)]


def test_a_vhost_that_is_not_known_waits_while_the_node_may_not_know_of_it(node: Node) -> None:
    node.broker.isolate(True)
    late, wrong = (node.broker.open_session() for _ in range(2))
    for session, vhost in ((late, "late"), (wrong, "wrong")):
        login = c.Authenticate(UserName("guest"), b"guest", True)
        assert node.ask(session, login, c.OpenVhost(VhostName(vhost))) == [r.Authenticated()]
    commands = CreateVhost(VhostName("late")), PutPermission(UserName("guest"), VhostName("late"), ".*", ".*", ".*")
    for command in commands:
        node.broker.back.submit(command)
    node.ask(node.session())
    node.broker.isolate(False)
    assert node.ask(late) == [r.VhostOpened()]
    (refused,) = node.ask(wrong)
    assert isinstance(refused, r.Refuse)
    assert refused.refusal is Refusal.VHOST_NOT_FOUND


BY_TOPOLOGY: dict[str, tuple[c.Command, type[r.Reply]]] = {
    "consume": (consume("new"), r.ConsumerStarted),
    "get": (c.Get(CHANNEL, QueueName("new"), True), r.GotNothing),
    "passive declare": (c.DeclareQueue(CHANNEL, QueueSpec(QueueName("new")), passive=True), r.QueueDeclared),
    "purge": (c.PurgeQueue(CHANNEL, QueueName("new")), r.QueuePurged),
    "delete": (c.DeleteQueue(CHANNEL, QueueName("new")), r.QueueDeleted),
    "passive exchange": (
        c.DeclareExchange(CHANNEL, ExchangeSpec(ExchangeName("new"), "fanout"), passive=True),
        r.Done,
    ),
}
"""What is told by what the topology has, and how."""


@pytest.mark.parametrize("asked", BY_TOPOLOGY)
def test_nobody_is_told_that_there_is_none_while_the_node_may_not_know_of_it(node: Node, asked: str) -> None:
    session, other = node.session(), node.session()
    command, reply = BY_TOPOLOGY[asked]
    node.broker.isolate(True)
    assert node.ask(session, command) == []
    # As others have it, whom this node does not hear.
    node.ask(other, declare("new"), c.DeclareExchange(CHANNEL, ExchangeSpec(ExchangeName("new"), "fanout")))
    assert node.ask(session) == []
    node.broker.isolate(False)
    assert [type(each) for each in node.ask(session)] == [reply]
    if asked == "delete":
        passive = c.DeclareQueue(CHANNEL, QueueSpec(QueueName("new")), passive=True)
        assert isinstance(node.ask(other, passive)[0], r.Refuse), "it was deleted, and not taken for gone"


def test_who_leaves_while_it_waits_for_the_node_to_route_is_remembered_no_longer(node: Node) -> None:
    node.broker.isolate(True)
    before = gc_count(Session)
    for _ in range(20):
        session = node.session()
        assert node.ask(session, consume("new")) == []
        node.broker.close_session(session)
        del session
    assert gc_count(Session) - before <= 1
    node.broker.isolate(False)


def gc_count(kind: type) -> int:
    """How many there are."""
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


def test_rights_that_are_not_known_wait_while_the_node_may_not_know_of_them(node: Node) -> None:
    back = node.broker.back
    for command in (PutUser(UserName("u"), hash_password(b"p", bytes(16)), ()), CreateVhost(VhostName("v"))):
        back.submit(command)
    node.ask(node.session())
    none = PutPermission(UserName("u"), VhostName("/"), "", "", "")
    back.submit(none)
    node.ask(node.session())
    session = node.broker.open_session()
    login = c.Authenticate(UserName("u"), b"p", True)
    replies = node.ask(session, login, c.OpenVhost(VhostName("/")), c.OpenChannel(CHANNEL))
    assert replies == [r.Authenticated(), r.VhostOpened()]
    node.broker.isolate(True)
    assert node.ask(session, declare("q")) == []
    back.submit(PutPermission(UserName("u"), VhostName("/"), ".*", ".*", ".*"))
    assert node.ask(session) == []
    node.broker.isolate(False)
    assert isinstance(node.ask(session)[0], r.QueueDeclared)


def test_expired_messages_are_dead_lettered_and_the_others_stay(node: Node, durable: bool) -> None:
    session = node.session()
    node.ask(session, declare("dead"))
    node.ask(
        session,
        declare(durable=durable, x_message_ttl=500, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"),
    )
    node.ask(session, publish("a"))
    node.wait(400)
    node.ask(session, publish("b"))
    node.wait(150)
    assert delivered(node.ask(session, consume("dead", tag="d"))) == [("a", False)]
    assert delivered(node.ask(session, consume())) == [("b", False)]


def test_a_bounded_queue_drops_its_head_or_rejects(node: Node, durable: bool) -> None:
    session = node.session()
    node.ask(session, declare("head", durable, x_max_length=2))
    node.ask(session, declare("tail", durable, x_max_length=2, x_overflow="reject-publish"))
    node.ask(session, publish(*"abc", key="head"))
    replies = node.ask(session, publish(*"abc", key="tail", tag=1))
    assert confirmed(replies) == [1, 2]
    assert [reply.tags for reply in replies if isinstance(reply, r.Reject)] == [[(3, 3)]]
    assert delivered(node.ask(session, consume("head", "h"))) == [("b", False), ("c", False)]
    assert delivered(node.ask(session, consume("tail", "t"))) == [("a", False), ("b", False)]


def test_get_purge_and_delete_say_their_counts(node: Node, durable: bool) -> None:
    session = node.session()
    node.ask(session, declare(durable=durable), publish(*"abc"))
    got = node.ask(session, c.Get(CHANNEL, QueueName("q"), no_ack=True))
    assert delivered(got) == [("a", False)]
    assert isinstance(got[0], r.Got)
    assert got[0].message_count == 2
    assert node.ask(session, c.PurgeQueue(CHANNEL, QueueName("q"))) == [r.QueuePurged(CHANNEL, 2)]
    assert node.ask(session, c.Get(CHANNEL, QueueName("q"))) == [r.GotNothing(CHANNEL)]
    node.ask(session, publish("d"))
    full = c.DeleteQueue(CHANNEL, QueueName("q"), if_empty=True)
    assert node.ask(session, full) == [
        r.Refuse(CHANNEL, Refusal.PRECONDITION_FAILED, "queue 'q' in vhost '/' not empty")
    ]
    assert node.ask(session, c.DeleteQueue(CHANNEL, QueueName("q"))) == [r.QueueDeleted(CHANNEL, 1)]
    assert node.ask(session, declare(durable=durable)) == [r.QueueDeclared(CHANNEL, QueueName("q"), 0, 0)]


def test_what_a_channel_published_is_there_when_it_looks(node: Node, durable: bool) -> None:
    """Also without confirms, and before the log has it: a channel's words reach a queue in order."""
    session = node.session()
    node.ask(session, declare(durable=durable))
    assert delivered(node.ask(session, publish("a"), c.Get(CHANNEL, QueueName("q"), no_ack=True))) == [("a", False)]
    again = node.ask(session, publish(*"bc"), declare(durable=durable))
    assert again == [r.QueueDeclared(CHANNEL, QueueName("q"), 2, 0)]
    passive = c.DeclareQueue(CHANNEL, QueueSpec(QueueName("q")), passive=True)
    assert node.ask(session, publish("d"), passive) == [r.QueueDeclared(CHANNEL, QueueName("q"), 3, 0)]
    purge, delete = c.PurgeQueue(CHANNEL, QueueName("q")), c.DeleteQueue(CHANNEL, QueueName("q"), if_empty=True)
    assert node.ask(session, publish("e"), purge) == [r.QueuePurged(CHANNEL, 4)]
    refused = node.ask(session, publish("f"), delete)
    assert refused == [r.Refuse(CHANNEL, Refusal.PRECONDITION_FAILED, "queue 'q' in vhost '/' not empty")]


def test_what_a_channel_requeued_is_what_it_gets_next(node: Node, durable: bool) -> None:
    session = node.session()
    get = c.Get(CHANNEL, QueueName("q"))
    node.ask(session, declare(durable=durable), publish(*"ab"))
    assert delivered(node.ask(session, get)) == [("a", False)]
    requeue = c.Settle(CHANNEL, DeliveryTag(1), DeliveryTag(1), c.Outcome.REQUEUED)
    assert delivered(node.ask(session, requeue, get, get)) == [("a", True), ("b", False)]


def test_a_channel_that_ends_while_it_looks_is_told_nothing(node: Node, durable: bool) -> None:
    session = node.session()
    node.ask(session, declare(durable=durable))
    look = c.Get(CHANNEL, QueueName("q"))
    assert node.ask(session, publish("a"), look, c.CloseSession()) == [r.SessionClosed()]


def test_who_waits_to_get_from_a_deleted_queue_is_told(node: Node, durable: bool) -> None:
    getting, deleting = node.session(), node.session()
    node.ask(getting, declare(durable=durable))
    name = QueueName("q")
    getting.submit([publish("a"), c.Get(CHANNEL, name), c.Get(CHANNEL, name), declare("other")])
    replies = node.ask(deleting, c.DeleteQueue(CHANNEL, name))
    assert isinstance(replies[0], r.QueueDeleted)
    assert isinstance(getting.take_replies()[-1], r.Refuse)
    assert isinstance(node.ask(getting, declare("other"))[-1], r.QueueDeclared)


def test_what_is_held_behind_a_refused_command_comes_to_nothing(node: Node) -> None:
    session = node.session()
    node.ask(session, declare(durable=False), declare("other"))
    refused = node.ask(session, declare("new"), declare(), publish("a", key="other", tag=1), c.CloseChannel(CHANNEL))
    assert [type(reply) for reply in refused] == [r.QueueDeclared, r.Refuse, r.ChannelClosed]
    replies = node.ask(session, c.OpenChannel(CHANNEL), declare("other"), publish("b", key="other", tag=1))
    assert isinstance(replies[0], r.QueueDeclared)
    assert replies[0].message_count == 0
    assert confirmed(replies) == [1]


def test_what_a_client_said_before_it_hung_up_counts_though_it_had_to_wait(node: Node) -> None:
    leaving = node.session()
    exclusive = c.DeclareQueue(CHANNEL, QueueSpec(QueueName("own"), exclusive=True))
    said: list[c.Command] = [
        declare("new"),
        publish("a", key="new"),
        declare("newer"),
        exclusive,
        publish("b", key="newer"),
    ]
    leaving.submit([*said, c.CloseSession()])
    node.broker.close_session(leaving)
    node.run()
    asking = node.session()
    declared = node.ask(asking, declare("new"), declare("newer"))
    assert [reply.message_count for reply in declared if isinstance(reply, r.QueueDeclared)] == [1, 1]
    assert isinstance(node.ask(asking, c.DeclareQueue(CHANNEL, QueueSpec(QueueName("own")), passive=True))[0], r.Refuse)


def test_a_transaction_that_waited_counts_though_its_client_is_gone(node: Node) -> None:
    leaving = node.session()
    leaving.submit([declare("new"), c.CommitTransaction(CHANNEL, [publish("a", "b", key="new").messages], [])])
    node.broker.close_session(leaving)
    node.run()
    (declared,) = node.ask(node.session(), declare("new"))
    assert isinstance(declared, r.QueueDeclared)
    assert declared.message_count == 2


def test_what_is_behind_a_refused_command_comes_to_nothing_though_its_client_is_gone(node: Node) -> None:
    leaving = node.session()
    node.ask(node.session(), declare("there"))
    leaving.submit([declare("first"), declare("there", durable=False), publish("a", key="there")])
    node.broker.close_session(leaving)
    node.run()
    (reply,) = node.ask(node.session(), declare("there"))
    assert isinstance(reply, r.QueueDeclared)
    assert reply.message_count == 0


def test_the_refusal_of_a_publish_without_a_tag_says_so(node: Node) -> None:
    (reply,) = node.ask(node.session(), publish("a", exchange="nope"))
    assert isinstance(reply, r.Refuse)
    assert reply.tag == 0


def test_a_lost_connection_gives_its_messages_back_and_takes_its_own_queues_along(node: Node) -> None:
    first, second = node.session(), node.session()
    own = c.DeclareQueue(CHANNEL, QueueSpec(QueueName("own"), exclusive=True))
    node.ask(first, declare(), own, publish(*"ab"), consume())
    node.ask(second, consume())
    locked = node.ask(second, consume("own"))
    assert isinstance(locked[0], r.Refuse)
    assert locked[0].refusal is Refusal.RESOURCE_LOCKED
    node.broker.close_session(first)
    node.run()
    assert delivered(second.take_replies()) == [("a", True), ("b", True)]
    missing = node.ask(second, consume("own"))
    assert isinstance(missing[0], r.Refuse)
    assert missing[0].refusal is Refusal.NOT_FOUND


def test_an_auto_delete_queue_goes_with_its_last_consumer(node: Node) -> None:
    session = node.session()
    node.ask(session, c.DeclareQueue(CHANNEL, QueueSpec(QueueName("q"), auto_delete=True)), consume())
    cancelled = r.ConsumerCancelled(CHANNEL, ConsumerTag("t"))
    assert node.ask(session, c.Cancel(CHANNEL, ConsumerTag("t"))) == [cancelled]
    assert isinstance(node.ask(session, consume())[0], r.Refuse)


def test_a_deleted_queue_tells_its_consumers(node: Node) -> None:
    session = node.session()
    node.ask(session, declare(), consume())
    replies = node.ask(session, c.DeleteQueue(CHANNEL, QueueName("q")))
    assert replies == [r.ConsumerLost(CHANNEL, ConsumerTag("t")), r.QueueDeleted(CHANNEL, 0)]


def test_commands_behind_one_that_waits_keep_their_order(node: Node) -> None:
    session = node.session()
    session.submit([declare(), publish("a", tag=1), consume(), c.Get(CHANNEL, QueueName("q"))])
    node.run()
    names = [type(reply).__name__ for reply in session.take_replies()]
    assert names[:4] == ["QueueDeclared", "ConsumerStarted", "Deliver", "GotNothing"]


def test_room_that_is_used_up_stops_deliveries_until_output_drains(node: Node, durable: bool) -> None:
    session = node.session()
    node.ask(session, declare(durable=durable), consume())
    body = "x" * 300_000
    replies = node.ask(session, *(publish(body) for _ in range(8)))
    held = len(delivered(replies))
    assert 3 <= held <= 5
    session.receive_drained()
    node.run()
    assert len(delivered(session.take_replies())) == held or held + len(delivered([])) == 8
    session.receive_drained()
    node.run()


def test_a_timer_is_due_by_the_walls_time_however_long_ago_the_last_step_was(node: Node) -> None:
    """Rounds may have gone by that made no step; by the time of the last one it would always be as far away."""
    session = node.session()
    node.ask(session, declare("q", x_expires=5000))
    first = node.broker.next_deadline(node.now, node.wall_ms)
    assert first is not None
    assert 4 < first - node.now <= 5
    assert node.broker.next_deadline(node.now + 60, node.wall_ms + 60_000) == node.now + 60
