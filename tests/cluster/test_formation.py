"""Clusters come to be, grow, lose nodes and get them back."""

from __future__ import annotations

import msgspec
import pytest

from broker.cluster.cluster import Place
from broker.cluster.formation import Formation, Step
from broker.cluster.frame_kinds import Channel
from broker.cluster.hello import FRESH, PeerInfo
from broker.cluster.member_words import Refusing
from broker.cluster.words import WordCodec
from broker.core.outcomes import Applied, Outcome
from broker.core.topology_commands import CreateVhost, MarkLeaving
from broker.model import replies as r
from broker.model.names import PeerId, VhostName
from kernel.disk import SimDisk
from tests.cluster.nodes import CHANNEL, STEP_S, TestedCluster
from tests.core.node import confirmed, consume, declare, delivered, publish

HERE = ("a:1", "b:1", "c:1")


def info(peer: int, cluster_id: bytes = FRESH) -> PeerInfo:
    return PeerInfo(peer, 1, cluster_id, f"n{peer}", f"{peer}:1", 1, ())


@pytest.mark.parametrize(
    ("own", "seen", "answered", "step"),
    [
        (1, {}, (), Step.WAIT),
        (1, {2: info(2), 3: info(3)}, HERE, Step.FOUND),
        (2, {1: info(1), 3: info(3)}, HERE, Step.WAIT),
        (1, {2: info(2)}, HERE[:2], Step.WAIT),
        (1, {2: info(2), 3: info(3, b"c" * 16)}, HERE, Step.ASK),
    ],
)
def test_one_of_many_fresh_nodes_founds_and_none_beside_members(
    own: int, seen: dict[int, PeerInfo], answered: tuple[str, ...], step: Step
) -> None:
    formation = Formation(own, HERE)
    assert formation.next_step(seen, answered, seen, 0.0)[0] is step


def test_a_member_that_is_not_up_is_not_asked_and_nothing_is_founded() -> None:
    seen = {2: info(2), 3: info(3, b"c" * 16)}
    assert Formation(1, HERE).next_step(seen, HERE, {2}, 0.0)[0] is Step.WAIT


def test_three_fresh_nodes_make_one_cluster() -> None:
    cluster = TestedCluster(3)
    assert cluster.settle() < 10
    assert {node.cluster.place for node in cluster.nodes.values()} == {Place.MEMBER}
    assert len({node.cluster.identity.cluster_id for node in cluster.nodes.values()}) == 1
    numbers = [row.number for row in cluster.nodes["n2"].core.back.topology.nodes()]
    assert numbers == [1, 2, 3]
    session = cluster.nodes["n3"].session()
    assert confirmed(cluster.ask(session, declare("q"), publish("m", tag=1), seconds=0.5)) == [1]


def test_a_node_alone_with_data_grows_to_three() -> None:
    cluster = TestedCluster(3, start=("n1",), addresses=())
    cluster.settle()
    session = cluster.nodes["n1"].session()
    cluster.ask(session, declare("q"), publish(*(f"m{n}" for n in range(50)), tag=1), seconds=0.5)
    cluster.addresses = ("n1:7000",)
    cluster.start("n2")
    cluster.start("n3")
    cluster.run(3)
    cluster.settle()
    cluster.kill("n1")
    cluster.run(3)
    other = cluster.nodes["n2"].session()
    got = delivered(cluster.ask(other, consume("q"), seconds=3))
    assert [body for body, _ in got] == [f"m{n}" for n in range(50)]


def test_all_nodes_are_killed_and_come_back() -> None:
    cluster = TestedCluster(3)
    cluster.settle()
    session = cluster.nodes["n1"].session()
    cluster.ask(session, declare("q"), publish("a", "b", tag=1), seconds=0.5)
    for name in ("n1", "n2", "n3"):
        cluster.kill(name)
    for name in ("n3", "n1", "n2"):
        cluster.start(name)
    cluster.settle()
    other = cluster.nodes["n2"].session()
    assert [body for body, _ in delivered(cluster.ask(other, consume("q"), seconds=1))] == ["a", "b"]


def test_a_node_that_lost_its_disk_comes_back_under_its_name_as_a_new_one() -> None:
    cluster = TestedCluster(3)
    cluster.settle()
    session = cluster.nodes["n1"].session()
    cluster.ask(session, declare("q"), publish("a", tag=1), seconds=0.5)
    cluster.kill("n3")
    cluster.run(1)
    cluster.disks["n3"] = SimDisk(1 << 40)
    cluster.start("n3", peer=33)
    cluster.run(5)
    cluster.settle()
    for shard in range(cluster.shards + 1):
        leader = cluster.leader_of(shard)
        assert leader is not None
        assert leader.kernels[shard].conf()[0] == [1, 2, 33]
    rows = cluster.nodes["n1"].core.back.topology.nodes()
    assert [(row.peer, row.name) for row in rows] == [(1, "n1"), (2, "n2"), (33, "n3")]
    other = cluster.nodes["n3"].session()
    assert cluster.ask(other, publish("b", tag=1)) == [r.Confirm(CHANNEL, [(1, 1)])]


