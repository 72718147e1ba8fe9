"""What placement asks for, case by case; that it comes to rest is test_convergence's."""

from __future__ import annotations

import msgspec
import pytest

from broker.cluster.placement import (
    LEADER_TRANSFER_INTERVAL_S,
    LeaderBalance,
    PlacedNode,
    PlacedShard,
    Transfer,
    effective_factor,
    meta_learners,
    next_drops,
    next_placement,
)
from broker.core.topology_commands import DropNode, PutShard
from broker.core.topology_rows import NodeRow
from broker.model.names import PeerId, ShardId

A, B, C, D, E = (PeerId(number) for number in range(1, 6))
DEAD_S = 100.0


def node(peer: PeerId, zone: str = "", *, leaving: bool = False, dead: bool = False, heir: int = 0) -> PlacedNode:
    return PlacedNode(peer, zone, leaving, PeerId(heir), DEAD_S if dead else 0.0)


def shard(number: int, *wanted: PeerId, leader: int | None = None, voters: tuple[PeerId, ...] = ()) -> PlacedShard:
    """Settled unless it says otherwise."""
    there = frozenset(voters or wanted)
    leading = wanted[0] if leader is None else PeerId(leader)
    return PlacedShard(ShardId(number), wanted, leading, there, caught_up=there)


def moved(nodes: list[PlacedNode], shards: list[PlacedShard], factor: int = 3, after_s: float = 0.0) -> list[PutShard]:
    return next_placement(nodes, shards, factor, after_s)


@pytest.mark.parametrize(
    ("factor", "members", "replicas"),
    [(3, 1, 1), (3, 2, 1), (3, 3, 3), (3, 9, 3), (5, 4, 3), (5, 5, 5), (1, 9, 1), (3, 0, 1)],
)
def test_replicas_are_odd(factor: int, members: int, replicas: int) -> None:
    assert effective_factor(factor, members) == replicas


def test_a_cluster_of_one_is_at_rest() -> None:
    assert moved([node(A)], [shard(0, A), shard(1, A)]) == []


def test_two_nodes_share_single_replicas_and_three_hold_all() -> None:
    assert moved([node(A), node(B)], [shard(0, A), shard(1, A)]) == [PutShard(ShardId(0), (A,), (B,))]
    grown = moved([node(A), node(B), node(C)], [shard(0, A), shard(1, A)])
    assert grown == [PutShard(ShardId(number), (A,), (A, B, C)) for number in (0, 1)]


def test_a_dead_node_is_no_place_to_grow_to() -> None:
    assert moved([node(A), node(B), node(C, dead=True)], [shard(1, A, leader=A)]) == []


def test_zones_come_before_counts() -> None:
    nodes = [node(A, "x"), node(B, "x"), node(C, "y"), node(D, "z")]
    assert moved(nodes, [shard(1, A)]) == [PutShard(ShardId(1), (A,), (A, C, D))]
    assert moved(nodes, [shard(1, A, B, C)]) == [PutShard(ShardId(1), (A, B, C), (B, C, D))]


def test_a_fourth_node_takes_what_evens_the_load_one_at_a_time() -> None:
    nodes = [node(peer) for peer in (A, B, C, D)]
    shards = [shard(number, A, B, C) for number in range(4)]
    (first,) = moved(nodes, shards)
    assert first.replicas[-1] == D
    unsettled = [shard(0, *first.replicas, voters=(A, B, C)), *shards[1:]]
    assert moved(nodes, unsettled) == [], "until that is done"


def test_nothing_is_evened_while_a_replica_is_dead() -> None:
    nodes = [node(A), node(B), node(C, dead=True), node(D)]
    assert moved(nodes, [shard(0, A, B, C), shard(1, B, C, A), shard(2, C, A, B)]) == []


def test_a_dead_node_is_replaced_after_the_time_the_operator_gave() -> None:
    nodes = [node(A), node(B), node(C, dead=True), node(D)]
    shards = [shard(1, A, B, C)]
    assert moved(nodes, shards) == []
    assert moved(nodes, shards, after_s=DEAD_S + 1) == []
    assert moved(nodes, shards, after_s=DEAD_S) == [PutShard(ShardId(1), (A, B, C), (A, B, D))]
    assert moved(nodes[:3], shards, after_s=DEAD_S) == [], "there is no other"


def test_a_leaving_node_is_replaced_by_its_heir() -> None:
    nodes = [node(A), node(B), node(C, leaving=True, dead=True, heir=E), node(D), node(E)]
    assert moved(nodes, [shard(1, A, B, C)]) == [PutShard(ShardId(1), (A, B, C), (A, B, E))]


def test_one_replica_at_a_time() -> None:
    nodes = [node(A, leaving=True), node(B, leaving=True), node(C), node(D), node(E)]
    assert moved(nodes, [shard(1, A, B, C)]) == [PutShard(ShardId(1), (A, B, C), (B, C, D))]


def test_with_too_few_members_the_leaving_one_goes_first_and_the_leader_last() -> None:
    nodes = [node(A), node(B), node(C, leaving=True)]
    shards = [shard(1, A, B, C, leader=B)]
    assert moved(nodes, shards) == [PutShard(ShardId(1), (A, B, C), (B,))]


