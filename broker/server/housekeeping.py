"""The store's cycles: full journal files are sealed, checkpoints written, files retired."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from kernel import Shard
from kernel.journal import Journal

PERIOD_S = 0.05
"""A journal file lasts 0.2 s at the disk's full speed; what is left over a round's time is not."""
IDLE_PERIOD_S = 0.5
"""At most, while nothing is written: twenty wakes a second were a third of an idle node's processor time."""


class Housed(Protocol):
    """A node, as far as its store goes."""

    journal: Journal
    kernels: list[Shard]


async def keep_house(node: Housed, rest: Callable[[float], Awaitable[None]]) -> None:
    """Starts a cycle when the journal wants one, and takes in the one that finished.  Never returns.

    The work is done by the store's own thread, from frozen copies; here only copies are handed over.
    ``rest`` waits for so long, or until the process is awake anyway.
    """
    journal, shards = node.journal, node.kernels
    submitted = journal.submitted
    while True:
        before, submitted = submitted, journal.submitted
        if submitted == before:
            await rest(IDLE_PERIOD_S)
        else:
            await trio.sleep(PERIOD_S)
        journal.receive_cycle(shards)
        if journal.cycle_wanted:
            journal.begin_cycle(shards)
