"""``/api/cluster`` of whole nodes: what it tells, what is asked by it, and who may ask."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from broker.admin.cluster_api import add_cluster_routes
from broker.admin.cluster_metrics import cluster_metrics
from broker.admin.exposition import Exposition
from broker.admin.router import Router
from broker.cluster.overview import Overview
from broker.core.topology_commands import PutUser
from broker.core.users import hash_password
from broker.model.cluster_figures import ClusterFigures, OperationFigures, ShardFigures
from broker.model.names import ShardId, UserName
from protocols.http.message import Request, Response
from tests.cluster.nodes import ClusterNode, TestedCluster
from tests.core.node import Node

GUEST = "Basic " + base64.b64encode(b"guest:guest").decode()
JSON = {"content-type": "application/json"}


class Asked:
    """The routes of one node."""

    def __init__(self, node: ClusterNode, trouble: Callable[[str], str | None] = lambda address: None) -> None:
        self.node = node
        self.overview = Overview(node.cluster, trouble)
        self.router = Router()
        add_cluster_routes(self.router, node.core.back, self.overview)

    def get(self, path: str = "", authorization: str = GUEST) -> Response:
        return self._ask("GET", path, {"authorization": authorization}, b"")

    def post(self, path: str, body: object, **headers: str) -> Response:
        given = {"authorization": GUEST, **JSON, **{name.replace("_", "-"): text for name, text in headers.items()}}
        return self._ask("POST", path, given, msgspec.json.encode(body))

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
        whole = f"/api/cluster{path}"
        return self.router(Request(method, whole, tuple(whole[1:].split("/")), "", headers, body, "127.0.0.1", True))

    def figures(self) -> ClusterFigures:
        return msgspec.json.decode(self.get().body, type=ClusterFigures)

    def shard(self, number: int) -> ShardFigures:
        return self.figures().shards[number]

    def refusal(self, path: str, body: object) -> tuple[int, str]:
        response = self.post(path, body)
        return response.status, msgspec.json.decode(response.body)["error"]

    def operation(self, id: int) -> OperationFigures:
        return msgspec.json.decode(self.get(f"/operations/{id}").body, type=OperationFigures)

    def carried_out(self, cluster: TestedCluster, path: str, body: object) -> OperationFigures:
        """Asked, and decided within a second."""
        response = self.post(path, body)
        assert response.status == 202, response.body
        operation = msgspec.json.decode(response.body, type=OperationFigures)
        cluster.run(1.0)
        return self.operation(operation.id)


@pytest.fixture
def cluster() -> TestedCluster:
    cluster = TestedCluster(3)
    cluster.settle()
    cluster.run(2)
    return cluster


def peer(number: int) -> str:
    return f"{number:016x}"


def until(cluster: TestedCluster, so: Callable[[], bool], seconds_max: float = 30.0, step_s: float = 0.2) -> None:
    end = cluster.wire.now + seconds_max
    while not so():
        assert cluster.wire.now < end, "it does not come to that"
        cluster.run(step_s)


def test_every_node_tells_the_same_of_the_cluster(cluster: TestedCluster) -> None:
    told = [Asked(cluster.nodes[name]).figures() for name in ("n1", "n2", "n3")]
    assert [figures.node for figures in told] == [peer(1), peer(2), peer(3)]
    for figures in told:
        assert [(node.name, node.state, node.up) for node in figures.nodes] == [
            ("n1", "member", True),
            ("n2", "member", True),
            ("n3", "member", True),
        ]
        assert figures.replication_factor == 3
        for shard in figures.shards:
            leader = cluster.leader_of(shard.shard)
            assert leader is not None
            assert shard.leader == peer(int(leader.name[1:]))
            assert shard.settled
            assert shard.waits_for == ()
            assert set(shard.behind) == {peer(1), peer(2), peer(3)} - {shard.leader}
            assert shard.commit_index == shard.last_index > 0


def test_a_node_that_died_is_down_and_since_when(cluster: TestedCluster) -> None:
    victim = next(name for name in ("n1", "n2", "n3") if cluster.leader_of(0) is not cluster.nodes[name])
    cluster.kill(victim)
    cluster.run(5)
    other = next(name for name in cluster.nodes)
    figures = Asked(cluster.nodes[other]).figures()
    (gone,) = [node for node in figures.nodes if not node.up]
    assert gone.name == victim
    assert gone.down_s is not None
    assert 4 < gone.down_s < 6
    assert all(shard.leader not in ("", gone.peer) for shard in figures.shards)


def test_leadership_goes_where_it_is_asked_to_and_stays(cluster: TestedCluster) -> None:
    asked = Asked(cluster.nodes["n1"])
    until(cluster, lambda: len({shard.leader for shard in asked.figures().shards}) == 3, 90.0)
    cluster.run(6)
    for name in ("n1", "n2", "n3"):
        target = peer(int(name[1:]))
        assert asked.carried_out(cluster, "/transfer", {"shard": 1, "to": name}).state == "done"
        until(cluster, lambda target=target: asked.shard(1).leader == target)  # type: ignore[misc]
        cluster.run(12)
        assert asked.shard(1).leader == target, "the balance of leaders lets it be"


@pytest.mark.parametrize("fifth", range(5))
def test_who_leads_since_a_moment_ago_is_known_everywhere(cluster: TestedCluster, fifth: int) -> None:
    """At whatever moment of the second after which leaders say how their shards are."""
    cluster.run(fifth / 5)
    leader = cluster.leader_of(1)
    heir = next(node for node in cluster.nodes.values() if node is not leader)
    assert leader is not None
    assert leader.kernels[1].transfer_leader(cluster.peers[heir.name])
    until(cluster, lambda: heir.core.back.shards[1].leading, step_s=0.01)
    cluster.run(0.05)
    told = [Asked(node).shard(1) for node in cluster.nodes.values()]
    assert {shard.leader for shard in told} == {peer(int(heir.name[1:]))}
    assert all(set(shard.behind) <= set(shard.voters) - {shard.leader} for shard in told)


def test_a_replica_moves_to_a_fourth_node_and_a_node_leaves() -> None:
    cluster = TestedCluster(4, start=("n1", "n2", "n3"), addresses=("n1:7000", "n2:7000", "n3:7000"))
    cluster.settle()
    asked = Asked(cluster.nodes["n1"])
    cluster.addresses = ("n1:7000",)
    cluster.start("n4")
    until(cluster, lambda: len(asked.figures().nodes) == 4)
    cluster.run(20)
    first = next(shard for shard in asked.figures().shards if peer(4) not in shard.voters)
    source = next(each for each in first.voters if each != first.leader)
    assert asked.carried_out(cluster, "/move", {"shard": first.shard, "from": source, "to": "n4"}).state == "done"
    until(cluster, lambda: asked.shard(first.shard).settled)
    operation = asked.carried_out(cluster, "/remove", {"node": "n3"})
    assert (operation.state, operation.peer) == ("done", peer(3))
    until(cluster, lambda: [node.name for node in asked.figures().nodes] == ["n1", "n2", "n4"], 60.0)
    assert all(set(shard.voters) == {peer(1), peer(2), peer(4)} for shard in asked.figures().shards)


def test_what_cannot_be_is_refused_in_words(cluster: TestedCluster) -> None:
    asked = Asked(cluster.nodes["n1"])
    told = "there is no node 'n9': there are n1, n2, n3"
    assert asked.refusal("/remove", {"node": "n9"}) == (404, told)
    assert asked.refusal("/remove", {"node": "n2", "cancel": True}) == (409, "n2 isn't leaving")
    assert asked.refusal("/remove", {"node": "n1"})[1].endswith("ask another")
    assert asked.refusal("/move", {"shard": 7, "from": "n1", "to": "n2"})[0] == 404
    assert asked.refusal("/move", {"shard": 1, "from": "n1", "to": "n2"}) == (409, "shard 1 is on n2 already")
    assert asked.refusal("/move", {"shard": 1, "from": "n1", "too": "n2"})[0] == 400
    assert asked.refusal("/add", {"address": "a b"})[0] == 409
    assert asked.post("/remove", {"node": "n2"}, content_type="text/plain").status == 415
    assert asked.get("/operations/77").status == 404
    assert asked.get("/operations/x").status == 404


def test_a_node_that_is_marked_may_stay_after_all(cluster: TestedCluster) -> None:
    cluster.kill("n3")
    cluster.run(1)
    cluster.kill("n2")  # nobody is left to agree that it goes
    asked = Asked(cluster.nodes["n1"])
    cluster.run(1)
    pending = asked.carried_out(cluster, "/remove", {"node": "n3"})
    assert (pending.state, pending.detail) == ("pending", "waiting for the meta shard to decide")
    cluster.start("n2")
    until(cluster, lambda: asked.operation(pending.id).state == "done")
    if any(node.name == "n3" and node.state == "leaving" for node in asked.figures().nodes):
        assert asked.carried_out(cluster, "/remove", {"node": "n3", "cancel": True}).state == "done"
        assert asked.figures().nodes[2].state == "member"


def test_a_node_is_looked_for_until_it_is_a_member() -> None:
    cluster = TestedCluster(2, start=("n1",), addresses=())
    cluster.settle()
    asked = Asked(cluster.nodes["n1"], {"n2:7000": "nobody listens at the address"}.get)
    own = msgspec.json.decode(asked.post("/add", {"address": "n1:7000"}).body, type=OperationFigures)
    cluster.run(2)
    assert asked.operation(own.id).detail == "n1:7000 is this node's own address"
    operation = asked.carried_out(cluster, "/add", {"address": "n2:7000"})
    assert operation.state == "pending"
    assert operation.detail == "not a member yet: nobody listens at the address"
    cluster.addresses = ("nowhere:7000",)
    cluster.start("n2")
    until(cluster, lambda: asked.operation(operation.id).state == "done")
    assert asked.operation(operation.id).peer == peer(2)
    assert [node.name for node in asked.figures().nodes] == ["n1", "n2"]


def test_only_administrators_are_answered(cluster: TestedCluster) -> None:
    node = cluster.nodes["n1"]
    asked = Asked(node)
    node.core.back.submit(PutUser(UserName("worker"), hash_password(b"secret", bytes(16)), ()))
    cluster.run(0.5)

    def login(user: str) -> str:
        return "Basic " + base64.b64encode(user.encode()).decode()

    for wrong in ("", "Basic x", login("guest:wrong"), login("nobody:guest")):
        response = asked.get(authorization=wrong)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert asked.get(authorization=login("worker:secret")).status == 403
    assert asked.get().status == 200


def test_a_node_alone_says_so(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.run()
    router = Router()
    add_cluster_routes(router, node.broker.back, None)
    headers = {"authorization": GUEST}
    response = router(Request("GET", "/api/cluster", ("api", "cluster"), "", headers, b"", "127.0.0.1", True))
    assert response.status == 409
    assert b"runs alone" in response.body


def test_metrics_tell_of_nodes_and_of_lag(cluster: TestedCluster) -> None:
    leader = cluster.leader_of(1)
    assert leader is not None
    victim = next(name for name in ("n1", "n2", "n3") if name != leader.name)
    cluster.kill(victim)
    cluster.run(2)
    out = Exposition()
    cluster_metrics(out, Overview(leader.cluster, lambda address: None))
    lines = out.encode().decode().splitlines()
    assert 'dragoman_cluster_nodes{state="up"} 2' in lines
    assert 'dragoman_cluster_nodes{state="down"} 1' in lines
    assert f'dragoman_cluster_node_up{{node="{victim}",peer="{peer(int(victim[1:]))}"}} 0' in lines
    lags = [line for line in lines if line.startswith('dragoman_shard_replica_lag{shard="1"')]
    assert len(lags) == 2
    terms = [line for line in lines if line.startswith("dragoman_shard_term{")]
    assert len(terms) == cluster.shards + 1


def test_a_node_that_stops_hands_over_all_that_it_leads(cluster: TestedCluster) -> None:
    leader = cluster.leader_of(0)
    assert leader is not None
    begun = cluster.wire.now
    while leader.cluster.hand_over(cluster.wire.now):
        cluster.run(0.05)
        assert cluster.wire.now - begun < 2.0
    cluster.run(12)  # the balance of leaders brings none back
    assert not any(kernel.leading for kernel in leader.kernels)
    for shard in range(cluster.shards + 1):
        heir = cluster.leader_of(shard)
        assert heir is not None
        assert heir is not leader


def test_a_node_that_stops_is_asked_to_lead_nothing_as_soon_as_it_says_so(cluster: TestedCluster) -> None:
    leader = cluster.leader_of(1)
    assert leader is not None
    membership = leader.cluster.membership
    assert membership is not None
    stopping = next(node for node in cluster.nodes.values() if node is not leader)
    stopping.cluster.hand_over(cluster.wire.now)
    cluster.run(0.02)  # far less than an interval of heartbeats
    assert not membership.receive_lead(ShardId(1), stopping.cluster.identity.peer)
    other = next(node for node in cluster.nodes.values() if node not in (leader, stopping))
    assert membership.receive_lead(ShardId(1), other.cluster.identity.peer)


def test_who_is_alone_has_nobody_to_hand_over_to() -> None:
    cluster = TestedCluster(1, addresses=())
    cluster.settle()
    assert cluster.nodes["n1"].cluster.hand_over(cluster.wire.now) == 0
