"""The rows of a cluster, what its nodes are told, and what is read of what peers and probes say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cluster.__main__ import PORT, all_clusters, arguments
from bench.cluster.cluster import NODES, Cluster
from bench.cluster.dragoman import DragomanCluster, shards_led
from bench.cluster.jetstream import JetStream, decode_result
from bench.cluster.probe import Confirm, Unconfirmed, latencies, percentile, resumed_after
from bench.cluster.rabbitmq import RabbitMqCluster, node_name, running_nodes
from bench.cluster.rows import all_rows
from bench.command import chosen
from bench.row import Options
from bench.session import BrokerError
from broker.config.loading import load
from broker.config.schema import Config

EPHEMERAL = 32768


def test_the_figures_of_the_issue_are_all_there() -> None:
    figures = {
        (row.name, figure.key, figure.peer if figure.against else "us"): (figure.required, figure.aim)
        for row in all_rows()
        for figure in row.figures
        if figure.required is not None
    }
    assert figures == {
        ("confirms-16", "rate", "RabbitMQ"): (3, 8),
        ("confirms-16", "rate", "JetStream"): (5, 20),
        ("confirms-1024", "rate", "RabbitMQ"): (3, 8),
        ("confirms-1024", "rate", "JetStream"): (5, 20),
        ("single-16", "p50", "RabbitMQ"): (0.8, 0.5),
        ("single-16", "p99", "RabbitMQ"): (0.8, 0.5),
        ("idle", "cpu", "us"): (3, None),
        ("failover", "resume", "us"): (2, None),
        ("rejoin", "seconds", "us"): (20, None),
        ("rejoin", "ratio", "us"): (2, None),
    }


def test_every_row_starts_with_clusters_of_its_own() -> None:
    assert all(row.fresh for row in all_rows())


def test_every_peer_of_a_row_is_a_cluster_with_ports_of_its_own(tmp_path: Path) -> None:
    clusters = all_clusters(tmp_path, PORT)
    names = {broker.name for broker in clusters}
    assert {peer for row in all_rows() for peer in row.peers} == {"RabbitMQ", "JetStream"} <= names
    ports = [port for broker in clusters if isinstance(broker, Cluster) for port in broker.ports]
    assert len(set(ports)) == len(ports) == NODES * len(clusters)
    assert all(PORT <= port < EPHEMERAL for port in ports)
    assert [broker.is_ours for broker in clusters] == [False, False, True]


def test_rows_are_chosen_by_their_beginnings() -> None:
    given = arguments(["confirms", "--row", "idle", "--queues", "100", "--only", "ours"])
    assert [row.name for row in chosen(given, all_rows())] == ["confirms-16", "confirms-1024", "idle"]
    assert (given.queues, given.journal, given.only) == (100, 1 << 30, "ours")
    assert given.report.name == "performance-cluster.md"
    with pytest.raises(SystemExit, match="no row begins with 'nothing'; there are: confirms-16,"):
        chosen(arguments(["nothing"]), all_rows())


def read(text: str, folder: Path) -> Config:
    """As the broker reads it."""
    path = folder / "node.yaml"
    path.write_text(text)
    return load(path, {})


def test_the_shards_that_a_node_leads_are_read_of_its_metrics() -> None:
    metrics = [
        "# TYPE dragoman_shard_leading gauge",
        'dragoman_shard_leading{shard="0"} 0',
        'dragoman_shard_leading{shard="3"} 1',
        'dragoman_shard_leading{shard="12"} 1',
        'dragoman_queue_depth{shard="4"} 1',
    ]
    assert shards_led("\n".join(metrics).encode()) == {3, 12}
    assert shards_led(b"") == set()


def test_our_nodes_know_each_other_and_nothing_else_is_set(tmp_path: Path) -> None:
    cluster = DragomanCluster(tmp_path, 1000)
    cluster.shards = 64
    configs = [read(cluster.config(node), tmp_path) for node in range(NODES)]
    assert [config.cluster.listen for config in configs] == ["127.0.0.1:1006", "127.0.0.1:1007", "127.0.0.1:1008"]
    assert configs[1].cluster.peers == ("127.0.0.1:1006", "127.0.0.1:1008")
    assert [config.cluster.name_of_node for config in configs] == ["node-1", "node-2", "node-3"]
    assert {config.cluster.shards for config in configs} == {64}
    assert [[listener.port for listener in config.broker.listeners] for config in configs] == [
        [1000, 1003],
        [1001, 1004],
        [1002, 1005],
    ]
    assert len({config.broker.storage.log_dir for config in configs}) == NODES
    assert configs[0].broker.storage.sync is True


def test_rabbitmq_finds_its_nodes_by_their_names(tmp_path: Path) -> None:
    cluster = RabbitMqCluster(tmp_path, 1000)
    lines = cluster.members[1].config().splitlines()
    assert "listeners.tcp.1 = 127.0.0.1:1001" in lines
    assert "cluster_formation.peer_discovery_backend = classic_config" in lines
    assert [line.partition(" = ")[2] for line in lines if ".nodes." in line] == [
        "bench-1@localhost",
        "bench-2@localhost",
        "bench-3@localhost",
    ]
    assert cluster.queue_arguments("quorum") == {"x-queue-type": "quorum"}


def test_who_runs_is_read_of_what_rabbitmqctl_says() -> None:
    answer = b'{"cluster_name":"bench","running_nodes":["bench-1@localhost","bench-3@localhost"],"listeners":{}}'
    assert running_nodes(answer) == {node_name(0), node_name(2)}
    with pytest.raises(BrokerError, match="no status"):
        running_nodes(b"Error: unable to perform an operation")


def test_jetstream_syncs_each_write_and_routes_to_every_server(tmp_path: Path) -> None:
    config = JetStream(tmp_path, 1000).config(2)
    for words in (
        "sync_interval: always",
        'listen: "127.0.0.1:1002"',
        'http: "127.0.0.1:1005"',
        'listen: "127.0.0.1:1008"',
        'routes: ["nats://127.0.0.1:1006", "nats://127.0.0.1:1007", "nats://127.0.0.1:1008"]',
    ):
        assert words in config


def test_the_load_of_jetstream_is_told_what_the_row_says(tmp_path: Path) -> None:
    cluster = JetStream(tmp_path, 1000)
    options = Options(warmup_s=0.5, duration_s=3.0)
    words = cluster.load_command(options, streams=4, connections=3, window=500, size=1024)
    told = dict(word.removeprefix("-").split("=", 1) for word in words[1:])
    assert told.pop("name").startswith("bench-")
    assert told == {
        "urls": "nats://127.0.0.1:1000",
        "streams": "4",
        "connections": "3",
        "window": "500",
        "size": "1024",
        "warmup": "0.5s",
        "duration": "3.0s",
    }


def test_what_the_load_of_jetstream_prints_is_read() -> None:
    printed = b'{"seconds":3,"acked":12,"measured":9,"p50":801.5,"p99":1200,"max":1300}\n'
    result = decode_result(printed)
    assert (result.measured, result.seconds, result.p50) == (9, 3.0, 801.5)
    with pytest.raises(BrokerError, match="no result"):
        decode_result(b"")


def test_confirms_flow_when_the_last_queue_has_confirmed_what_came_after() -> None:
    confirms = [
        Confirm("a", 0.9, 5.0),  # published before the kill: says nothing
        Confirm("a", 1.5, 1.75),
        Confirm("b", 1.5, 3.0),
        Confirm("a", 2.0, 4.0),
    ]
    assert resumed_after(confirms, ["a", "b"], 1.0) == 2.0
    assert resumed_after(confirms, ["a", "b", "c"], 1.0) is None
    assert resumed_after(confirms[:1], ["a"], 1.0) is None


def test_a_percentile_is_of_what_was_published_in_that_time() -> None:
    confirms = [Confirm("a", float(second), second + 0.25 * second) for second in range(1, 5)]
    taken = latencies(confirms, 2.0, 4.0)
    assert taken == [500_000.0, 750_000.0]
    assert (percentile(taken, 0.5), percentile(taken, 0.99), percentile([7.0], 0.99)) == (750_000.0, 750_000.0, 7.0)


def test_an_answer_is_about_one_publish_or_about_all_before_it() -> None:
    unconfirmed = Unconfirmed()
    for number in range(4):
        unconfirmed.publish(f"q{number}", float(number))
    assert unconfirmed.confirm(2, False, 9.0) == [Confirm("q1", 1.0, 9.0)]
    assert unconfirmed.confirm(3, True, 9.0) == [Confirm("q0", 0.0, 9.0), Confirm("q2", 2.0, 9.0)]
    unconfirmed.refuse(4, False)
    unconfirmed.refuse(4, True)
    assert (unconfirmed.refused, len(unconfirmed)) == (1, 0)
