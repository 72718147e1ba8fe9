"""Nodes and shards as rows: what is asked of them, what is refused, and that each version reads its forerunners'."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.core.membership import NODE_NUMBER_MAX
from broker.core.outcomes import Applied, Refused
from broker.core.topology import Topology
from broker.core.topology_commands import (
    SINCE,
    DropNode,
    FoundCluster,
    MarkLeaving,
    PutNode,
    PutShard,
    TopologyCommand,
    decode_command,
    encode_command,
)
from broker.core.topology_rows import ClusterRow, NodeRow, Row, ShardRow, decode_row, encode_row
from broker.core.users import founding_commands
from broker.model.names import NO_PEER, PeerId, ShardId
from broker.model.refusals import Refusal

GOLDEN = Path(__file__).parent / "golden" / "membership-0.1.0.txt"
"""A line each: ``row KEY VALUE`` or ``command BYTES``, in hex.  Written once; a later version must read it so."""
A, B, C, D = (PeerId(0xA0 + number) for number in range(4))
FOUND = FoundCluster(b"0123456789abcdef", "dragoman", 3, 2, A, "a", "127.0.0.1:25672", "east")
Rows = dict[bytes, bytes]


@pytest.fixture
def topology() -> Topology:
    """A cluster of a, which holds all, and b and c."""
    topology = Topology()
    for command in (FOUND, node(B, "b"), node(C, "c")):
        done(topology, command)
    return topology


def node(peer: PeerId, name: str, *, replaces: PeerId = NO_PEER, address: str = "127.0.0.1:25673") -> PutNode:
    return PutNode(peer, name, address, "", replaces)


def shard(number: int, old: tuple[PeerId, ...], replicas: tuple[PeerId, ...]) -> PutShard:
    return PutShard(ShardId(number), old, replicas)


def done(topology: Topology, command: TopologyCommand) -> Applied:
    outcome = topology.apply(command, 0)
    assert isinstance(outcome, Applied), outcome
    return outcome


def refused(topology: Topology, command: TopologyCommand) -> Refused:
    """And nothing changed."""
    topology.rows_changed()
    outcome = topology.apply(command, 0)
    assert isinstance(outcome, Refused), outcome
    assert topology.rows_changed() == []
    return outcome


def keep(rows: Rows, topology: Topology) -> None:
    for key, value in topology.rows_changed():
        if value is None:
            del rows[key]
        else:
            rows[key] = value


def test_a_store_without_a_cluster_opens_as_it_is() -> None:
    before, rows = Topology(), Rows()
    for command in founding_commands(b"salt"):
        before.apply(command, 0)
    keep(rows, before)
    topology = Topology.from_rows(rows.items())
    assert topology.cluster() is None
    assert topology.nodes() == []
    assert topology.shard_rows() == []
    for command in (node(B, "b"), shard(1, (), (B,))):
        assert refused(topology, command).detail == "this node belongs to no cluster"
    assert done(topology, FOUND).changed


def test_a_cluster_is_founded_by_its_first_node() -> None:
    topology = Topology()
    assert done(topology, FOUND).changed
    assert topology.cluster() == ClusterRow(FOUND.cluster_id, "dragoman", 3, 2, next_number=2)
    assert topology.nodes() == [NodeRow(A, 1, "a", "127.0.0.1:25672", "east")]
    assert topology.shard_rows() == [ShardRow(ShardId(number), (A,)) for number in range(3)]
    assert not done(topology, FOUND).changed


def test_numbers_are_never_given_twice(topology: Topology) -> None:
    done(topology, DropNode(C))
    done(topology, node(D, "c"))
    assert {row.name: row.number for row in topology.nodes()} == {"a": 1, "b": 2, "c": 4}


def test_the_last_number_is_the_last_node() -> None:
    rows = [ClusterRow(FOUND.cluster_id, "dragoman", 3, 2, next_number=NODE_NUMBER_MAX)]
    topology = Topology.from_rows((row.key(), encode_row(row)) for row in rows)
    done(topology, node(B, "b"))
    assert refused(topology, node(C, "c")).refusal is Refusal.RESOURCE_ERROR
    assert done(topology, node(B, "b", address="elsewhere:1")).changed, "one that is there may change"


def test_a_node_takes_the_place_of_the_one_whose_name_it_has(topology: Topology) -> None:
    done(topology, node(D, "c", replaces=C))
    old, new = topology.node(C), topology.node(D)
    assert old is not None
    assert (old.state, old.replaced_by, old.name) == ("leaving", D, "c")
    assert new is not None
    assert (new.state, new.number) == ("member", 4)
    assert refused(topology, MarkLeaving(C, leaving=False)).detail == "another node has the name 'c' now"
    assert done(topology, node(C, "c", address="elsewhere:1")).changed, "still it may say where it is"


def test_leaving_can_be_taken_back(topology: Topology) -> None:
    assert done(topology, MarkLeaving(B)).changed
    assert not done(topology, MarkLeaving(B)).changed
    assert refused(topology, shard(1, (A,), (B,))).detail == "node 'b' is leaving: it takes no replica"
    assert done(topology, MarkLeaving(B, leaving=False)).changed
    assert done(topology, shard(1, (A,), (B,))).changed


def test_of_two_drivers_one_moves_a_shard(topology: Topology) -> None:
    assert done(topology, shard(1, (A,), (B, A, C))).changed
    assert refused(topology, shard(1, (A,), (C,))).refusal is Refusal.PRECONDITION_FAILED
    assert not done(topology, shard(1, (B, A, C), (B, A, C))).changed
    assert done(topology, shard(1, (B, A, C), (A, B, C))).changed, "the order is who is to lead"


def test_shards_are_added_one_after_the_other(topology: Topology) -> None:
    assert "there are 2" in refused(topology, shard(4, (), (A,))).detail
    assert done(topology, shard(3, (), (A,))).changed
    cluster = topology.cluster()
    assert cluster is not None
    assert cluster.shard_count == 3


REFUSALS = [
    (FoundCluster(b"f" * 16, "x", 3, 2, A, "a", "h:1", ""), "there is a cluster 'dragoman' already"),
    (node(D, "c"), "a node 'c' is there already: it is peer 00000000000000a2"),
    (node(D, "c", replaces=B), "a node 'c' is there already: it is peer 00000000000000a2"),
    (node(B, "c"), "a node 'c' is there already: it is peer 00000000000000a2"),
    (node(NO_PEER, "x"), "0 is no peer id"),
    (node(PeerId(1 << 64), "x"), "18446744073709551616 is no peer id"),
    (node(D, ""), "node name is empty or longer than 255 bytes"),
    (node(D, "d", address="x" * 263), "a node's address has 1 to 262 bytes"),
    (PutNode(D, "d", "h:1", "z" * 256), "zone name is empty or longer than 255 bytes"),
    (MarkLeaving(D), "no node with peer id 00000000000000a3"),
    (DropNode(A), "node 'a' is to hold shards 0, 1, 2"),
    (shard(1, (A,), (A, B)), "a shard has 1, 3 or 5 different replicas, not (00000000000000a0, 00000000000000a1)"),
    (shard(1, (A,), ()), "a shard has 1, 3 or 5 different replicas, not ()"),
    (shard(1, (A,), (D,)), "no node with peer id 00000000000000a3"),
    (
        shard(1, (A,), (A, B, B)),
        "a shard has 1, 3 or 5 different replicas, not (00000000000000a0, 00000000000000a1, 00000000000000a1)",
    ),
]


@pytest.mark.parametrize(("command", "detail"), REFUSALS, ids=lambda each: repr(each)[:60])
def test_what_is_refused(topology: Topology, command: TopologyCommand, detail: str) -> None:
    assert refused(topology, command).detail == detail


@pytest.mark.parametrize(
    "command",
    [
        FoundCluster(bytes(16), "x", 3, 2, A, "a", "h:1", ""),
        FoundCluster(b"f" * 15, "x", 3, 2, A, "a", "h:1", ""),
        FoundCluster(b"f" * 16, "x", 2, 2, A, "a", "h:1", ""),
        FoundCluster(b"f" * 16, "x", 3, 65, A, "a", "h:1", ""),
        FoundCluster(b"f" * 16, "x", 3, 0, A, "a", "h:1", ""),
        FoundCluster(b"f" * 16, "", 3, 2, A, "a", "h:1", ""),
        FoundCluster(b"f" * 16, "x", 3, 2, A, "", "h:1", ""),
    ],
    ids=repr,
)
def test_what_founds_no_cluster(command: FoundCluster) -> None:
    assert refused(Topology(), command).refusal is Refusal.PRECONDITION_FAILED


def test_the_last_member_can_not_leave() -> None:
    topology = Topology()
    done(topology, FOUND)
    assert refused(topology, MarkLeaving(A)).detail == "node 'a' is the last one of the cluster"


def test_a_shard_on_a_node_without_a_row_is_refused_at_the_start() -> None:
    row = ShardRow(ShardId(1), (A,))
    with pytest.raises(ValueError, match="names what is not there"):
        Topology.from_rows([(row.key(), encode_row(row))])


GOLDEN_ROWS: list[Row] = [
    ClusterRow(b"0123456789abcdef", "dragoman", 3, 2, 5),
    NodeRow(A, 1, "a", "127.0.0.1:25672", "east"),
    NodeRow(PeerId((1 << 64) - 1), NODE_NUMBER_MAX, "b", "[::1]:25673", "", "leaving", A),
    ShardRow(ShardId(0), (A,)),
    ShardRow(ShardId(2), (PeerId((1 << 64) - 1), B, A)),
]
GOLDEN_COMMANDS: list[TopologyCommand] = [
    FOUND,
    PutNode(B, "b", "h:1", "west", C),
    MarkLeaving(B),
    MarkLeaving(B, leaving=False),
    DropNode(B),
    PutShard(ShardId(2), (A,), (A, B, C)),
]


def golden_lines() -> list[str]:
    return [
        *(f"row {row.key().hex()} {encode_row(row).hex()}" for row in GOLDEN_ROWS),
        *(f"command {encode_command(command).hex()}" for command in GOLDEN_COMMANDS),
    ]


def test_rows_and_commands_of_an_earlier_version_are_read() -> None:
    lines = [line.split() for line in GOLDEN.read_text().splitlines()]
    rows = [decode_row(*map(bytes.fromhex, words[1:])) for words in lines if words[0] == "row"]
    assert rows == GOLDEN_ROWS
    assert [decode_command(bytes.fromhex(words[1])) for words in lines if words[0] == "command"] == GOLDEN_COMMANDS


def test_rows_and_commands_are_written_as_they_were() -> None:
    assert golden_lines() == GOLDEN.read_text().splitlines()


PEERS = st.sampled_from([A, B, C, D])
REPLICAS = st.lists(PEERS, min_size=1, max_size=3).map(tuple)
COMMANDS = st.one_of(
    st.builds(node, PEERS, st.sampled_from("abc"), replaces=st.sampled_from([NO_PEER, A, B, C, D])),
    st.builds(MarkLeaving, PEERS, st.booleans()),
    st.builds(DropNode, PEERS),
    st.builds(lambda number, old, new: shard(number, old, new), st.integers(0, 3), REPLICAS, REPLICAS),
)


class Membership(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.topology, self.rows = Topology(), Rows()
        self.log: list[bytes] = []
        self.numbers: dict[PeerId, int] = {}
        self.last_number = 0
        self.apply(FOUND)

    @rule(command=COMMANDS, current=st.booleans())
    def apply(self, command: TopologyCommand, current: bool = False) -> None:
        """``current``: a driver that knows what stands there."""
        if current and isinstance(command, PutShard):
            there = {row.shard: row.replicas for row in self.topology.shard_rows()}
            command = PutShard(command.shard, there.get(command.shard, ()), command.replicas)
        self.log.append(encode_command(command))
        before = dict(self.rows)
        outcome = self.topology.apply(command, 0)
        keep(self.rows, self.topology)
        assert (self.rows != before) == (isinstance(outcome, Applied) and outcome.changed)

    @invariant()
    def every_shard_is_on_nodes_that_are_there(self) -> None:
        nodes = {row.peer for row in self.topology.nodes()}
        for row in self.topology.shard_rows():
            assert set(row.replicas) <= nodes
            assert len(set(row.replicas)) == len(row.replicas)
            assert len(row.replicas) in (1, 3, 5)
        assert [row.shard for row in self.topology.shard_rows()] == list(range(len(self.topology.shard_rows())))

    @invariant()
    def a_name_is_one_members(self) -> None:
        names = [row.name for row in self.topology.nodes() if row.state == "member"]
        assert names
        assert len(set(names)) == len(names)

    @invariant()
    def a_number_is_one_peers(self) -> None:
        there = {row.peer: row.number for row in self.topology.nodes()}
        for peer, number in there.items():
            if self.numbers.get(peer) != number:
                assert number > self.last_number
                self.last_number = number
        self.numbers = there

    def teardown(self) -> None:
        """Log and rows each give the same again."""
        replica, rows = Topology(), Rows()
        for data in self.log:
            replica.apply(decode_command(data), 0)
            keep(rows, replica)
        assert rows == self.rows
        restored = Topology.from_rows(reversed(self.rows.items()))
        assert restored.rows_changed() == []
        assert restored.nodes() == self.topology.nodes()
        assert restored.shard_rows() == self.topology.shard_rows()
        assert restored.cluster() == self.topology.cluster()


TestMembership = pytest.mark.slow(Membership.TestCase)


def test_the_cluster_speaks_what_every_node_understands(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = Topology()
    assert topology.cluster_version() == 1
    topology.apply(FOUND, 0)
    monkeypatch.setitem(SINCE, MarkLeaving, 2)
    refused = topology.admit(MarkLeaving(A))
    assert isinstance(refused, Refused)
    assert "a has an older one" in refused.detail
    assert topology.apply(PutNode(A, "a", "127.0.0.1:25672", "east", version=2), 0) == Applied(changed=True)
    assert topology.cluster_version() == 2
    assert topology.admit(MarkLeaving(A)) is None
    older = topology.apply(PutNode(B, "b", "h:1", "", version=1), 0)
    assert isinstance(older, Refused)
    assert "speaks 2" in older.detail
    assert topology.apply(PutNode(B, "b", "h:1", "", version=3), 0) == Applied(changed=True)
    assert topology.cluster_version() == 2
