"""Brokers with a mistake built in: each is caught by the checker that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from broker.core import client_states as states
from broker.core import exactly_once
from broker.core.channel import Channel
from broker.core.client_session import ClientSession
from broker.core.committing import Transaction
from broker.core.queue import ACCEPTED, REJECTED, Queue
from broker.core.session import HANDLERS, Session
from broker.core.transaction_states import Committed, TransactionCommand, TransactionStates
from broker.core.waiter import Waiter
from broker.model import commands as c
from broker.model import replies as r
from kernel import Route
from kernel.journal import Journal
from tests.simulation.ledger import Broken
from tests.simulation.node import Node
from tests.simulation.simulation import Simulation

SEED_COUNT_MAX = 100


def caught(*invariants: str, **plan: Any) -> bool:
    """Some seed breaks one of the invariants; other things may go wrong as well on the way there."""
    for seed in range(1, SEED_COUNT_MAX + 1):
        try:
            Simulation(seed, **plan).run()
        except Broken as broken:
            if broken.invariant in invariants:
                return True
        except Exception:
            continue
    return False


class HastyJournal:
    """Says that everything submitted is on disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def submitted(self) -> int:
        return self._journal.submitted

    @property
    def synced(self) -> int:
        return self._journal.submitted

    @property
    def state(self) -> tuple[str, str]:
        return self._journal.state

    @property
    def pressure(self) -> str | None:
        return self._journal.pressure


@pytest.mark.slow
def test_confirming_before_the_sync_loses_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "syncs_of", staticmethod(HastyJournal))
    monkeypatch.setattr(Node, "check_replay", lambda node: None)  # which would notice even sooner
    # All in memory: what isn't on disk yet can't be read back, which would end the broker first.
    # Crashes are rare enough for a node to serve in between: about one seed in seven loses something then.
    assert caught("I10", crashes=0.002, cache_size=64 << 20, disk_speed=0.1)


@pytest.mark.slow
def test_a_settle_that_is_forgotten_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ack now and then is taken and never logged; the goodbye says that it was."""
    settle: Callable[..., Any] = Session.end_deliveries
    count = 0

    def forget(session: Session, channel: Channel, settled: Any, outcome: c.Outcome) -> None:
        nonlocal count
        count += 1
        if outcome is c.Outcome.ACCEPTED and count % 7 == 0:
            outcome = c.Outcome.REQUEUED
        settle(session, channel, settled, outcome)

    monkeypatch.setattr(Session, "end_deliveries", forget)
    assert caught("I16")


@pytest.mark.slow
def test_a_dead_letter_that_is_dropped_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop(queue: Queue, first: int, last: int, outcome: int) -> None:
        queue.kernel.settle(queue.id, first, last, REJECTED)

    monkeypatch.setattr(Queue, "_end", drop)
    assert caught("I10")


@pytest.mark.slow
def test_publishes_in_the_wrong_order_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other run waits for the one after it."""
    publish = HANDLERS[c.Publish]
    waiting: dict[Session, tuple[Channel, c.Publish]] = {}

    def swap(session: Session, channel: Channel, command: c.Publish) -> None:
        before = waiting.pop(session, None)
        if before is None:
            waiting[session] = (channel, command)
            return
        publish(session, channel, command)
        publish(session, *before)

    monkeypatch.setitem(HANDLERS, c.Publish, swap)
    assert caught("I14")


