"""Whether a node may route: others wait for it, and so may it, only while most of them hear it.

Who says that a change of topology took effect has waited for every node that it hears, and gives one up after
some silence, the same on all nodes.  What is committed is not known to be after a start: first the meta shard must
have applied what the node said since.  So a node goes by its topology only as long as most others heard it more lately
than that, by its own clock, and after a gap not before it knows what they know (log-and-shards.md section 11).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

LEASE_PART = 0.8
"""Of the others' patience: clocks may run 20 % apart."""


class Lease:
    """One node's."""

    def __init__(self, heard_us_at: Callable[[int], float], own_peer: int, suspicion_s: float) -> None:
        self._heard_us_at = heard_us_at
        self._lease_s = LEASE_PART * suspicion_s
        self._own_peer = own_peer
        self.held = False
        """It may route."""
        self.ends_at = -math.inf
        """When most others have not heard it for too long, by what they said so far."""
        self._current = False

    def applied(self) -> None:
        """The meta shard has applied what this node said since its start: its leader knows all that was committed."""
        self._current = True

    def update(self, members: Collection[int], now: float, own_index: int, seen_index: int) -> bool:
        """``members`` of the cluster; indexes of the meta shard that we, and any of those that we hear, go by."""
        others = [peer for peer in members if peer != self._own_peer]
        ends = sorted((self._heard_us_at(peer) + self._lease_s for peer in others), reverse=True)
        needed = (len(others) + 1) // 2  # with this one most of them
        self.ends_at = ends[needed - 1] if needed else math.inf
        self.held = self._current and now < self.ends_at and (self.held or own_index >= seen_index)
        return self.held
