"""A replica that was moved away is forgotten where it was, and may come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.cluster.departures import LOOK_INTERVAL_S
from broker.core.topology_commands import PutShard
from broker.model.names import PeerId, ShardId
from tests.cluster.nodes import ClusterNode, TestedCluster
from tests.core.node import confirmed, consume, declare, delivered, publish

LONG_S = 3 * LOOK_INTERVAL_S
BODIES = [f"m{number}" + "." * 1000 for number in range(50)]


@pytest.fixture
def cluster() -> Iterator[TestedCluster]:
    """Of four, and each of three shards is on three of them."""
    made = TestedCluster(4)
    made.settle()
    made.run(12)
    yield made
    for name in list(made.nodes):
        made.kill(name)


class Moved:
    """A queue's shard, and who leaves it for whom."""

    def __init__(self, cluster: TestedCluster) -> None:
        self.cluster = cluster
        self.session = cluster.nodes["n1"].session()
        cluster.ask(self.session, declare("q"))
        published = cluster.ask(self.session, *[publish(body, tag=1 + at) for at, body in enumerate(BODIES)])
        assert confirmed(published) == list(range(1, 1 + len(BODIES)))
        self.shard = ShardId(cluster.shard_of("q"))
        replicas = self.replicas
        self.leaver = self.node(replicas[-1])
        self.comer = next(node for node in cluster.nodes.values() if node.cluster.identity.peer not in replicas)

    @property
    def replicas(self) -> tuple[PeerId, ...]:
        row = self.cluster.nodes["n1"].core.back.topology.shard_row(self.shard)
        assert row is not None
        return row.replicas

    def node(self, peer: PeerId) -> ClusterNode:
        return next(node for node in self.cluster.nodes.values() if node.cluster.identity.peer == peer)

    def move(self, leaver: ClusterNode, comer: ClusterNode) -> None:
        old = self.replicas
        gone, new = PeerId(leaver.cluster.identity.peer), PeerId(comer.cluster.identity.peer)
        replicas = tuple(new if peer == gone else peer for peer in old)
        self.cluster.nodes["n1"].core.back.submit(PutShard(self.shard, old, replicas))

    def held(self, node: ClusterNode) -> tuple[int, int]:
        """The last entry applied, and bytes of segments."""
        return node.kernels[self.shard].applied_index, node.journal.sizes[1]


def test_a_replica_that_was_moved_away_is_forgotten_and_its_room_comes_back(cluster: TestedCluster) -> None:
    moved = Moved(cluster)
    leaver = moved.leaver
    leaver.cycle()
    applied, size = moved.held(leaver)
    assert applied
    moved.move(leaver, moved.comer)
    cluster.run(LONG_S)
    assert moved.held(leaver)[0] == 0
    leaver.cycle()
    assert moved.held(leaver)[1] < size - sum(map(len, BODIES)) // 2 or size == 0
    assert moved.held(moved.comer)[0] >= applied
    for node in cluster.nodes.values():
        if node is not leaver:
            assert node.kernels[moved.shard].applied_index or node.cluster.identity.peer not in moved.replicas
    assert [body for body, _ in delivered(cluster.ask(moved.session, consume(credit=100)))] == BODIES


def test_it_is_forgotten_after_a_restart_too_and_for_good(cluster: TestedCluster) -> None:
    moved = Moved(cluster)
    name = moved.leaver.name
    moved.move(moved.leaver, moved.comer)
    cluster.run(LOOK_INTERVAL_S / 2)
    for _ in range(2):
        cluster.kill(name)
        cluster.run(1)
        moved.leaver = cluster.start(name)
        cluster.run(LONG_S)
        assert moved.held(moved.leaver)[0] == 0


def test_who_was_let_go_may_come_back_and_vote(cluster: TestedCluster) -> None:
    moved = Moved(cluster)
    leaver, comer = moved.leaver, moved.comer
    moved.move(leaver, comer)
    cluster.run(LONG_S)
    assert moved.held(leaver)[0] == 0
    moved.move(comer, leaver)
    cluster.run(LONG_S)
    assert leaver.cluster.identity.peer in moved.replicas
    leader = cluster.leader_of(moved.shard)
    assert leader is not None
    assert leaver.cluster.identity.peer in leader.kernels[moved.shard].conf()[0]
    assert moved.held(comer)[0] == 0
    assert moved.held(leaver)[0] == moved.held(leader)[0]
    cluster.kill(next(name for name in cluster.nodes if cluster.nodes[name] not in (leaver, comer)))
    cluster.run(5)
    session = comer.session()
    assert [body for body, _ in delivered(cluster.ask(session, consume(credit=100), seconds=1))] == BODIES


def cut_off(cluster: TestedCluster, name: str) -> None:
    for other in cluster.nodes:
        if other != name:
            cluster.wire.cut(name, other)
            cluster.wire.cut(other, name)


def moved_meanwhile(cluster: TestedCluster) -> tuple[Moved, list[int]]:
    """A replica was moved off a node that is cut off; what its replicas had applied."""
    moved = Moved(cluster)
    before = [kernel.applied_index for kernel in moved.leaver.kernels]
    cut_off(cluster, moved.leaver.name)
    moved.move(moved.leaver, moved.comer)
    cluster.run(LONG_S)
    leader = cluster.leader_of(moved.shard)
    assert leader is not None
    assert moved.leaver.cluster.identity.peer not in leader.kernels[moved.shard].conf()[0]
    return moved, before


def test_who_is_cut_off_forgets_nothing(cluster: TestedCluster) -> None:
    moved, before = moved_meanwhile(cluster)
    assert [kernel.applied_index for kernel in moved.leaver.kernels] == before


@pytest.mark.parametrize("restarted", [False, True])
def test_who_was_away_while_it_was_let_go_asks_and_forgets(cluster: TestedCluster, restarted: bool) -> None:
    """What it holds does not say so, and nobody sends it more."""
    moved, _ = moved_meanwhile(cluster)
    leaver = moved.leaver
    if restarted:
        cluster.kill(leaver.name)
        leaver = cluster.start(leaver.name)
    cluster.wire.heal()
    cluster.run(LONG_S)
    assert moved.held(leaver)[0] == 0
    held = [number for number, kernel in enumerate(leaver.kernels) if kernel.applied_index]
    assert len(held) > 1, "of others it is a member"
    moved.move(moved.comer, leaver)
    cluster.run(LONG_S)
    assert moved.held(leaver)[0] == max(moved.held(node)[0] for node in cluster.nodes.values())


def test_without_a_leader_nobody_says_so(cluster: TestedCluster) -> None:
    moved, before = moved_meanwhile(cluster)
    for name in [name for name, node in cluster.nodes.items() if node.cluster.identity.peer in moved.replicas][1:]:
        cluster.kill(name)
    cluster.wire.heal()
    cluster.run(LONG_S)
    assert moved.held(moved.leaver)[0] == before[moved.shard]


def test_a_leader_says_nothing_of_members(cluster: TestedCluster) -> None:
    moved = Moved(cluster)
    leader = cluster.leader_of(moved.shard)
    assert leader is not None
    membership = leader.cluster.membership
    assert membership is not None
    term = leader.kernels[moved.shard].term
    says = {
        node.name: membership.term_without(moved.shard, node.cluster.identity.peer) for node in cluster.nodes.values()
    }
    assert says == {name: term if node is moved.comer else None for name, node in cluster.nodes.items()}
    other = moved.leaver.cluster.membership
    assert other is not None
    assert other.term_without(moved.shard, moved.comer.cluster.identity.peer) is None, "it does not lead"
