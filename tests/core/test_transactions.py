"""Transactions: all of one or nothing of it, wherever its messages and its settlements lie, and whenever it falls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from broker.core import committing
from broker.core.session import Session
from broker.core.topology_commands import PutPermission
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import Channel, DeliveryTag, QueueName, UserName, VhostName
from broker.model.refusals import Refusal
from broker.model.topology import QueueSpec
from kernel import FLAG_MANDATORY, MessageRun
from tests.core.node import CHANNEL, Node, confirmed, consume, declare, delivered, publish, run_of

OTHER = Channel(2)
REJECTING = {"x-max-length": 3, "x-overflow": "reject-publish"}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def settle(
    first: int, last: int | None = None, outcome: c.Outcome = c.Outcome.ACCEPTED, on: Channel = CHANNEL
) -> c.Settle:
    return c.Settle(on, DeliveryTag(first), DeliveryTag(first if last is None else last), outcome)


def commit(publishes: Sequence[MessageRun] = (), settlements: Sequence[c.Settle] = ()) -> c.CommitTransaction:
    return c.CommitTransaction(CHANNEL, publishes, settlements)


def place(node: Node, name: str) -> int:
    """The shard of a queue."""
    return next(shard.id for shard, queue in node.broker.back.queues.values() if queue.name == name)


def contents(node: Node, *names: str) -> dict[str, list[str]]:
    """What the queues hold, as somebody sees who takes it all."""
    session = node.session()
    held = {}
    for name in names:
        replies = node.ask(session, consume(name, tag=name))
        held[name] = [body for body, _ in delivered(replies)]
    node.broker.close_session(session)
    node.run()
    return held


def counts(node: Node, name: str) -> tuple[int, int, int]:
    shard, queue = next(found for found in node.broker.back.queues.values() if found[1].name == name)
    return shard.kernel.counts(queue.id)


def working(node: Node, *queues: str) -> Session:
    """A session that consumes from ``queues``, of which each holds three messages of its name."""
    session = node.session()
    for name in ("a", "b", "c", "d"):
        node.ask(session, declare(name))
    for name in queues:
        node.ask(session, publish(*(f"{name}{number}" for number in range(3)), key=name), consume(name, tag=name))
    return session


def said(replies: Sequence[r.Reply]) -> list[type]:
    return [type(reply) for reply in replies]


def refusal(replies: Sequence[r.Reply]) -> Refusal:
    assert said(replies) == [r.Refuse]
    refused = replies[0]
    assert isinstance(refused, r.Refuse)
    return refused.refusal


# ---- committing


def test_what_is_published_arrives_and_what_is_settled_is_gone(node: Node) -> None:
    session = working(node, "a", "b")
    replies = node.ask(
        session, commit([run_of("x", key="c"), run_of("y", key="d"), run_of("z", key="c")], [settle(1), settle(4, 5)])
    )
    assert replies == [r.Done(CHANNEL)]
    assert node.broker.back.transactions.pending_count == 0
    node.broker.close_session(session)
    assert contents(node, "a", "b", "c", "d") == {"a": ["a1", "a2"], "b": ["b2"], "c": ["x", "z"], "d": ["y"]}


def test_queues_lie_in_both_shards(node: Node) -> None:
    """Or the other tests here would not show what they are for."""
    working(node)
    assert {place(node, name) for name in "abcd"} == {1, 2}
    assert place(node, "a") != place(node, "b")
    assert place(node, "a") == place(node, "c")


def test_done_is_said_once_it_is_on_disk(node: Node) -> None:
    session = working(node, "a")
    session.submit([commit([run_of("x", key="b"), run_of("y", key="c")], [settle(1)])])
    node.step()
    node.step()
    assert session.take_replies() == []
    node.sync()
    node.step()
    assert session.take_replies() == [r.Done(CHANNEL)]


def test_an_empty_transaction_is_done(node: Node) -> None:
    assert node.ask(node.session(), commit()) == [r.Done(CHANNEL)]


def test_settlements_alone_and_cumulative_ones_of_several_channels(node: Node) -> None:
    session = working(node, "a")
    session.submit([c.OpenChannel(OTHER), c.Consume(OTHER, consume().consumer_tag, QueueName("b"))])
    node.ask(session, publish("b0", "b1", "b2", key="b"))
    replies = node.ask(session, commit((), [settle(0, 2), settle(3), settle(0, 2, on=OTHER)]))
    assert replies == [r.Done(CHANNEL)]
    node.broker.close_session(session)
    assert contents(node, "a", "b") == {"a": [], "b": ["b2"]}


def test_credit_comes_back_with_the_commit(node: Node) -> None:
    session = working(node)
    node.ask(session, publish("1", "2", "3", key="a"))
    assert delivered(node.ask(session, consume("a", credit=1))) == [("1", False)]
    replies = node.ask(session, commit([run_of("x", key="b")], [settle(1)]))
    assert said(replies) == [r.Done, r.Deliver]
    assert delivered(replies) == [("2", False)]


def test_what_is_requeued_in_a_transaction_comes_again(node: Node) -> None:
    session = working(node, "a")
    replies = node.ask(session, commit([run_of("x", key="b")], [settle(2, outcome=c.Outcome.REQUEUED)]))
    assert delivered(replies) == [("a1", True)]


def test_one_publisher_s_order_holds_through_a_transaction_and_beyond(node: Node) -> None:
    session = working(node)
    for round_ in range(30):
        session.submit([publish(f"{round_} before", key="a")])
        session.submit([commit([run_of(f"{round_} {n}", key=key) for n in range(3) for key in ("a", "b")])])
        session.submit([publish(f"{round_} after", key="a"), publish(f"{round_} after", key="b")])
        if round_ % 3 == 0:
            node.step()
        if round_ % 5 == 0:
            node.sync()
    for _ in range(20):
        node.run()
    assert session.take_replies() == [r.Done(CHANNEL)] * 30
    words = ["before", "0", "1", "2", "after"]
    held = contents(node, "a", "b")
    assert held["a"] == [f"{round_} {word}" for round_ in range(30) for word in words]
    assert held["b"] == [f"{round_} {word}" for round_ in range(30) for word in words[1:]]


def test_a_later_publish_waits_for_a_transaction_that_is_moved_in_parts(node: Node) -> None:
    session = working(node)
    session.submit([commit([run_of(*map(str, range(3000)), key="a"), run_of("last", key="b")])])
    session.submit([publish("after", key="b", tag=1), publish("after", key="a", tag=2)])
    replies: list[r.Reply] = []
    for _ in range(5):
        node.run()
        replies += session.take_replies()
    assert sorted(confirmed(replies)) == [1, 2]
    held = contents(node, "a", "b")
    assert held == {"a": [*map(str, range(3000)), "after"], "b": ["last", "after"]}


def test_a_session_is_not_read_while_a_transaction_is_held(node: Node) -> None:
    session = working(node)
    full = []
    for end in (commit([run_of("y", key="a")]), c.CloseChannel(CHANNEL)):
        session.submit([commit([run_of("x", key="a")]), commit([run_of("x", key="a")]), end])
        full.append(session.full)
        node.run()
        full.append(session.full)
    assert full == [True, False] * 2
    assert counts(node, "a")[0] == 5


def test_a_refusal_drops_what_is_held_behind_it_and_the_session_is_read_again(node: Node) -> None:
    session = working(node)
    session.submit([commit([run_of("x", key="a")]), commit((), [settle(9)]), commit([run_of("y", key="a")])])
    node.run()
    assert said(session.take_replies()) == [r.Done, r.Refuse]
    assert not session.full
    assert contents(node, "a") == {"a": ["x"]}


# ---- kinds of content


def test_volatile_content_needs_no_log(node: Node) -> None:
    session = node.session()
    node.ask(session, declare("v", durable=False), declare("w", durable=False))
    node.ask(session, publish("v0", "v1", key="v"), consume("v"))
    session.submit([commit([run_of("x", key="w")], [settle(1)])])
    assert session.take_replies() == [r.Done(CHANNEL)]
    node.broker.close_session(session)
    assert contents(node, "v", "w") == {"v": ["v1"], "w": ["x"]}


def test_volatile_and_logged_queues_in_one_transaction(node: Node) -> None:
    session = working(node, "a")
    node.ask(session, declare("v", durable=False), publish("v0", key="v"), consume("v", "v"))
    assert node.ask(session, commit([run_of("x", key="v")], [settle(1), settle(4)]))[0] == r.Done(CHANNEL)
    node.broker.close_session(session)
    assert contents(node, "a", "v") == {"a": ["a1", "a2"], "v": ["x"]}


def test_transient_messages_are_part_of_it(node: Node) -> None:
    session = working(node, "a")
    transient = MessageRun.of(CHANNEL, [(b"", b"b", b"\x00\x00", b"t", 0, None)])
    assert node.ask(session, commit([transient, run_of("x", key="c")], [settle(1)])) == [r.Done(CHANNEL)]
    crashed = node.crashed()
    assert contents(crashed, "a", "b", "c") == {"a": ["a1", "a2"], "b": ["t"], "c": ["x"]}


def test_mandatory_messages_come_back_before_done(node: Node) -> None:
    session = working(node)
    runs = [run_of("x", key="nowhere", mandatory=True), run_of("y", key="nobody"), run_of("z", key="b")]
    replies = node.ask(session, commit(runs))
    assert said(replies) == [r.Return, r.Done]
    returned = replies[0]
    assert isinstance(returned, r.Return)
    assert returned.messages.flags & FLAG_MANDATORY
    assert [returned.messages.body(index) for index in range(returned.messages.count)] == [b"x"]
    assert contents(node, "b") == {"b": ["z"]}


@pytest.mark.parametrize("source", ["a", "b"])
def test_what_a_transaction_rejects_dies_once(node: Node, source: str) -> None:
    """In the entry's shard and in the other one; and again when the broker falls right after the commit."""
    session = working(node)
    node.ask(session, declare("dying", x_dead_letter_exchange="", x_dead_letter_routing_key="d"))
    node.ask(session, publish("1", "2", "3", key="dying"), consume("dying"))
    rejected = settle(2, outcome=c.Outcome.REJECTED)
    assert node.ask(session, commit([run_of("x", key=source)], [settle(1), rejected])) == [r.Done(CHANNEL)]
    assert node.broker.back.transactions.pending_count == 0
    node.broker.close_session(session)
    assert contents(node, source, "dying", "d") == {source: ["x"], "dying": ["3"], "d": ["2"]}


