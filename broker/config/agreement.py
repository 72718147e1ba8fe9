"""What settings ask of each other: each is well by itself, and together they make no sense.

A table of questions, asked once all settings are well; an answer names the key whose change would mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from broker.config.addresses import CLUSTER_PORT, Address, parse_address
from broker.config.cluster_secret import SECRET_SIZE_MIN
from broker.config.problem import Problem
from broker.config.schema import Cluster, Config
from broker.config.source import Mapping, Node, Sequence

Complaint = tuple[str, str]
"""The key's path, and what is wrong."""
CLUSTER_MESSAGE_SIZE_MAX = 64 << 20
"""What a frame between nodes carries (broker/cluster/frame_kinds.py)."""
SUSPECT_HEARTBEATS_MIN = 3
"""One that is late, and one that is lost, say nothing about a node."""


def check_agreement(config: Config, root: Node, problems: list[Problem]) -> None:
    """Adds to ``problems``.  What an address that is none would mean for the rest isn't asked."""
    found = list(addresses_are_addresses(config))
    if not found:
        found = [complaint for question in QUESTIONS for complaint in question(config)]
    problems.extend(Problem(_place(root, path).mark, f"{path}{text}") for path, text in found)


def addresses_are_addresses(config: Config) -> Iterator[Complaint]:
    cluster = config.cluster
    for path, text, port in (
        ("cluster.listen", cluster.listen, None),
        ("cluster.advertise", cluster.advertise, None),
        *((f"cluster.peers[{number}]", peer, CLUSTER_PORT) for number, peer in enumerate(cluster.peers)),
    ):
        if text or path.startswith("cluster.peers"):
            try:
                parse_address(text, port)
            except ValueError as error:
                yield path, f": {error}"


def peers_need_a_listener(config: Config) -> Iterator[Complaint]:
    cluster = config.cluster
    if cluster.listen:
        return
    for name in ("peers", "advertise", "secret", "secret_file"):
        if getattr(cluster, name):
            yield f"cluster.{name}", " is for a node of a cluster: say where other nodes reach this one, cluster.listen"


def others_can_find_it(config: Config) -> Iterator[Complaint]:
    listen = _address(config.cluster.listen)
    if listen is not None and listen.wildcard and not config.cluster.advertise:
        yield "cluster.listen", ": others can't connect to every address: say which is theirs, cluster.advertise"
    advertise = _address(config.cluster.advertise)
    if advertise is not None and advertise.wildcard:
        yield "cluster.advertise", " is where others connect to: it can't be every address"


def nodes_prove_themselves(config: Config) -> Iterator[Complaint]:
    cluster = config.cluster
    if cluster.secret and cluster.secret_file:
        yield "cluster.secret", ": there is cluster.secret_file too: leave one of them out"
    if 0 < len(cluster.secret.encode()) < SECRET_SIZE_MIN:
        yield "cluster.secret", f" must have at least {SECRET_SIZE_MIN} bytes: who hears a handshake could guess it"
    if cluster.secret or cluster.secret_file or not cluster.listen:
        return
    reached = [found for found in map(_address, _reached(cluster)) if found is not None]
    if not all(address.loopback for address in reached):
        yield "cluster.listen", " is reached from other machines: give all nodes the same cluster.secret or secret_file"


def tls_is_whole(config: Config) -> Iterator[Complaint]:
    tls = config.cluster.tls
    given = [bool(each) for each in (tls.ca_file, tls.cert_file, tls.key_file)]
    if any(given) and not all(given):
        yield "cluster.tls", " needs all of ca_file, cert_file and key_file: each node proves itself to the other"
    if all(given) and not config.cluster.listen:
        yield "cluster.tls", " is for a node of a cluster: say where other nodes reach this one, cluster.listen"


def in_sync_means_the_majority(config: Config) -> Iterator[Complaint]:
    asked, factor = config.broker.replication.min_insync_replicas, config.cluster.replication_factor
    majority = factor // 2 + 1
    if asked not in ("majority", majority):
        path = "broker.replication.min_insync_replicas"
        yield (
            path,
            f" can only be the majority, {majority} of {factor}: fewer would lose confirmed messages, more stop early",
        )


def one_late_heartbeat_is_no_death(config: Config) -> Iterator[Complaint]:
    cluster = config.cluster
    if cluster.suspect_after < SUSPECT_HEARTBEATS_MIN * cluster.heartbeat_interval:
        yield "cluster.suspect_after", f" must be at least {SUSPECT_HEARTBEATS_MIN} times cluster.heartbeat_interval"


def messages_can_travel(config: Config) -> Iterator[Complaint]:
    if config.cluster.listen and config.broker.performance.max_message_size > CLUSTER_MESSAGE_SIZE_MAX:
        yield (
            "broker.performance.max_message_size",
            f" can be at most {CLUSTER_MESSAGE_SIZE_MAX >> 20}MiB in a cluster: what nodes send each other holds no"
            " larger message",
        )


QUESTIONS: tuple[Callable[[Config], Iterator[Complaint]], ...] = (
    peers_need_a_listener,
    others_can_find_it,
    nodes_prove_themselves,
    tls_is_whole,
    in_sync_means_the_majority,
    one_late_heartbeat_is_no_death,
    messages_can_travel,
)


def _reached(cluster: Cluster) -> Iterator[str]:
    yield cluster.listen
    yield cluster.advertise
    yield from cluster.peers


def _address(text: str) -> Address | None:
    """One that addresses_are_addresses had nothing to say about; None for none."""
    return parse_address(text, CLUSTER_PORT) if text else None


def _place(root: Node, path: str) -> Node:
    """Of the value at ``path``, or of the nearest section that is written out."""
    node = root
    for key in path.replace("[", ".[").split("."):
        if isinstance(node, Sequence) and key.startswith("["):
            node = node.items[int(key[1:-1])]
        elif isinstance(node, Mapping) and key in node.items:
            node = node.items[key][1]
    return node
