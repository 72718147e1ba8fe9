"""What nodes tell each other about the cluster itself: who joins, how shards stand, who is to lead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from broker.model.names import ShardId


class Join(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """A fresh node asks any member to be taken in -> Joined or Refusing."""

    node_name: str
    address: str
    zone: str


class Joined(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """``number``: the node's in the cluster, for good.  ``index``: of a topology that has it."""

    cluster_id: bytes
    number: int
    shard_count: int
    index: int


class Refusing(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """Why it is not taken in, or none any more by the topology of ``index``, in words."""

    why: str
    index: int


class ShardStatus(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """A shard as its leader sees it, to all others.  ``caught_up``: who could lead at once.

    For people: ``behind``, (peer, entries it lacks); ``waits``, (reason, peer, entries) of its next change;
    ``snapshots`` on their way, (peer, bytes so far, bytes).
    """

    shard: ShardId
    term: int
    voters: Sequence[int]
    learners: Sequence[int]
    changing: bool
    caught_up: Sequence[int]
    last_index: int
    commit_index: int = 0
    behind: Sequence[tuple[int, int]] = ()
    waits: Sequence[tuple[str, int, int]] = ()
    snapshots: Sequence[tuple[int, int, int]] = ()


class Lead(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """To a shard's leader: let this node lead."""

    shard: ShardId
    to: int


class AskMember(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """To a shard's leader, from a node whose replica is not wanted by the topology: is it a member still?  -> NoMember,
    or nothing.  ``contacts``: messages that it has had from leaders of the group."""

    shard: ShardId
    contacts: int


class NoMember(msgspec.Struct, frozen=True, gc=False, tag=True, array_like=True):
    """By the leader of ``term`` it is none; ``contacts``: of the question."""

    shard: ShardId
    term: int
    contacts: int


MemberWord: TypeAlias = Join | Joined | Refusing | ShardStatus | Lead | AskMember | NoMember