def test_a_queue_that_is_deleted_meanwhile_is_no_obstacle(node: Node) -> None:
    session, other = working(node, "a", "b"), node.session()
    session.submit([commit([run_of("x", key="c")], [settle(1), settle(4)])])
    other.submit([c.DeleteQueue(CHANNEL, QueueName("a")), c.DeleteQueue(CHANNEL, QueueName("b"))])
    node.run()
    node.run()
    assert r.Done(CHANNEL) in session.take_replies()
    assert node.broker.back.transactions.pending_count == 0
    assert contents(node, "c") == {"c": ["x"]}


def test_a_connection_that_is_lost_after_its_commit_changes_nothing(node: Node) -> None:
    session = working(node, "a", "b")
    session.submit([commit([run_of("x", key="c"), run_of("y", key="d")], [settle(1), settle(4)])])
    node.broker.close_session(session)
    node.run()
    held = contents(node, "a", "b", "c", "d")
    assert held == {"a": ["a1", "a2"], "b": ["b1", "b2"], "c": ["x"], "d": ["y"]}


# ---- refusals: nothing has happened


def nothing_of(node: Node, session: Session, command: c.CommitTransaction) -> Refusal:
    """Why it is refused; the queues are as they were, and so are the tags."""
    before = [counts(node, name) for name in "abcd"]
    refused = refusal(node.ask(session, command))
    assert [counts(node, name) for name in "abcd"] == before
    assert node.ask(session, settle(1)) == []
    return refused


