"""The rig's ledger sees what it is there to see."""

from __future__ import annotations

import pytest

from broker.demo.cluster.witness import Life, body_of
from tests.rig.ledger import Ledger

PLACE = "q"


class Clock:
    """Stands still."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(clock)


def confirmed(ledger: Ledger) -> int:
    id = ledger.publish(PLACE, "publisher")
    ledger.confirm(id)
    return id


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_sent_twice_by_qos_1_may_be_two_messages(ledger: Ledger, qos: int) -> None:
    ledger.exactly_once = [PLACE] if qos == 2 else []
    id = ledger.publish(PLACE, "publisher")
    ledger.resend(id)
    for _ in range(2):
        ledger.deliver(Life("c", "n"), PLACE, body_of(id), False)
    assert (ledger.doubled_count, ledger.again_count) == ((0, 1) if qos == 1 else (1, 0))


def test_what_is_confirmed_is_awaited_until_it_is_seen(ledger: Ledger) -> None:
    first, second = confirmed(ledger), confirmed(ledger)
    ledger.lose(ledger.publish(PLACE, "publisher"))
    assert ledger.awaited() == [first, second]
    ledger.deliver(Life("c", "n"), PLACE, body_of(second), False)
    assert (ledger.awaited(), ledger.broken) == ([first], [])


def test_a_message_of_unknown_outcome_may_be_seen_once(ledger: Ledger) -> None:
    id = ledger.publish(PLACE, "publisher")
    ledger.lose(id)
    life = Life("c", "n")
    ledger.deliver(life, PLACE, body_of(id), False)
    assert not ledger.broken
    ledger.deliver(Life("d", "n"), PLACE, body_of(id), False)
    assert "without a flag" in ledger.broken[0]


def test_what_nobody_sent_is_from_nowhere(ledger: Ledger) -> None:
    id = confirmed(ledger)
    life = Life("c", "n")
    for place, body in (("other", body_of(id)), (PLACE, body_of(id + 1)), (PLACE, b"what")):
        assert ledger.deliver(life, place, body, False) is None
    assert (ledger.strange_count, len(ledger.broken)) == (3, 3)


def test_a_confirm_comes_once(ledger: Ledger) -> None:
    ledger.confirm(confirmed(ledger))
    assert "answered twice" in ledger.broken[0]


@pytest.mark.parametrize("what", ["settled for good", "held", "exactly once"])
def test_a_flag_excuses_no_second_message(ledger: Ledger, what: str) -> None:
    id, life = confirmed(ledger), Life("c", "n")
    if what == "exactly once":
        ledger.exactly_once = {PLACE}
    ledger.deliver(life, PLACE, body_of(id), False)
    if what == "settled for good":
        ledger.settle(life, (id,))
        ledger.settled(life)
    ledger.deliver(life, PLACE, body_of(id), True)
    assert (ledger.doubled_count, ledger.again_count, len(ledger.broken)) == (1, 0, 1)


def test_what_was_held_by_a_client_that_is_gone_comes_again_with_a_flag(ledger: Ledger) -> None:
    id, life = confirmed(ledger), Life("c", "n")
    ledger.deliver(life, PLACE, body_of(id), False)
    ledger.end(life)
    ledger.deliver(Life("d", "n"), PLACE, body_of(id), True)
    assert (ledger.again_count, ledger.odd_count, ledger.broken) == (1, 0, [])


@pytest.mark.parametrize("disturbed", [False, True])
def test_it_is_odd_if_an_undisturbed_node_forgets_a_settle(ledger: Ledger, disturbed: bool) -> None:
    id, life = confirmed(ledger), Life("c", "n")
    ledger.deliver(life, PLACE, body_of(id), False)
    ledger.settle(life, (id,))
    if disturbed:
        ledger.disturb("n")
    ledger.deliver(Life("d", "m"), PLACE, body_of(id), True)
    assert (ledger.odd_count, ledger.broken) == (int(not disturbed), [])


def test_a_watch_takes_the_first_confirm_of_each_place_of_what_was_sent_after_it(ledger: Ledger, clock: Clock) -> None:
    before = ledger.publish(PLACE, "publisher")
    clock.now += 1.0
    watch = ledger.watch_from_now()
    clock.now += 1.0
    after = ledger.publish(PLACE, "publisher")
    for id in (before, after, ledger.publish(PLACE, "publisher")):
        clock.now += 0.5
        ledger.confirm(id)
    assert watch.first_s == {PLACE: 2.0}
