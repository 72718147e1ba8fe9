"""Whatever came, died and left: placement and reconfiguration together end in what is wanted, by safe steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cluster.placement import effective_factor, meta_learners
from broker.core.topology_commands import MarkLeaving
from broker.model.names import PeerId
from tests.cluster.placed_cluster import META, PlacedCluster

NODE_COUNT_MAX = 7
STEPS_MAX = 600
"""Of 5 shards: each may be moved whole a few times, and has a leader transferred every 5 steps at most."""
QUIET_STEPS = 12
"""Without anything done, it is at rest: longer than between two transfers, and than a slow member stays slow."""

EVENTS: dict[str, Callable[[PlacedCluster, PeerId], None]] = {
    "join": lambda cluster, _: cluster.join() if len(cluster.topology.nodes()) < NODE_COUNT_MAX else None,
    "die": PlacedCluster.die,
    "come back": PlacedCluster.come_back,
    "lose": PlacedCluster.lose,
    "wipe": PlacedCluster.wipe,
    "leave": PlacedCluster.leave,
    "wait": lambda cluster, _: None,
}
EVENT = st.tuples(st.sampled_from([*EVENTS, "join", "join"]), st.integers(0, NODE_COUNT_MAX - 1), st.integers(0, 6))


def settle(cluster: PlacedCluster) -> None:
    """In bounded steps."""
    quiet = 0
    for _ in range(STEPS_MAX):
        quiet = 0 if cluster.step() else quiet + 1
        if quiet == QUIET_STEPS:
            return
    raise AssertionError(f"no rest after {STEPS_MAX} steps")


def heal(cluster: PlacedCluster) -> None:
    """Who can come back does; the operator removes the others, and adds one if nobody would be left."""
    if all(row.state == "leaving" or row.peer in cluster.gone for row in cluster.topology.nodes()):
        cluster.join()
    for row in cluster.topology.nodes():
        if row.peer in cluster.gone:
            cluster.apply(MarkLeaving(row.peer))
        else:
            cluster.come_back(row.peer)


def check_at_rest(cluster: PlacedCluster) -> None:
    nodes = cluster.nodes()
    assert not any(node.leaving for node in nodes), "all who were to leave are gone"
    assert all(node.alive for node in nodes)
    zones = {node.peer: node.zone for node in nodes}
    size = effective_factor(cluster.factor, len(nodes))
    for shard, placed in zip(cluster.shards, cluster.placed(), strict=True):
        assert placed.settled
        assert len(placed.wanted) == size
        assert placed.leader == placed.wanted[0]
        expected = meta_learners(nodes, placed.wanted) if shard.number == META else frozenset()
        assert shard.learners == expected
        used = {zones[peer] for peer in placed.wanted}
        assert len(used) == min(size, len(set(zones.values()))), "it is spread over as many zones as there are"
    held = Counter(peer for placed in cluster.placed() for peer in placed.wanted)
    led = Counter(placed.leader for placed in cluster.placed())
    if len(set(zones.values())) == 1:
        assert max(held.values()) - min(held[peer] for peer in zones) <= 1
        if size == len(zones):
            assert max(led.values()) - min(led[peer] for peer in zones) <= 1


@pytest.mark.slow
@given(
    factor=st.sampled_from([1, 3, 3, 5]),
    shard_count=st.integers(1, 4),
    zones=st.sampled_from([[""], ["x", "y", "z"], ["x", "y"], ["x", "x", "x", "y"]]),
    replace_dead_after_s=st.sampled_from([0.0, 0.0, 10.0]),
    seed=st.integers(0, 1 << 16),
    events=st.lists(EVENT, max_size=25),
)
def test_it_ends_in_what_is_wanted(
    factor: int,
    shard_count: int,
    zones: list[str],
    replace_dead_after_s: float,
    seed: int,
    events: list[tuple[str, int, int]],
) -> None:
    cluster = PlacedCluster(factor, shard_count, zones, seed, replace_dead_after_s)
    for event, which, steps in events:
        nodes = cluster.topology.nodes()
        EVENTS[event](cluster, nodes[which % len(nodes)].peer)
        for _ in range(steps):
            cluster.step()
    settle(cluster)
    heal(cluster)
    settle(cluster)
    check_at_rest(cluster)
