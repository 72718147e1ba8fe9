"""Settings that are well by themselves and make no sense together are refused where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.cluster.frame_kinds import BATCH_SLACK, CHANNEL_SIZE_MAX, Channel
from broker.cluster.peer import HEARTBEAT_INTERVAL_S, SUSPICION_S
from broker.cluster.replication import ELECTION_TIMEOUT_S
from broker.config import Config, ConfigError, load
from broker.config.addresses import parse_address
from broker.config.agreement import CLUSTER_MESSAGE_SIZE_MAX, QUESTIONS
from broker.config.cluster_secret import read_secret
from broker.config.schema import Cluster

SECRET = "0123456789abcdef"
SECRET_ADVICE = "give all nodes the same cluster.secret or secret_file"
CLUSTER_3 = sorted(Path("config/cluster-3").glob("*.yaml"))


def problems(path: Path, cluster: str, replication: str = "") -> list[str]:
    """With their places in a file whose cluster section begins in line 3."""
    lines = [f"    {line.strip()}" for line in cluster.split(";")]
    text = "\n".join(["message_queue:", "  cluster:", *lines])
    if replication:
        text += f"\n  broker: {{replication: {{{replication}}}}}"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    return [str(problem).removeprefix(f"{path}:") for problem in refused.value.problems]


REFUSED = [
    ("listen: here", ["3:13: cluster.listen: 'here' lacks a port, such as 25672"]),
    (
        "listen: '127.0.0.1:0'",
        ["3:13: cluster.listen: '127.0.0.1:0': a port is a number from 1 to 65535"],
    ),
    (
        "listen: '127.0.0.1:1'; peers: ['a b', '::1', ok]; secret: 0123456789abcdefg",
        [
            "4:13: cluster.peers[0]: 'a b' is not a host and a port, such as 10.0.0.1:25672",
            "4:20: cluster.peers[1]: '::1': write an IPv6 address in brackets, [::1]:25672",
        ],
    ),
    (
        "peers: ['127.0.0.1:2']",
        ["3:12: cluster.peers is for a node of a cluster: say where other nodes reach this one, cluster.listen"],
    ),
    (
        "secret: 0123456789abcdefg",
        ["3:13: cluster.secret is for a node of a cluster: say where other nodes reach this one, cluster.listen"],
    ),
    (
        "listen: '0.0.0.0:1'; secret: 0123456789abcdefg",
        ["3:13: cluster.listen: others can't connect to every address: say which is theirs, cluster.advertise"],
    ),
    (
        "listen: '127.0.0.1:1'; advertise: '[::]:1'; secret: 0123456789abcdefg",
        ["4:16: cluster.advertise is where others connect to: it can't be every address"],
    ),
    (
        "listen: '127.0.0.1:1'; secret: 0123456789abcdefg; secret_file: /x",
        ["4:13: cluster.secret: there is cluster.secret_file too: leave one of them out"],
    ),
    (
        "listen: '127.0.0.1:1'; secret: short",
        ["4:13: cluster.secret must have at least 16 bytes: who hears a handshake could guess it"],
    ),
    *(
        (
            f"listen: '{listen}'; peers: ['{peer}']",
            [f"3:13: cluster.listen is reached from other machines: {SECRET_ADVICE}"],
        )
        for listen, peer in (("10.0.0.1:1", "localhost:2"), ("127.0.0.1:1", "10.0.0.1:2"), ("127.0.0.1:1", "other"))
    ),
    (
        "listen: '127.0.0.1:1'; tls: {ca_file: /x}",
        ["4:10: cluster.tls needs all of ca_file, cert_file and key_file: each node proves itself to the other"],
    ),
    (
        "tls: {ca_file: /x, cert_file: /y, key_file: /z}",
        ["3:10: cluster.tls is for a node of a cluster: say where other nodes reach this one, cluster.listen"],
    ),
    (
        "suspect_after: 200ms",
        ["3:20: cluster.suspect_after must be at least 3 times cluster.heartbeat_interval"],
    ),
    (
        "heartbeat_interval: 400ms",
        ["3:5: cluster.suspect_after must be at least 3 times cluster.heartbeat_interval"],
    ),
]


@pytest.mark.parametrize(("cluster", "expected"), REFUSED, ids=[cluster for cluster, _ in REFUSED])
def test_what_makes_no_sense_together(tmp_path: Path, cluster: str, expected: list[str]) -> None:
    assert problems(tmp_path / "x.yaml", cluster) == expected


@pytest.mark.parametrize(("factor", "asked", "majority"), [(3, 1, 2), (3, 3, 2), (5, 2, 3), (1, 2, 1)])
def test_in_sync_means_the_majority(tmp_path: Path, factor: int, asked: int, majority: int) -> None:
    found = problems(tmp_path / "x.yaml", f"replication_factor: {factor}", f"min_insync_replicas: {asked}")
    wanted = f"broker.replication.min_insync_replicas can only be the majority, {majority} of {factor}"
    assert [wanted in each for each in found] == [True]


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ("replication_factor: 2", "cluster.replication_factor: 2 is unknown - known here: 1, 3, 5"),
        ("default_confirm: all", "cluster.default_confirm: 'all' is unknown"),
        ("heartbeat_interval: 5ms", "cluster.heartbeat_interval must be at least 10ms"),
        ("election_timeout: 5s", "cluster.election_timeout must be at most 4s"),
        ("replace_dead_after: 31d", "cluster.replace_dead_after must be at most 30d"),
        ("seeds: [a]", "cluster.seeds: is cluster.peers here"),
        (f"peers: [{', '.join('abcde' * 13)}]", "cluster.peers must have 0 to 64 entries"),
    ],
)
def test_what_is_wrong_by_itself(tmp_path: Path, cluster: str, words: str) -> None:
    (found,) = problems(tmp_path / "x.yaml", cluster)
    assert words in found


GOOD = [
    "shards: 4",
    "listen: '127.0.0.1:1'",
    "listen: '[::1]:1'; peers: [localhost, '127.0.0.9:2']",
    f"listen: '10.0.0.1:1'; peers: [other, 'db-2.local:5']; secret: '{SECRET}'",
    f"listen: '0.0.0.0:1'; advertise: 'me:1'; secret: '{SECRET}'",
    "listen: '10.0.0.1:1'; secret_file: /run/secret; tls: {ca_file: /x, cert_file: /y, key_file: /z}",
    "heartbeat_interval: 1s; suspect_after: 3s",
]


@pytest.mark.parametrize("cluster", GOOD)
def test_what_agrees(tmp_path: Path, cluster: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("message_queue:\n  cluster:\n" + "\n".join(f"    {line.strip()}" for line in cluster.split(";")))
    assert load(path, {}).cluster.cluster_name == "dragoman"


def test_a_majority_may_be_written_as_a_number(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("message_queue: {broker: {replication: {min_insync_replicas: 2}}}")
    assert load(path, {}).broker.replication.min_insync_replicas == 2


def test_the_defaults_agree() -> None:
    assert [complaint for question in QUESTIONS for complaint in question(Config())] == []


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("10.0.0.1:5", "10.0.0.1", 5, "10.0.0.1:5"),
        ("[::1]:65535", "::1", 65535, "[::1]:65535"),
        ("[::1]", "::1", 7, "[::1]:7"),
        ("_srv.a-b.example.", "_srv.a-b.example.", 7, "_srv.a-b.example.:7"),
    ],
)
def test_an_address_is_read_and_written(text: str, host: str, port: int, shown: str) -> None:
    address = parse_address(text, 7)
    assert (address.host, address.port, str(address)) == (host, port, shown)
    assert parse_address(shown) == address


@pytest.mark.parametrize(
    "text", ["", ":1", "a:", "a:x", "a:65536", "a:01", "[::1", "[::1]1", "[a]:1", "[]:1", "a b:1", "a/b", "a" * 256]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(text, 7)


@pytest.mark.parametrize(
    ("text", "loopback", "wildcard"),
    [
        ("127.3.2.1:1", True, False),
        ("[::1]:1", True, False),
        ("localhost:1", True, False),
        ("localhost.example:1", False, False),
        ("0.0.0.0:1", False, True),
        ("[::]:1", False, True),
        ("10.0.0.1:1", False, False),
    ],
)
def test_whom_an_address_reaches(text: str, loopback: bool, wildcard: bool) -> None:
    address = parse_address(text)
    assert (address.loopback, address.wildcard) == (loopback, wildcard)


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with_file = Cluster(secret_file=str(path))
    for written in (SECRET, f"{SECRET}\n", f"{SECRET}\r\n"):
        path.write_bytes(written.encode())
        assert read_secret(with_file) == SECRET.encode()
    assert read_secret(Cluster(secret=SECRET)) == SECRET.encode()
    assert read_secret(Cluster()) == b""


def test_a_file_that_holds_no_secret_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with_file = Cluster(secret_file=str(path))
    with pytest.raises(ConfigError, match=r"secret_file: can't be read: No such file"):
        read_secret(with_file)
    for written in (b"", b"short\n", b"x" * 1025):
        path.write_bytes(written)
        with pytest.raises(ConfigError, match="a secret has 16 to 1024 bytes"):
            read_secret(with_file)


def test_a_node_has_a_name() -> None:
    assert Cluster().name_of_node == "node-1"
    assert Cluster(node_name="a").name_of_node == "a"


def test_a_message_must_fit_between_the_nodes_of_a_cluster(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.yaml"

    def written(size: str, listen: str) -> Path:
        path.write_text(
            f"message_queue:\n  broker: {{performance: {{max_message_size: {size}}}}}\n  cluster: {{{listen}}}\n"
        )
        return path

    listen = "listen: '127.0.0.1:1'"
    assert load(written("512MiB", ""), {}).broker.performance.max_message_size == 512 << 20
    assert load(written("64MiB", listen), {}).broker.performance.max_message_size == CLUSTER_MESSAGE_SIZE_MAX
    with pytest.raises(
        ConfigError, match=r"2:\d+: broker.performance.max_message_size can be at most 64MiB in a cluster"
    ):
        load(written("65MiB", listen), {})


def test_the_frames_between_nodes_carry_the_largest_message() -> None:
    for channel in (Channel.BULK, Channel.FORWARD):
        assert CHANNEL_SIZE_MAX[channel] >= CLUSTER_MESSAGE_SIZE_MAX + BATCH_SLACK


def test_three_nodes_of_a_cluster_find_each_other_and_are_in_nobodys_way() -> None:
    nodes = [load(path, {}) for path in CLUSTER_3]
    assert len(nodes) == 3
    assert len({node.cluster.cluster_name for node in nodes}) == 1
    listening = [node.cluster.listen for node in nodes]
    for node in nodes:
        assert sorted([node.cluster.listen, *node.cluster.peers]) == sorted(listening)
    ports = [int(listen.split(":")[1]) for listen in listening]
    ports += [listener.port for node in nodes for listener in node.broker.listeners]
    assert len(set(ports)) == 3 * 5
    for wanted in ({node.broker.storage.log_dir for node in nodes}, {node.cluster.name_of_node for node in nodes}):
        assert len(wanted) == 3


def test_what_a_file_leaves_out_is_what_the_cluster_takes_itself() -> None:
    section = Cluster()
    assert (section.heartbeat_interval, section.suspect_after) == (HEARTBEAT_INTERVAL_S, SUSPICION_S)
    assert section.election_timeout == ELECTION_TIMEOUT_S
