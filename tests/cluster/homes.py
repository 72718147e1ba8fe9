"""Clients with sessions that are connected to one node of a cluster."""

from __future__ import annotations

from typing import Any

from broker.core.broker import Broker
from broker.model import client_sessions as cs
from broker.model import replies as r
from broker.model.names import ClientId, VhostName
from tests.cluster.nodes import ClusterNode, TestedCluster
from tests.core.clients import Client

RUN_S = 0.1
DAY_S = 86_400
VHOST = VhostName("/")


class ClusterHome:
    """A node that clients connect to; what they say runs the whole cluster for a while."""

    def __init__(self, cluster: TestedCluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.node: ClusterNode = cluster.nodes[name]

    @property
    def broker(self) -> Broker:
        return self.node.core

    def run(self) -> None:
        self.cluster.run(RUN_S)


def client_at(cluster: TestedCluster, name: str, client_id: str) -> Client:
    """Connected, and not attached yet."""
    return Client(ClusterHome(cluster, name), client_id)


def attached_at(cluster: TestedCluster, name: str, client_id: str, **options: Any) -> Client:
    client = client_at(cluster, name, client_id)
    client.attach(**options)
    return client


def durable_at(cluster: TestedCluster, name: str, client_id: str, **options: Any) -> Client:
    return attached_at(cluster, name, client_id, clean=False, expiry_s=DAY_S, **options)


def shard_of_client(cluster: TestedCluster, client_id: str) -> int:
    """Of a session that lasts."""
    row = next(iter(cluster.nodes.values())).core.back.topology.find_session(VHOST, ClientId(client_id))
    assert row is not None
    assert row.durable
    return row.shard


def leader_of_client(cluster: TestedCluster, client_id: str) -> str:
    leader = cluster.leader_of(shard_of_client(cluster, client_id))
    assert leader is not None
    return leader.name


def is_asked_to_come_again(client: Client) -> bool:
    client.run()
    return any(isinstance(reply, r.CloseConnection) for reply in client.replies)


def is_taken_over(client: Client) -> bool:
    client.run()
    return any(isinstance(reply, cs.SessionTaken) for reply in client.replies)


def ids_of(sent: list[tuple[int | None, str]]) -> list[int]:
    return [packet_id for packet_id, _ in sent if packet_id is not None]