def test_an_unknown_tag_is_refused(node: Node) -> None:
    for wrong in ([settle(1, 2), settle(2)], [settle(7)], [settle(0, 9)], [settle(1, on=Channel(9))]):
        session = working(node, "a")
        assert nothing_of(node, session, commit([run_of("x", key="b")], wrong)) is Refusal.PRECONDITION_FAILED
        node.broker.close_session(session)
        node.ask(node.session(), c.PurgeQueue(CHANNEL, QueueName("a")))


def test_an_exchange_that_is_not_there_is_refused(node: Node) -> None:
    session = working(node, "a")
    runs = [run_of("x", key="b"), run_of("y", key="b", exchange="none")]
    assert nothing_of(node, session, commit(runs, [settle(1)])) is Refusal.NOT_FOUND


def test_an_exchange_without_the_right_is_refused(node: Node) -> None:
    session = working(node, "a")
    permissions = PutPermission(UserName("guest"), VhostName("/"), ".*", "^amq\\.default$", ".*")
    node.broker.back.submit(permissions)
    node.run()
    runs = [run_of("x", key="b"), run_of("y", key="b", exchange="amq.direct")]
    assert nothing_of(node, session, commit(runs, [settle(1)])) is Refusal.ACCESS_REFUSED


def test_a_full_queue_refuses_the_whole_transaction(node: Node) -> None:
    session = working(node, "a")
    node.ask(session, c.DeclareQueue(CHANNEL, QueueSpec(QueueName("full"), durable=True, arguments=REJECTING)))
    node.ask(session, publish("f", key="full"))
    runs = [run_of("x", key="full"), run_of("y", key="b"), run_of("z", key="full")]
    assert node.ask(session, commit(runs)) == [r.Done(CHANNEL)]
    assert nothing_of(node, session, commit([run_of("v", key="c"), run_of("w", key="full")], [settle(1)])) is (
        Refusal.PRECONDITION_FAILED
    )
    assert contents(node, "full") == {"full": ["f", "x", "z"]}


