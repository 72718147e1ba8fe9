"""Disks fail, fill up and damage what they hold: nothing confirmed is lost, and no cluster is founded a second time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker.cluster.cluster import Place
from broker.cluster.hello import FRESH
from broker.cluster.placement import LEADER_TRANSFER_INTERVAL_S
from kernel.disk import SimDisk
from kernel.journal import Damage
from tests.cluster.nodes import PEER_STEP, ClusterNode, TestedCluster
from tests.cluster.test_cluster import accept_all
from tests.core.node import confirmed, consume, declare, delivered, publish

DAMAGED = Damage("segment-0000000000000001 is damaged at byte 4096: a run has a wrong checksum")
CAPACITY = 1 << 40
"""Of the disks in nodes.py."""
HEADER_SIZE = 4096
COUNT = 60
BODY = "m{:04}" + "x" * 2000
BODIES = [BODY.format(number) for number in range(COUNT)]


def filled(cycle: bool = False) -> TestedCluster:
    """A cluster with ``COUNT`` confirmed messages in a queue; some of them sealed, if so wished."""
    cluster = TestedCluster(3)
    cluster.settle()
    session = cluster.nodes["n1"].session()
    replies = cluster.ask(session, declare("q"), seconds=0.5)
    for tag, body in enumerate(BODIES, 1):
        replies += cluster.ask(session, publish(body, tag=tag), seconds=0.02)
    assert confirmed([*replies, *cluster.ask(session, seconds=0.5)]) == list(range(1, COUNT + 1))
    if cycle:
        for node in cluster.nodes.values():
            node.cycle()
    return cluster


def drained(cluster: TestedCluster, name: str) -> list[str]:
    """All that there is, taken and accepted at a node."""
    cluster.run(2)
    session = cluster.nodes[name].session()
    bodies: list[str] = []
    replies = cluster.ask(session, consume("q", credit=10), seconds=2)
    while found := [body for body, _ in delivered(replies)]:
        bodies += found
        replies = cluster.ask(session, accept_all(), seconds=0.5)
    return bodies


def one_cluster(cluster: TestedCluster) -> bool:
    return len(cluster.founded - {FRESH}) == 1


def leader_of_queue(cluster: TestedCluster) -> ClusterNode:
    leader = cluster.leader_of(cluster.shard_of("q"))
    assert leader is not None
    return leader


def follower_of_queue(cluster: TestedCluster) -> ClusterNode:
    leader = leader_of_queue(cluster)
    return next(node for node in cluster.nodes.values() if node is not leader)


@pytest.mark.parametrize("victim_of", [leader_of_queue, follower_of_queue], ids=["leader", "follower"])
def test_after_a_failed_sync_a_node_says_nothing_more_and_the_others_go_on(
    victim_of: Callable[[TestedCluster], ClusterNode],
) -> None:
    cluster = filled()
    victim = victim_of(cluster)
    others = [node for node in cluster.nodes.values() if node is not victim]
    here, there = victim.session(), others[0].session()
    for name in cluster.disks[victim.name].names():
        cluster.disks[victim.name].fail_sync_once(name)
    here.submit([publish("here", tag=1)])
    there.submit([publish("there", tag=1)])
    while victim.cluster.failure is None:
        cluster.run(0.01)
    said = [each for each in cluster.wire.tap if each[0] == victim.name]
    replies = here.take_replies()
    cluster.run(2)
    assert said == [each for each in cluster.wire.tap if each[0] == victim.name], "it speaks no more"
    assert not any(shard.leading for shard in victim.core.back.logged)
    assert not confirmed(here.take_replies()), "and confirms nothing more"
    assert confirmed(there.take_replies()) == [1]
    assert all(victim.journal.peer not in node.cluster.up for node in others)
    cluster.kill(victim.name)
    cluster.start(victim.name)
    cluster.settle()
    assert cluster.peers[victim.name] == victim.journal.peer, "what is on the disk is read again"
    bodies = drained(cluster, victim.name)
    assert bodies[:COUNT] == BODIES
    assert set(bodies[COUNT:]) <= {"here", "there"}
    assert "there" in bodies
    assert confirmed(replies) == [] or "here" in bodies
    assert one_cluster(cluster)


def why_stopped(node: ClusterNode) -> str | None:
    return node.journal.pressure


def test_a_leader_whose_disk_is_full_hands_over_until_there_is_room() -> None:
    cluster = filled()
    victim = leader_of_queue(cluster)
    other = follower_of_queue(cluster)
    disk = cluster.disks[victim.name]
    disk.set_capacity(CAPACITY - disk.free + 1000)
    victim.journal.step()
    assert why_stopped(victim) == "no space"
    session = other.session()
    session.submit([publish("meanwhile", tag=1)])
    cluster.run(3)
    assert confirmed(session.take_replies()) == [1]
    cluster.run(LEADER_TRANSFER_INTERVAL_S * (cluster.shards + 2))
    assert not any(shard.leading for shard in victim.core.back.logged), "nothing is brought back"
    assert victim.cluster.failure is None
    disk.set_capacity(CAPACITY)
    victim.journal.step()
    assert why_stopped(victim) is None
    cluster.run(LEADER_TRANSFER_INTERVAL_S * (cluster.shards + 2))
    assert any(shard.leading for shard in victim.core.back.shards)
    assert drained(cluster, victim.name) == [*BODIES, "meanwhile"]


def damage(cluster: TestedCluster, name: str, stem: str) -> None:
    """Flips a bit in each file of a kind: in a message if it holds any, else in the middle of what was written."""
    disk = cluster.disks[name]
    for file in disk.names():
        if file.startswith(stem):
            content = disk.read(file).rstrip(b"\x00")
            behind = HEADER_SIZE if len(content) > HEADER_SIZE else 0
            found = content.find(BODIES[COUNT // 2].encode())
            disk.flip_bit(file, found if found > 0 else (behind + len(content)) // 2, 3)


@pytest.mark.parametrize("stem", ["journal", "manifest", "blocks", "identity"])
@pytest.mark.parametrize("victim_of", [leader_of_queue, follower_of_queue], ids=["leader", "follower"])
def test_a_node_whose_data_is_damaged_is_made_anew_from_the_others(
    stem: str, victim_of: Callable[[TestedCluster], ClusterNode]
) -> None:
    cluster = filled(cycle=True)
    victim = victim_of(cluster)
    old = victim.journal.peer
    name = next(each for each in cluster.nodes if each != victim.name)
    session = cluster.nodes[name].session()
    cluster.kill(victim.name)
    damage(cluster, victim.name, stem)
    cluster.run(2)
    assert confirmed(cluster.ask(session, publish("meanwhile", tag=1), seconds=1)) == [1]
    cluster.start(victim.name)
    assert len(cluster.set_aside[victim.name]) == 1
    cluster.run(5)
    cluster.settle()
    for shard in range(cluster.shards + 1):
        leader = cluster.leader_of(shard)
        assert leader is not None
        voters = leader.kernels[shard].conf()[0]
        assert cluster.peers[victim.name] in voters
        assert old not in voters
    rows = cluster.nodes[name].core.back.topology.nodes()
    assert sorted(row.name for row in rows) == ["n1", "n2", "n3"]
    cluster.kill(name)
    cluster.run(3)
    assert drained(cluster, victim.name) == [*BODIES, "meanwhile"], "it has all of it"
    assert one_cluster(cluster)


def test_damage_that_is_found_by_a_read_takes_the_node_out_and_the_next_start_mends_it() -> None:
    cluster = filled()
    victim = leader_of_queue(cluster)

    def read() -> None:
        raise DAMAGED

    victim.core.guard_read(read)()
    cluster.run(0.1)
    assert victim.cluster.failure is DAMAGED
    assert not any(shard.leading for shard in victim.core.back.logged)
    cluster.kill(victim.name)
    cluster.put_aside(victim.name)
    cluster.start(victim.name)
    cluster.run(3)
    cluster.settle()
    assert drained(cluster, victim.name) == BODIES
    assert one_cluster(cluster)


@pytest.mark.parametrize("lost", [("n1", "n2"), ("n1", "n2", "n3")], ids=["two", "all"])
def test_a_majority_whose_data_is_damaged_founds_nothing_and_waits(lost: tuple[str, ...]) -> None:
    cluster = filled()
    for name in ("n1", "n2", "n3"):
        cluster.kill(name)
    good = {name: cluster.disks[name].copy() for name in lost}
    for name in lost:
        damage(cluster, name, "journal")
    for name in ("n1", "n2", "n3"):
        cluster.start(name)
    cluster.run(30)
    for name in lost:
        node = cluster.nodes[name]
        assert node.cluster.place is Place.SEEKING
        assert "lost-majority.md" in node.cluster.why_waiting()
    assert one_cluster(cluster)
    for name in ("n1", "n2", "n3"):
        cluster.kill(name)
    for name in lost:
        # Somebody brings back what was put aside, with a good copy of the damaged file.
        cluster.set_aside[name].clear()
        cluster.disks[name] = good[name]
        cluster.peers[name] -= PEER_STEP
    for name in ("n1", "n2", "n3"):
        cluster.start(name)
    cluster.settle()
    assert drained(cluster, "n1") == BODIES
    assert one_cluster(cluster)


def test_a_new_node_founds_nothing_beside_those_that_lost_what_they_had() -> None:
    cluster = filled()
    for name in ("n1", "n2", "n3"):
        cluster.kill(name)
    for name in ("n2", "n3"):
        damage(cluster, name, "journal")
    cluster.disks["n1"] = SimDisk(1 << 40)
    for name in ("n1", "n2", "n3"):
        cluster.start(name)
    cluster.run(30)
    assert {node.cluster.place for node in cluster.nodes.values()} == {Place.SEEKING}
    assert "what n2, n3 had" in cluster.nodes["n1"].cluster.why_waiting()
    assert one_cluster(cluster)
