"""From the Raft configuration a shard has to the one it is to have: what its leader does next.

Asked by the leader whenever anything changed.  A newcomer is a learner until it has nearly all of the log; then one
joint change lets newcomers in and others out at once.  A leader that is to go hands over first.  Law: every answer
leaves a majority of voters alive, and what is wanted is reached once all of it is there, whatever happened before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from broker.model.names import NO_PEER, PeerId

CATCH_UP_DISTANCE = 256
"""Entries.  A voter this near to the log's end is there within a few round trips; a commit that waits for it waits no
longer."""

Operation: TypeAlias = Literal["voter", "learner", "remove"]


class Configuration(msgspec.Struct, frozen=True):
    """As applied.  ``outgoing``: the old voters of a joint phase.  ``pending``: one is proposed, not yet applied."""

    voters: frozenset[PeerId]
    outgoing: frozenset[PeerId] = frozenset()
    learners: frozenset[PeerId] = frozenset()
    pending: bool = False


class Progress(msgspec.Struct, frozen=True):
    """What the leader knows of a member: the last index it has, and whether it answers."""

    matched: int
    active: bool
    snapshot_pending: bool = False


class Group(msgspec.Struct, frozen=True):
    """A shard as its leader sees it.  ``alive``: the nodes that are heard of, members of the group or not."""

    leader: PeerId
    configuration: Configuration
    progress: Mapping[PeerId, Progress]
    last_index: int
    alive: frozenset[PeerId]

    def caught_up(self, peer: PeerId) -> bool:
        """It can vote, and lead, at once."""
        if peer == self.leader:
            return True
        progress = self.progress.get(peer)
        if progress is None or peer not in self.alive or not progress.active or progress.snapshot_pending:
            return False
        return progress.matched + CATCH_UP_DISTANCE >= self.last_index

    def majority_alive(self, voters: frozenset[PeerId]) -> bool:
        return 2 * len(voters & (self.alive | {self.leader})) > len(voters)


class ChangeConfiguration(msgspec.Struct, frozen=True):
    """One proposal: simple if it is one change, joint if it is several."""

    changes: tuple[tuple[Operation, PeerId], ...]


class TransferLeadership(msgspec.Struct, frozen=True):
    to: PeerId


Step: TypeAlias = ChangeConfiguration | TransferLeadership


class Wait(msgspec.Struct, frozen=True):
    """``change``: one is under way.  ``majority``: too few of those who are to vote are there.

    ``node``: ``peer`` is not there.  ``snapshot``: it is fetching one.  ``entries``: how many it has yet to get.
    """

    reason: Literal["change", "majority", "node", "snapshot", "entries"]
    peer: PeerId = NO_PEER
    entries: int = 0


def next_step(group: Group, wanted: Sequence[PeerId], learners: frozenset[PeerId] = frozenset()) -> Step | None:
    """``wanted``: who is to vote, in the order in which they are to lead.  ``learners``: who is to learn for good.

    None: all is as wanted, or what is next must wait (for a member to catch up, a node to come back, a change to end).
    """
    assert wanted
    configuration = group.configuration
    if configuration.pending or configuration.outgoing:
        return None
    hand_over = _hand_over(group, wanted)
    if hand_over is not None:
        return hand_over
    return _change_voters(group, frozenset(wanted), learners) or _change_learners(group, frozenset(wanted), learners)


def waits_for(group: Group, wanted: Sequence[PeerId]) -> list[Wait]:
    """Why the voters aren't ``wanted`` yet, for people; empty if they are, or if it is the leader's turn."""
    configuration = group.configuration
    if configuration.pending or configuration.outgoing:
        return [Wait("change")]
    comers = [peer for peer in wanted if peer not in configuration.voters]
    heirs = [peer for peer in wanted if peer not in comers] if group.leader not in wanted else []
    waits = [_wait(group, peer) for peer in comers if not group.caught_up(peer)]
    if not any(map(group.caught_up, heirs)):
        waits += [_wait(group, peer) for peer in heirs]
    if configuration.voters != frozenset(wanted) and not group.majority_alive(frozenset(wanted) | {group.leader}):
        waits.append(Wait("majority"))
    return waits


def _wait(group: Group, peer: PeerId) -> Wait:
    """One that has not caught up."""
    progress = group.progress.get(peer, Progress(0, active=True))
    if peer not in group.alive or not progress.active:
        return Wait("node", peer)
    if progress.snapshot_pending:
        return Wait("snapshot", peer)
    return Wait("entries", peer, group.last_index - progress.matched)


def _hand_over(group: Group, wanted: Sequence[PeerId]) -> TransferLeadership | None:
    """A leader that is no voter would go on leading; one that leaves first, and has nobody to follow, waits for one."""
    if group.leader in wanted:
        return None
    heirs = (peer for peer in wanted if peer in group.configuration.voters and group.caught_up(peer))
    heir = next(heirs, None)
    return None if heir is None else TransferLeadership(heir)


def _change_voters(group: Group, wanted: frozenset[PeerId], learners: frozenset[PeerId]) -> ChangeConfiguration | None:
    """All newcomers are let in at once, when the last has caught up: an even number of voters is no gain."""
    voters = group.configuration.voters
    becoming = wanted | {group.leader}
    comers, leavers = sorted(becoming - voters), sorted(voters - becoming)
    if not comers and not leavers:
        return None
    if not all(map(group.caught_up, comers)) or not group.majority_alive(becoming):
        return None
    let_in: list[tuple[Operation, PeerId]] = [("voter", peer) for peer in comers]
    let_out: list[tuple[Operation, PeerId]] = [("learner" if peer in learners else "remove", peer) for peer in leavers]
    return ChangeConfiguration((*let_in, *let_out))


def _change_learners(
    group: Group, wanted: frozenset[PeerId], learners: frozenset[PeerId]
) -> ChangeConfiguration | None:
    """One at a time, newcomers first.  A node that is not there is not waited for."""
    members = group.configuration.voters | group.configuration.learners
    return (
        _first("learner", (wanted - members) & group.alive)
        or _first("learner", (learners - members) & group.alive)
        or _first("remove", group.configuration.learners - wanted - learners)
    )


def _first(operation: Operation, peers: Iterable[PeerId]) -> ChangeConfiguration | None:
    peer = min(peers, default=None)
    return None if peer is None else ChangeConfiguration(((operation, peer),))
