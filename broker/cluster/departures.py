"""Replicas that were moved away: what this node holds of them is forgotten, so that their room comes back.

A replica is forgotten only when the topology here says that it is not wanted, and all that it holds, which is applied,
says that its group has let it go; or its group's leader does, which is asked: never by not knowing.  How it voted is
kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from broker.cluster.member_words import NoMember
from broker.cluster.snapshots import Job
from broker.core.replicated_shard import ReplicatedShard
from broker.model.names import ShardId

log = structlog.get_logger()

LOOK_INTERVAL_S = 5.0
"""It is a matter of room, not of time."""


class Departures:
    """One node's."""

    def __init__(
        self,
        shards: Sequence[ReplicatedShard],
        is_wanted: Callable[[ReplicatedShard], bool],
        begin_job: Callable[[Job], None],
        forgotten: Callable[[ReplicatedShard], None],
        ask: Callable[[ReplicatedShard, int], None],
    ) -> None:
        """``is_wanted``: it is to have a replica here, or one is on its way.  ``forgotten`` is told of each.

        ``ask`` asks all other nodes, of which one may lead, whether this one is a member still: (shard, contacts).
        """
        self._shards = shards
        self._is_wanted = is_wanted
        self._begin_job = begin_job
        self._forgotten = forgotten
        self._ask = ask
        self._look_at = -math.inf
        self._still: dict[ShardId, tuple[int, int]] = {}
        """Not wanted; the last entry applied, and how much leaders have said to it: one that takes it in again makes it
        go on."""
        self._busy = False
        self.count = 0
        """Forgotten since the start."""

    def look(self, now: float) -> None:
        """Begins with one that is to go, if there is any: one after the other."""
        if now < self._look_at or self._busy:
            return
        self._look_at = now + LOOK_INTERVAL_S
        still, self._still = self._still, {}
        for shard in self._shards:
            applied, contacts = shard.kernel.applied_index, shard.kernel.contacts
            if shard.leading or not applied or self._is_wanted(shard):
                continue
            self._still[shard.id] = applied, contacts
            if self._busy or still.get(shard.id) != (applied, contacts):
                continue
            if shard.kernel.let_go():
                self._begin(shard)
            else:
                self._ask(shard, contacts)

    def receive_no_member(self, word: NoMember) -> None:
        """A shard's leader says so: what was asked for is done unless something has changed since."""
        shard = next((shard for shard in self._shards if shard.id == word.shard), None)
        if shard is None or self._busy or shard.id not in self._still or shard.leading or self._is_wanted(shard):
            return
        if shard.kernel.let_go((word.term, word.contacts)):
            self._begin(shard)

    def _begin(self, shard: ReplicatedShard) -> None:
        self._busy = True
        self._begin_job(Job(partial(self._forget, shard), partial(self._done, shard)))

    @staticmethod
    def _forget(shard: ReplicatedShard) -> Exception | None:
        try:
            shard.kernel.forget()
        except OSError as error:
            return error  # damage is more than this shard's, and ends the node
        return None

    def _done(self, shard: ReplicatedShard, error: Exception | None) -> None:
        self._busy = False
        shard.kernel.end_departure()
        if error is not None:
            log.warning("a replica that was moved away can't be forgotten", shard=shard.id, why=str(error))
            return
        self.count += 1
        log.info("a replica that was moved away is forgotten", shard=shard.id)
        self._forgotten(shard)
