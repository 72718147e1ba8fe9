"""A cluster's figures as text: what stands in which column, and what a shard is said to wait for."""

from __future__ import annotations

import pytest

from broker.cli.arguments import parser
from broker.cli.cluster_client import ClusterClient
from broker.cli.cluster_table import Names, duration_text, shard_state, status_text, table
from broker.model.cluster_figures import ClusterFigures, NodeFigures, ShardFigures, SnapshotFigures, WaitFigures

A, B, C = "000000000000000a", "000000000000000b", "000000000000000c"
NODES = (
    NodeFigures("n1", A, 1, "127.0.0.1:1", "", "member", "", True, None, None),
    NodeFigures("n2", B, 2, "127.0.0.1:2", "east", "member", "", True, 3, None),
    NodeFigures("n3", C, 3, "127.0.0.1:3", "", "leaving", "", False, None, 90.0),
)
WELL = ShardFigures(1, (A, B), A, 4, (A, B), (), False, 120, 120, {B: 2})
NAMES = Names(NODES)


def test_a_cluster_is_two_tables() -> None:
    cluster = ClusterFigures("ab", "orders", A, 3, 1, NODES, (ShardFigures(0, (A, B, C)), WELL))
    assert status_text(cluster).splitlines() == [
        "Cluster orders, as n1 sees it: 2 of 3 nodes up, 1 of 2 shards served, replication factor 3",
        "",
        "NODE  PEER              ADDRESS      ZONE  STATE    HEARD          LEADS  HOLDS",
        "n1    000000000000000a  127.0.0.1:1  -     member   here               1      1",
        "n2    000000000000000b  127.0.0.1:2  east  member   up, 3 ms           0      1",
        "n3    000000000000000c  127.0.0.1:3  -     leaving  down for 90 s      0      0",
        "",
        "SHARD   LEADER  TERM  ENTRIES  HELD BY     BEHIND  STATE",
        "0 meta  -          0        0  n1, n2, n3  -       no leader: it needs a majority of its nodes",
        "1       n1         4      120  n1, n2      n2 2    well",
    ]


def test_a_node_that_has_left_still_tells_what_it_knows() -> None:
    cluster = ClusterFigures("ab", "orders", C, 3, 1, NODES[:2], (WELL,))
    assert "as a node that has left it sees it" in status_text(cluster)


@pytest.mark.parametrize(
    ("waits", "text"),
    [
        ((WaitFigures("node", C),), "waits for n3, which does not answer"),
        ((WaitFigures("entries", C, 700),), "n3 has yet to get 700 entries"),
        ((WaitFigures("snapshot", C),), "n3 fetches a snapshot, 1.0 KiB of 4.0 KiB"),
        ((WaitFigures("majority"),), "too few of the nodes that are to hold it are up"),
        ((WaitFigures("change"),), "changes its members"),
        ((WaitFigures("of a later version"),), "of a later version; n3 fetches a snapshot, 1.0 KiB of 4.0 KiB"),
        ((), "n3 fetches a snapshot, 1.0 KiB of 4.0 KiB"),
    ],
)
def test_a_shard_tells_what_it_waits_for(waits: tuple[WaitFigures, ...], text: str) -> None:
    snapshots = (SnapshotFigures(C, 1024, 4096),)
    shard = ShardFigures(1, (A, B, C), A, 4, (A, B), (C,), False, 9, 9, {}, waits, snapshots)
    said = shard_state(shard, NAMES)
    assert said == text if waits and waits[0].reason in ("snapshot", "of a later version") else said.startswith(text)


def test_a_voter_that_is_down_is_named() -> None:
    shard = ShardFigures(1, (A, B, C), A, 4, (A, B, C))
    assert shard_state(shard, NAMES) == "n3 is down"


def test_durations_are_in_units_that_fit() -> None:
    assert [duration_text(s) for s in (0.4, 119, 120, 7200, 172800)] == ["0 s", "119 s", "2 min", "2 h", "2 d"]


def test_a_table_without_rows_is_its_head() -> None:
    assert table(("A", "B"), []) == ["A  B"]


@pytest.mark.parametrize("url", ["127.0.0.1:15672", "ftp://a", "http://", "http://a/b", "http://u:p@a"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="--url"):
        ClusterClient(url, "guest", "guest")


def test_what_is_asked_on_the_command_line() -> None:
    asked = parser().parse_args(["cluster", "move", "1", "n1", "n2", "--url", "http://a:1"])
    assert (asked.command, asked.action, asked.shard, asked.source, asked.target) == ("cluster", "move", 1, "n1", "n2")
    assert asked.url == "http://a:1"
    assert parser().parse_args(["cluster", "remove", "n1", "--cancel"]).cancel
