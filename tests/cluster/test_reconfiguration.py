"""What a shard's leader does next, case by case; that it gets there is test_convergence's."""

from __future__ import annotations

import pytest

from broker.cluster.reconfiguration import (
    CATCH_UP_DISTANCE,
    ChangeConfiguration,
    Configuration,
    Group,
    Progress,
    TransferLeadership,
    Wait,
    next_step,
    waits_for,
)
from broker.model.names import PeerId

A, B, C, D, E = (PeerId(number) for number in range(1, 6))
ALL = frozenset({A, B, C, D, E})
LAST = 10_000


def group(
    *voters: PeerId,
    learners: tuple[PeerId, ...] = (),
    dead: tuple[PeerId, ...] = (),
    matched: int = LAST,
    behind: tuple[PeerId, ...] = (),
    snapshot: tuple[PeerId, ...] = (),
    outgoing: tuple[PeerId, ...] = (),
    pending: bool = False,
) -> Group:
    """Led by the first; all have ``matched`` but those ``behind``."""
    members = {*voters, *learners, *outgoing}
    progress = {
        peer: Progress(0 if peer in behind else matched, peer not in dead, peer in snapshot) for peer in members
    }
    configuration = Configuration(frozenset(voters), frozenset(outgoing), frozenset(learners), pending)
    return Group(voters[0], configuration, progress, LAST, ALL - frozenset(dead))


def changes(*each: tuple[str, PeerId]) -> ChangeConfiguration:
    return ChangeConfiguration(each)  # type: ignore[arg-type]


ABC = (A, B, C)


def test_nothing_to_do() -> None:
    assert next_step(group(*ABC), ABC) is None
    assert next_step(group(*ABC), (C, B, A)) is None, "the order is no membership"
    assert next_step(group(*ABC, dead=(B,)), ABC) is None
    assert next_step(group(*ABC, learners=(D,)), ABC, frozenset({D})) is None


def test_a_newcomer_learns_first() -> None:
    assert next_step(group(A), ABC) == changes(("learner", B))
    assert next_step(group(A, learners=(B,)), ABC) == changes(("learner", C))
    assert next_step(group(A, learners=(B, C)), ABC) == changes(("voter", B), ("voter", C))


@pytest.mark.parametrize(
    "waiting",
    [
        group(*ABC, learners=(D,), behind=(D,)),
        group(*ABC, learners=(D,), matched=LAST - CATCH_UP_DISTANCE - 1),
        group(*ABC, learners=(D,), snapshot=(D,)),
        group(*ABC, learners=(D,), dead=(D,)),
        group(*ABC, dead=(D,)),
        group(*ABC, learners=(D,), pending=True),
        group(A, B, D, outgoing=ABC),
    ],
    ids=["behind", "a little behind", "snapshot", "dead learner", "dead", "pending", "joint"],
)
def test_what_is_waited_for(waiting: Group) -> None:
    assert next_step(waiting, (A, B, D)) is None


def test_one_replaces_another_in_one_step() -> None:
    near = group(*ABC, learners=(D,), matched=LAST - CATCH_UP_DISTANCE)
    assert next_step(near, (A, B, D)) == changes(("voter", D), ("remove", C))
    dead = group(*ABC, learners=(D,), dead=(C,))
    assert next_step(dead, (A, B, D)) == changes(("voter", D), ("remove", C)), "nothing waits for the dead one"
    assert next_step(near, (A, B, D), frozenset({C})) == changes(("voter", D), ("learner", C))


def test_a_dead_node_stays_until_the_new_one_is_in() -> None:
    assert next_step(group(*ABC, dead=(C,)), (A, B, D)) == changes(("learner", D))
    assert next_step(group(*ABC, learners=(D,), dead=(C,), behind=(D,)), (A, B, D)) is None


def test_a_leader_that_is_to_go_hands_over_first() -> None:
    assert next_step(group(*ABC), (D, C, B)) == TransferLeadership(C)
    assert next_step(group(*ABC, dead=(C,)), (D, C, B)) == TransferLeadership(B)
    assert next_step(group(*ABC, dead=(B,), behind=(C,)), (B, C, D)) == changes(("learner", D)), "nobody can yet"


def test_a_leader_with_nobody_to_hand_over_to_lets_them_in_and_stays_meanwhile() -> None:
    assert next_step(group(A, learners=(B,)), (B,)) == changes(("voter", B))
    assert next_step(group(A, B), (B,)) == TransferLeadership(B)
    assert next_step(group(B, A), (B,)) == changes(("remove", A))


def test_no_step_leaves_a_minority_alive() -> None:
    assert next_step(group(*ABC, dead=(B, C)), (A, B, C)) is None
    assert next_step(group(*ABC, D, E, dead=(B, C)), ABC) is None
    assert next_step(group(*ABC, D, E, dead=(C,)), ABC) == changes(("remove", D), ("remove", E))


def test_learners_come_when_they_are_there_and_go_in_any_case() -> None:
    assert next_step(group(A), (A,), frozenset({B, C})) == changes(("learner", B))
    assert next_step(group(A, dead=(B,)), (A,), frozenset({B, C})) == changes(("learner", C))
    assert next_step(group(A, learners=(B, C), dead=(B,)), (A,), frozenset({C})) == changes(("remove", B))


@pytest.mark.parametrize(
    ("waiting", "wanted", "waits"),
    [
        (group(*ABC), ABC, []),
        (group(*ABC, dead=(B, C)), ABC, []),
        (group(*ABC, learners=(D,)), (A, B, D), []),
        (group(*ABC, learners=(D,), pending=True), (A, B, D), [Wait("change")]),
        (group(A, B, D, outgoing=ABC), (A, B, D), [Wait("change")]),
        (group(*ABC, dead=(D,)), (A, B, D), [Wait("node", D)]),
        (group(*ABC, learners=(D,), snapshot=(D,)), (A, B, D), [Wait("snapshot", D)]),
        (group(*ABC, learners=(D,), behind=(D,)), (A, B, D), [Wait("entries", D, LAST)]),
        (group(*ABC, D, E, dead=(B, C)), ABC, [Wait("majority")]),
        (group(*ABC, behind=(B, C)), (B, C, D), [Wait("entries", peer, LAST) for peer in (D, B, C)]),
        (group(*ABC, behind=(B,)), (B, C, A), []),
    ],
    ids=lambda each: repr(each)[:40],
)
def test_it_says_what_it_waits_for(waiting: Group, wanted: tuple[PeerId, ...], waits: list[Wait]) -> None:
    assert waits_for(waiting, wanted) == waits