def test_a_transaction_that_is_too_large_is_refused(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    session = working(node, "a")
    monkeypatch.setattr(committing, "TRANSACTION_SIZE_MAX", 1000)
    large = run_of("x" * 2000, key="b")
    assert nothing_of(node, session, commit([large, run_of("y", key="b")], [settle(1)])) is Refusal.RESOURCE_ERROR
    assert node.ask(session, commit([large])) == [r.Done(CHANNEL)]
    monkeypatch.setattr(committing, "TRANSACTION_ACTION_COUNT_MAX", 3)
    assert refusal(node.ask(session, commit([run_of("1", "2", key="b")], [settle(2), settle(3)]))) is (
        Refusal.RESOURCE_ERROR
    )
    assert node.ask(session, commit([run_of("1", "2", key="b")], [settle(2)])) == [r.Done(CHANNEL)]


# ---- falling


A, B = ["a0", "a1", "a2"], ["b0", "b1", "b2"]
WITHOUT = {"a": A, "b": B, "c": [], "d": []}
SCENES: dict[str, tuple[c.CommitTransaction, dict[str, list[str]]]] = {
    # A transaction, and what the queues hold with it.
    "one shard": (
        commit([run_of("x", key="c")], [settle(1, 2)]),
        {"a": ["a2"], "b": B, "c": ["x"], "d": []},
    ),
    "settled in the other shard": (
        commit([run_of("x", key="c")], [settle(4, 5)]),
        {"a": A, "b": ["b2"], "c": ["x"], "d": []},
    ),
    "messages in both": (
        commit([run_of("x", key="c"), run_of("y", key="d"), run_of("z", key="c")], [settle(1), settle(6)]),
        {"a": A[1:], "b": B[:2], "c": ["x", "z"], "d": ["y"]},
    ),
    "settlements in both": (
        commit((), [settle(2), settle(5)]),
        {"a": ["a0", "a2"], "b": ["b0", "b2"], "c": [], "d": []},
    ),
    "what was settled is published to where it was": (
        commit([run_of("x", key="b"), run_of("y", key="a")], [settle(1, 3), settle(4, 6)]),
        {"a": ["y"], "b": ["x"], "c": [], "d": []},
    ),
}
STEP_COUNT = 14


def walk(node: Node, step_count: int) -> int:
    """So many steps, each of a round or of a write; how many shards' worth of it are on disk."""
    for number in range(step_count):
        if number % 2:
            node.sync()
        else:
            node.now += 0.003
            node.step()
    return node.journal.synced


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("step_count", range(STEP_COUNT))
def test_all_or_nothing_wherever_it_falls(tmp_path: Path, scene: str, step_count: int) -> None:
    """And all, if Done was said."""
    node = Node(tmp_path)
    session = working(node, "a", "b")
    command, whole = SCENES[scene]
    session.submit([command])
    walk(node, step_count)
    done = r.Done(CHANNEL) in session.take_replies()
    assert done or step_count < STEP_COUNT - 1
    fallen = node.crashed()
    held = contents(fallen, "a", "b", "c", "d")
    assert held in ((whole,) if done else (WITHOUT, whole))
    assert fallen.broker.back.transactions.pending_count == 0
    node = fallen.crashed()
    assert contents(node, "a", "b", "c", "d") == held


@pytest.mark.parametrize("first_count", range(0, STEP_COUNT, 2))
@pytest.mark.parametrize("second_count", range(8))
def test_it_may_fall_again_while_it_goes_on(tmp_path: Path, first_count: int, second_count: int) -> None:
    node = Node(tmp_path)
    session = working(node, "a", "b")
    command, whole = SCENES["messages in both"]
    session.submit([command])
    walk(node, first_count)
    done = r.Done(CHANNEL) in session.take_replies()
    node.journal.abandon()
    node = Node(tmp_path, 2, settled=False)
    walk(node, second_count)
    node = node.crashed()
    assert contents(node, "a", "b", "c", "d") in ((whole,) if done else (WITHOUT, whole))


def test_a_checkpoint_keeps_what_is_still_to_be_settled(tmp_path: Path) -> None:
    node = Node(tmp_path, file_size=64 << 10)
    session = working(node, "a", "b")
    command, whole = SCENES["settled in the other shard"]
    session.submit([command])
    node.step()
    node.sync()
    node.step()
    assert r.Done(CHANNEL) in session.take_replies()
    assert node.broker.back.transactions.pending_count == 1
    assert node.cycle() is not None
    fallen = node.crashed()
    assert contents(fallen, "a", "b", "c", "d") == whole


def test_rejected_messages_die_also_after_a_fall(tmp_path: Path) -> None:
    for step_count in range(STEP_COUNT):
        directory = tmp_path / str(step_count)
        directory.mkdir()
        node = Node(directory)
        session = working(node)
        node.ask(session, declare("dying", x_dead_letter_exchange="", x_dead_letter_routing_key="d"))
        node.ask(session, publish("1", "2", "3", key="dying"), consume("dying"))
        session.submit([commit([run_of("x", key="b")], [settle(1), settle(2, outcome=c.Outcome.REJECTED)])])
        walk(node, step_count)
        done = r.Done(CHANNEL) in session.take_replies()
        fallen = node.crashed()
        whole = {"dying": ["3"], "d": ["2"], "b": ["x"]}
        without = {"dying": ["1", "2", "3"], "d": [], "b": []}
        assert contents(fallen, "dying", "d", "b") in ((whole,) if done else (without, whole))
        fallen.journal.abandon()


def test_nobody_is_delivered_what_a_transaction_settled_before_the_fall(tmp_path: Path) -> None:
    """Consumers may come before the settlements are applied."""
    node = Node(tmp_path)
    session = working(node, "a", "b")
    session.submit([commit([run_of("x", key="c")], [settle(2), settle(5)])])
    node.step()
    node.sync()
    node.step()
    assert r.Done(CHANNEL) in session.take_replies()
    node.journal.abandon()
    node = Node(tmp_path, 2, settled=False)
    assert node.broker.back.transactions.pending_count == 1
    assert [counts(node, name)[:2] for name in "ab"] == [(2, 0), (2, 1)]
    session = node.session()
    session.submit([consume("a", "a"), consume("b", "b")])
    node.step()
    for read in node.broker.take_wanted_reads():
        read()
    node.step()
    assert node.broker.back.transactions.pending_count == 1
    assert delivered(session.take_replies()) == [("a0", True), ("a2", True), ("b0", True), ("b2", True)]
    node.run()
    assert node.broker.back.transactions.pending_count == 0