def test_whoever_is_dead_goes_before_whoever_lives() -> None:
    nodes = [node(A), node(B, dead=True), node(C), node(D), node(E, leaving=True)]
    assert moved(nodes, [shard(1, A, B, C, D, E)], factor=5) == [PutShard(ShardId(1), (A, B, C, D, E), (A, C, D))]


def test_nothing_is_given_up_for_those_who_are_dead() -> None:
    nodes = [node(A), node(B, leaving=True), node(C, dead=True), node(D, dead=True), node(E, leaving=True)]
    assert moved(nodes, [shard(1, A, B, C, D, E)], factor=5) == []


def test_a_change_that_waits_for_a_lost_node_is_planned_anew() -> None:
    waiting = shard(1, A, B, D, voters=(A, B, C))
    live = [node(A), node(B), node(C), node(E)]
    assert moved([*live, node(D, dead=True)], [waiting]) == []
    lost = [*live, node(D, dead=True, leaving=True)]
    assert moved(lost, [waiting]) == [PutShard(ShardId(1), (A, B, D), (A, B, C))]


def test_a_shard_without_a_leader_is_left_alone() -> None:
    nodes = [node(A), node(B, dead=True), node(C, dead=True, leaving=True), node(D)]
    assert moved(nodes, [shard(1, A, B, C, leader=0)]) == []


def test_preferred_leaders_are_spread_though_no_pair_could_swap() -> None:
    """b takes one of a's and gives one of its own to c."""
    nodes = [node(A), node(B), node(C), node(D), node(E)]
    shards = [shard(0, A, B, D), shard(1, A, B, E), shard(2, B, C, E), shard(3, D, C, A), shard(4, E, C, D)]
    assert moved(nodes, shards) == [
        PutShard(ShardId(0), (A, B, D), (B, A, D)),
        PutShard(ShardId(2), (B, C, E), (C, B, E)),
    ]


def test_leadership_goes_to_the_preferred_leader_in_turn() -> None:
    nodes = [node(A), node(B), node(C)]
    shards = [shard(1, A, B, C, leader=B), shard(2, A, B, C, leader=C), shard(3, C, A, B)]
    balance = LeaderBalance()
    assert balance.next_transfer(nodes, shards, 0.0) == Transfer(ShardId(1), A)
    assert balance.next_transfer(nodes, shards, LEADER_TRANSFER_INTERVAL_S - 0.1) is None
    assert balance.next_transfer(nodes, shards, LEADER_TRANSFER_INTERVAL_S) == Transfer(ShardId(2), A)
    assert balance.next_transfer(nodes, shards, 2 * LEADER_TRANSFER_INTERVAL_S) == Transfer(ShardId(1), A)
    done = [shard(1, A, B, C), *shards[1:]]
    assert balance.next_transfer(nodes, done, 2 * LEADER_TRANSFER_INTERVAL_S + 0.1) == Transfer(ShardId(2), A), (
        "at once"
    )


def test_leadership_stays_where_it_is_if_the_preferred_leader_can_not_lead() -> None:
    placed = shard(1, A, B, C, leader=B)
    live = [node(A), node(B), node(C)]
    for nodes, each in (
        ([node(A, dead=True), *live[1:]], placed),
        ([node(A, leaving=True), *live[1:]], placed),
        (live, shard(1, A, B, C)),
        (live, shard(1, A, B, C, leader=B, voters=(B, C, D))),
        (live, msgspec.structs.replace(placed, caught_up=frozenset({B, C}))),
        (live, msgspec.structs.replace(placed, changing=True)),
    ):
        assert LeaderBalance().next_transfer(nodes, [each], 0.0) is None


def test_a_node_is_dropped_when_no_shard_needs_it() -> None:
    nodes = [node(A), node(B), node(C), node(D, leaving=True), node(E, leaving=True, dead=True)]
    moved_off = [shard(1, A, B, C), shard(2, C, B, A)]
    assert next_drops(nodes, moved_off) == [DropNode(D), DropNode(E)]
    assert next_drops(nodes, [*moved_off, shard(3, A, B, C, voters=(A, B, D))]) == [DropNode(E)]
    assert next_drops(nodes, [*moved_off, shard(3, A, B, D, voters=(A, B, C))]) == [DropNode(E)]
    assert next_drops(nodes, [*moved_off, shard(3, A, B, C, leader=0)]) == [], "who knows who votes there"
    assert next_drops(nodes, [*moved_off, msgspec.structs.replace(moved_off[0], changing=True)]) == []


def test_every_node_holds_the_meta_shard() -> None:
    assert meta_learners([node(A), node(B), node(C, leaving=True), node(D)], (A, B)) == {C, D}


def test_a_node_is_placed_as_its_row_says() -> None:
    row = NodeRow(A, 1, "a", "h:1", "east", "leaving", B)
    assert PlacedNode.of(row, 2.5) == PlacedNode(A, "east", leaving=True, replaced_by=B, dead_s=2.5)