@pytest.mark.slow
def test_pubrec_before_the_message_is_safe_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The AMQP queue misses it (I10), or a subscriber (M2)."""

    def confirm(front: Session, channel: Channel, client: ClientSession, number: int, tags: Any) -> None:
        channel.confirm([tags])
        front.owe(channel)

    monkeypatch.setattr(exactly_once, "_owe", confirm)
    assert caught("I10", "M2", mqtt=True)


def forget(monkeypatch: pytest.MonkeyPatch, kind: type[states.ClientCommand]) -> None:
    """As if such commands were not logged: nothing is left of them after a crash."""
    apply = states.ClientStates.apply

    def apply_others(self: states.ClientStates, command: states.ClientCommand, time_ms: int) -> None:
        if not isinstance(command, kind):
            apply(self, command, time_ms)

    monkeypatch.setattr(states.ClientStates, "apply", apply_others)


@pytest.mark.slow
def test_an_id_that_is_not_logged_as_taken_is_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The AMQP queue gets it twice (I15), or a subscriber (M1)."""
    forget(monkeypatch, states.TakenIn)
    assert caught("I15", "M1", mqtt=True)


@pytest.mark.slow
def test_a_release_that_is_not_logged_loses_the_next_message_with_that_id(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, states.Released)
    assert caught("I10", "M2", mqtt=True)


@pytest.mark.slow
def test_a_pubrec_that_is_not_logged_is_never_released(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, states.Received)
    assert caught("M5", mqtt=True)


@pytest.mark.slow
def test_what_was_sent_and_is_forgotten_with_the_connection_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget_sent(client: ClientSession) -> list[tuple[int, int, int]]:
        sent, foreign = client.inflight.take_sent()
        for first, last in sent:
            client.shard.kernel.settle(client.row.queue_id, first, last, ACCEPTED)
        return foreign

    monkeypatch.setattr(ClientSession, "come_back", forget_sent)
    assert caught("M2", mqtt=True)


@pytest.mark.slow
def test_a_resent_message_with_another_packet_id_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is published anew instead of coming back."""

    def publish_again(client: ClientSession) -> list[tuple[int, int, int]]:
        kernel = client.shard.kernel
        sent, foreign = client.inflight.take_sent()
        for first, last in sent:
            for sequence in range(first, last + 1):
                kernel.give_back(client.row.queue_id, sequence, sequence)
            taken = kernel.take(client.row.queue_id, last - first + 1, 1 << 20)
            if taken is not None:
                deliveries, ranges, _, _ = taken
                route = Route([(client.row.queue_id, None, None, 0, None)])
                messages = deliveries.messages()
                kernel.publish(messages, [route] * len(messages.keys()))
                for range_ in ranges:
                    kernel.settle(client.row.queue_id, *range_, ACCEPTED)
        return foreign

    monkeypatch.setattr(ClientSession, "come_back", publish_again)
    assert caught("M4", mqtt=True)


# ---- transactions


@pytest.mark.slow
def test_a_transaction_that_is_only_its_parts_is_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published and settled one by one, each in its shard, and done once the messages are in: a fall between leaves
    a coin twice."""

    def commit(self: Transaction) -> None:
        front, channel, back = self._front, self._channel, self._back
        assert self._messages is not None
        for settled_channel, unsettled in self._unsettled.items():
            settled_channel.unsettled = unsettled
        spread, turns = self._take_in(self._messages)
        left = len(spread)

        def applied() -> None:
            nonlocal left
            left -= 1
            if not left:
                front.go_on(channel, lambda: front.say(r.Done(channel.number)))

        channel.waiting = True
        for shard, routes in spread:
            number, _ = shard.kernel.publish(self._messages, routes, turns)
            shard.when_applied(number, Waiter(applied))
        for ended in self._ended:
            back.settle(ended.queue_id, ended.first, ended.last, ended.outcome)
            front.give_credit(ended.channel, ended.consumer, ended.last - ended.first + 1)

    monkeypatch.setattr(Transaction, "commit", commit)
    assert caught("T3", "T4", transactions=True)


@pytest.mark.slow
def test_a_transaction_s_settlements_elsewhere_that_are_not_logged_are_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = TransactionStates.apply

    def forget(self: TransactionStates, command: TransactionCommand) -> None:
        if not isinstance(command, Committed):
            apply(self, command)

    monkeypatch.setattr(TransactionStates, "apply", forget)
    assert caught("T3", transactions=True)
