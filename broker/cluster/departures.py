"""Replicas that were moved away: what this node holds of them is forgotten, so that their room comes back.

A replica is forgotten only when the topology here says that it is not wanted, and all that it holds, which is applied,
says that its group has let it go: never by not knowing.  How it voted is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import structlog

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
    ) -> None:
        """``is_wanted``: it is to have a replica here, or one is on its way.  ``forgotten`` is told of each."""
        self._shards = shards
        self._is_wanted = is_wanted
        self._begin_job = begin_job
        self._forgotten = forgotten
        self._look_at = -math.inf
        self._still: dict[ShardId, int] = {}
        """Not wanted, and the last entry applied: a leader that takes it in again makes it go on."""
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
            applied = shard.kernel.applied_index
            if shard.leading or not applied or self._is_wanted(shard):
                continue
            self._still[shard.id] = applied
            if not self._busy and still.get(shard.id) == applied and shard.kernel.let_go():
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
