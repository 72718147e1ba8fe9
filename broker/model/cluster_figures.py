"""A cluster as one of its nodes sees it, for people and their tools: what ``GET /api/cluster`` answers, as JSON.

Peer ids are 16 hexadecimal digits: JSON's numbers hold no 64 bits.  Sizes are bytes, times seconds but for names in ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec


class NodeFigures(msgspec.Struct, frozen=True):
    """A row of the cluster's nodes, and whether whoever answers hears of it."""

    name: str
    peer: str
    number: int
    """Its in the cluster; none is given twice."""
    address: str
    """Where it listens to other nodes."""
    zone: str
    state: Literal["member", "leaving"]
    replaced_by: str
    """The peer that has its name now; empty: none."""
    up: bool
    round_trip_ms: int | None
    """None: not known, or the node itself."""
    down_s: float | None
    """For how long it has not been heard of; None: it is up."""


class WaitFigures(msgspec.Struct, frozen=True):
    """What a shard's next change waits for (broker/cluster/reconfiguration.py).

    ``change``: one is under way.  ``majority``: too few of those who are to vote are there.  ``node``: ``peer`` is not
    there.  ``snapshot``: it is fetching one.  ``entries``: how many it has yet to get.
    """

    reason: str
    peer: str = ""
    entries: int = 0


class SnapshotFigures(msgspec.Struct, frozen=True):
    """A shard on its way from its leader to a member: bytes so far, and about how many in all."""

    to: str
    sent: int
    size: int


class ShardFigures(msgspec.Struct, frozen=True):
    """A shard as its leader last said; 0 is the meta shard.

    Without a leader all but ``wanted`` may be old or empty.
    """

    shard: int
    wanted: tuple[str, ...]
    """Who is to hold it, in the order in which they are to lead."""
    leader: str = ""
    """Empty: none is known."""
    term: int = 0
    voters: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    changing: bool = False
    """A change of its members is proposed or in its joint phase."""
    last_index: int = 0
    commit_index: int = 0
    behind: Mapping[str, int] = {}
    """Entries that each other member has yet to confirm."""
    waits_for: tuple[WaitFigures, ...] = ()
    snapshots: tuple[SnapshotFigures, ...] = ()

    @property
    def settled(self) -> bool:
        """Led, and held by those who are to hold it."""
        return bool(self.leader) and not self.changing and set(self.voters) == set(self.wanted)


class ClusterFigures(msgspec.Struct, frozen=True):
    """``node``: the peer that answers."""

    cluster_id: str
    name: str
    node: str
    replication_factor: int
    shard_count: int
    """Data shards; the meta shard comes to them."""
    nodes: tuple[NodeFigures, ...]
    shards: tuple[ShardFigures, ...]


class ReplicaFigures(msgspec.Struct, frozen=True):
    """A shard's group on the node that answers.  ``behind``: for a leader, the entries that each other peer lacks."""

    shard: int
    leading: bool
    term: int
    last_index: int
    commit_index: int
    applied_index: int
    behind: Mapping[int, int]


class OperationFigures(msgspec.Struct, frozen=True):
    """Something that was asked of the cluster.

    ``done``: it is decided and written; how far the cluster is with it, its shards tell.  ``refused``: ``detail`` says
    why, and nothing changed.  ``pending``: ``detail`` says what it waits for.
    """

    id: int
    action: str
    state: Literal["pending", "done", "refused"]
    detail: str = ""
    peer: str = ""
    """The node that it is about; of an addition known only at its end."""


def peer_text(peer: int) -> str:
    return f"{peer:016x}" if peer else ""
