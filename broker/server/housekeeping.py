"""The store's cycles: full journal files are sealed, checkpoints written, files retired."""

from __future__ import annotations

from typing import Protocol

import trio

from kernel import Shard
from kernel.journal import Journal

PERIOD_S = 0.05
"""A journal file lasts 0.2 s at the disk's full speed; what is left over a round's time is not."""
IDLE_PERIOD_S = 0.5
"""While nothing is written: twenty wakes a second were a third of an idle node's processor time."""


class Housed(Protocol):
    """A node, as far as its store goes."""

    journal: Journal
    kernels: list[Shard]


async def keep_house(node: Housed) -> None:
    """Starts a cycle when the journal wants one, and takes in the one that finished.  Never returns.

    The work is done by the store's own thread, from frozen copies; here only copies are handed over.
    """
    journal, shards = node.journal, node.kernels
    submitted = journal.submitted
    while True:
        before, submitted = submitted, journal.submitted
        await trio.sleep(IDLE_PERIOD_S if submitted == before else PERIOD_S)
        journal.receive_cycle(shards)
        if journal.cycle_wanted:
            journal.begin_cycle(shards)