def test_a_member_that_fetches_a_snapshot_from_a_leader_that_dies_votes_for_another() -> None:
    cluster = TestedCluster(3, shards=1, static=True)
    cluster.settle()
    leader = cluster.leader_of(1)
    assert leader is not None
    late, left = (name for name in cluster.nodes if name != leader.name)
    session = cluster.nodes[left].session()
    cluster.ask(session, declare("q"), seconds=0.5)
    cluster.kill(late)
    for number in range(24):
        sent = cluster.ask(session, publish("x" * (1 << 20), tag=number + 1), seconds=0.1)
        assert confirmed(sent) == [number + 1]
    cluster.start(late).disk_is_slow = True
    cluster.run(3)
    assert cluster.nodes[late].jobs, "it fetches"
    cluster.kill(leader.name)
    cluster.nodes[late].disk_is_slow = False
    cluster.run(4)
    assert cluster.leader_of(1) is cluster.nodes[left]
    assert confirmed(cluster.ask(session, publish("m", tag=99), seconds=5)) == [99]


def test_a_node_that_is_removed_hands_its_replicas_over_and_nobody_waits_for_it() -> None:
    cluster = TestedCluster(4)
    cluster.settle()
    session = cluster.nodes["n1"].session()
    cluster.ask(session, declare("q"), publish("a", tag=1), seconds=0.5)
    leaving = cluster.nodes["n4"]
    cluster.nodes["n1"].core.back.submit(MarkLeaving(PeerId(4)))
    cluster.run(8)
    assert [row.peer for row in cluster.nodes["n1"].core.back.topology.nodes()] == [1, 2, 3]
    assert leaving.cluster.removed
    assert leaving.core.blocked
    sent = cluster.ask(session, declare("new"), publish("b", key="new", tag=2), seconds=0.3)
    assert isinstance(sent[0], r.QueueDeclared)
    assert confirmed(sent) == [2]


def test_who_was_taken_in_is_not_put_out_by_one_whose_topology_is_of_before() -> None:
    """It was given a snapshot of the topology when it knew the newcomer already."""
    cluster = TestedCluster(3)
    cluster.settle()
    one, other = cluster.nodes["n1"], cluster.nodes["n3"].cluster
    index = cluster.nodes["n3"].core.back.meta_index

    def refuse(index: int) -> None:
        frame = WordCodec().encode(Refusing("it was removed", index))
        other.receive_frames(info(1, one.cluster.identity.cluster_id), Channel.FORWARD, [frame])

    refuse(index - 1)
    assert not other.removed
    refuse(index)
    assert other.removed


@pytest.mark.parametrize("seconds", [0.38, 0.42, 0.46])
def test_newcomers_whose_requests_for_snapshots_are_lost_ask_again(seconds: float) -> None:
    """The founder does not hear them for a while, and lets go of what it had offered; they noticed nothing."""
    cluster = TestedCluster(3, seed=1)
    while not (founders := [node for node in cluster.nodes.values() if node.broker is not None]):
        cluster.run(0.05)
    cluster.run(seconds)
    for name in cluster.nodes:
        if name != founders[0].name:
            cluster.wire.cut(name, founders[0].name)
    cluster.run(0.7)
    cluster.wire.heal()
    assert cluster.settle() < 10.0


def test_the_cluster_speaks_a_newer_version_once_the_last_node_does() -> None:
    cluster = TestedCluster(3)
    cluster.settle()
    topology = cluster.nodes["n1"].core.back.topology
    for name, spoken in (("n1", 1), ("n2", 1), ("n3", 2)):
        of_node = cluster.nodes[name].cluster
        of_node.settings = msgspec.structs.replace(of_node.settings, version=2)
        cluster.run(6)
        assert topology.cluster_version() == spoken


def test_what_a_node_asked_for_is_answered_though_it_came_back_in_a_snapshot() -> None:
    cluster = TestedCluster(3, start=("n1",), addresses=())
    cluster.settle()
    cluster.addresses = ("n1:7000",)
    node = cluster.start("n2")
    while node.broker is None:
        cluster.run(STEP_S)
    answers: list[Outcome] = []
    node.core.back.submit(CreateVhost(VhostName("v")), answers.append)
    cluster.run(2)
    assert [type(answer) for answer in answers] == [Applied]
    assert "v" in node.core.back.topology.vhosts()
