"""``dragoman cluster``: looks at a cluster and changes it, by asking one of its nodes over HTTP.

What is asked goes on by itself once it is decided: these commands only watch, so Ctrl-C undoes nothing.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias, TypeVar

from broker.cli.cluster_client import ClusterClient, NotAllowed, Refused, Unreachable
from broker.cli.cluster_table import META, Names, shard_state, status_text
from broker.model.cluster_figures import ClusterFigures, OperationFigures, ShardFigures

REFUSED = 1
USAGE = 2
UNREACHABLE = 3
"""Nobody answered, or the user may not."""
NOT_SERVED = 4
"""``status``: a shard has no leader."""
INTERRUPTED = 130
"""As a shell says it of Ctrl-C."""
PASSWORD = "DRAGOMAN_PASSWORD"
GUEST = "guest"
POLL_INTERVAL_S = 0.3
PATIENCE_S = 30.0
"""How long a node that was asked may be away before its client gives up."""
BEHIND_MAX = 256
"""Entries: a node that lacks no more has the topology, as good as."""

Figures = TypeVar("Figures", ClusterFigures, OperationFigures)
Look: TypeAlias = Callable[[ClusterFigures], tuple[bool, str]]
"""Whether it is so, and how far it is or what has become of it."""


class Overtaken(Exception):
    """The cluster, or somebody else, decided otherwise meanwhile."""


def run_cluster(asked: argparse.Namespace) -> int:
    """The exit code."""
    try:
        return _run(asked)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (Refused, Overtaken) as error:
        print(f"dragoman: {error}", file=sys.stderr)
        return REFUSED
    except NotAllowed as error:
        print(f"dragoman: {error}. --user NAME, and the password in {PASSWORD} or when asked", file=sys.stderr)
        return UNREACHABLE
    except Unreachable as error:
        print(f"dragoman: {error}. --url names another node's HTTP listener", file=sys.stderr)
        return UNREACHABLE
    except ValueError as error:
        print(f"dragoman: {error}", file=sys.stderr)
        return USAGE


def _run(asked: argparse.Namespace) -> int:
    client, cluster = _connect(asked.url, asked.user)
    if asked.action == "status":
        print(status_text(cluster))
        return 0 if all(shard.leader for shard in cluster.shards) else NOT_SERVED
    watch = Watch(client, Progress())
    try:
        said = ACTIONS[asked.action](watch, asked)
    except KeyboardInterrupt:
        watch.progress.end()
        print("It goes on by itself; dragoman cluster status tells how far it is.", file=sys.stderr)
        return INTERRUPTED
    finally:
        watch.progress.end()
    print(said)
    return 0


def _connect(url: str, user: str | None) -> tuple[ClusterClient, ClusterFigures]:
    """The user of a new broker is tried where nothing else is said."""
    password = os.environ.get(PASSWORD)
    if password is None and user is None:
        client = ClusterClient(url, GUEST, GUEST)
        try:
            return client, client.cluster()
        except NotAllowed:
            if not sys.stdin.isatty():
                raise
            user = input(f"User of {url}: ")
    if password is None:
        if not sys.stdin.isatty():
            raise NotAllowed(f"no password for user '{user}'")
        password = getpass.getpass(f"Password of {user or GUEST}: ")
    client = ClusterClient(url, user or GUEST, password)
    return client, client.cluster()


class Progress:
    """One line that changes, on a terminal; elsewhere a line for each change."""

    def __init__(self) -> None:
        self._changing = sys.stderr.isatty()
        self._last = ""

    def tell(self, text: str) -> None:
        if text == self._last:
            return
        self._last = text
        if self._changing:
            room = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:room]}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._last and self._changing:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._last = ""


class Watch:
    """One thing that was asked, until it is so."""

    def __init__(self, client: ClusterClient, progress: Progress) -> None:
        self.client = client
        self.progress = progress

    def decided(self, operation: OperationFigures) -> OperationFigures:
        """Waits until it is decided.  Raises Refused."""
        while operation.state == "pending":
            self.progress.tell(f"{operation.action}: {operation.detail}")
            time.sleep(POLL_INTERVAL_S)
            operation = self._patiently(partial(self.client.operation, operation.id))
        if operation.state == "refused":
            raise Refused(operation.detail)
        return operation

    def until(self, look: Look) -> str:
        """Waits until the cluster is so; what there is to say of it."""
        while True:
            done, said = look(self._patiently(self.client.cluster))
            if done:
                return said
            self.progress.tell(said)
            time.sleep(POLL_INTERVAL_S)

    def _patiently(self, ask: Callable[[], Figures]) -> Figures:
        """A node may be away for a moment."""
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                return ask()
            except Unreachable as error:
                if time.monotonic() >= give_up_at:
                    raise
                self.progress.tell(f"{error}; asking again")
                time.sleep(POLL_INTERVAL_S)


def add(watch: Watch, asked: argparse.Namespace) -> str:
    operation = watch.decided(watch.client.ask("add", address=asked.address))

    def look(cluster: ClusterFigures) -> tuple[bool, str]:
        names, meta = Names(cluster.nodes), _shard(cluster, META)
        name = names[operation.peer]
        if operation.peer not in (*meta.voters, *meta.learners):
            return False, f"{name} is a member; it is to get users, exchanges and queues (the meta shard)"
        if any(each.to == operation.peer for each in meta.snapshots):
            return False, f"{name} is a member; meta shard: {shard_state(meta, names)}"
        behind = meta.behind.get(operation.peer, 0)
        if behind > BEHIND_MAX:
            return False, f"{name} is a member; meta shard: {behind} entries to get"
        return (
            True,
            f"{name} is a member, peer {operation.peer}, and serves clients; replicas come to it now",
        )

    return watch.until(look)


def remove(watch: Watch, asked: argparse.Namespace) -> str:
    operation = watch.decided(watch.client.ask("remove", node=asked.node, cancel=asked.cancel))
    if asked.cancel:
        return f"{asked.node} stays"
    left = [f"{asked.node} has left"]

    def look(cluster: ClusterFigures) -> tuple[bool, str]:
        node = next((node for node in cluster.nodes if node.peer == operation.peer), None)
        names = Names(cluster.nodes)
        if node is None:
            return True, f"{left[0]}: it can be stopped"
        if node.state != "leaving":
            raise Overtaken(f"{node.name} is to stay after all")
        left[0] = f"{names[node.peer]} has left"
        held = [shard for shard in cluster.shards if operation.peer in (*shard.voters, *shard.wanted)]
        if not held:
            return False, f"{names[node.peer]} holds nothing any more; it is being dropped"
        first = held[0]
        return False, (
            f"{names[node.peer]} holds {len(held)} of {len(cluster.shards)} shards; "
            f"{_shard_name(first)}: {shard_state(first, names)}"
        )

    return watch.until(look)


def move(watch: Watch, asked: argparse.Namespace) -> str:
    wishes = {"shard": asked.shard, "from_": asked.source, "to": asked.target}
    operation = watch.decided(watch.client.ask("move", **wishes))

    def look(cluster: ClusterFigures) -> tuple[bool, str]:
        names, shard = Names(cluster.nodes), _shard(cluster, asked.shard)
        if operation.peer not in shard.wanted:
            raise Overtaken(
                f"{_shard_name(shard)} is to be on {names.joined(shard.wanted)} instead: the cluster keeps its nodes "
                "evenly filled, and its zones"
            )
        if shard.settled:
            return True, f"{_shard_name(shard)} is on {names.joined(shard.wanted)}"
        return False, f"{_shard_name(shard)}: {shard_state(shard, names)}"

    return watch.until(look)


def transfer(watch: Watch, asked: argparse.Namespace) -> str:
    operation = watch.decided(watch.client.ask("transfer", shard=asked.shard, to=asked.target))

    def look(cluster: ClusterFigures) -> tuple[bool, str]:
        names, shard = Names(cluster.nodes), _shard(cluster, asked.shard)
        if shard.leader == operation.peer:
            note = f" ({operation.detail})" if operation.detail else ""
            return True, f"{_shard_name(shard)} is led by {names[operation.peer]}{note}"
        if shard.wanted[0] != operation.peer:
            raise Overtaken(f"it was decided otherwise: {_shard_name(shard)} is to be led by {names[shard.wanted[0]]}")
        leader = names[shard.leader] if shard.leader else "nobody"
        return False, f"{_shard_name(shard)} is led by {leader}"

    return watch.until(look)


def _shard(cluster: ClusterFigures, number: int) -> ShardFigures:
    return next(shard for shard in cluster.shards if shard.shard == number)


def _shard_name(shard: ShardFigures) -> str:
    return "the meta shard" if shard.shard == META else f"shard {shard.shard}"


ACTIONS: dict[str, Callable[[Watch, argparse.Namespace], str]] = {
    "add": add,
    "remove": remove,
    "move": move,
    "transfer": transfer,
}
