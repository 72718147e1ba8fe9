"""What came of a topology command."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from broker.core.topology_commands import TopologyCommand
from broker.core.topology_rows import ClientSessionRow, NameRow, QueueRow
from broker.model.refusals import Refusal


class Refused(msgspec.Struct, frozen=True):
    """Nothing changed.  ``detail`` is what a protocol shows, without the name of its code."""

    refusal: Refusal
    detail: str


class Applied(msgspec.Struct, frozen=True):
    """It is as was asked; ``changed`` is False if it was so before.

    ``queue``: the one that was declared (new or found) or deleted.  ``queues_dropped``: others that went with it, to be
    dropped by their shards.  ``follow_ups``: what became due and is logged too (exchanges that delete themselves), to
    be submitted by whoever leads; submitting them twice does no harm.
    """

    changed: bool
    queue: QueueRow | None = None
    session: ClientSessionRow | None = None
    """The one that was made or deleted."""
    queues_dropped: tuple[QueueRow, ...] = ()
    follow_ups: tuple[TopologyCommand, ...] = ()
    sessions_dropped: tuple[ClientSessionRow, ...] = ()
    name: NameRow | None = None
    """That was reserved."""


Outcome: TypeAlias = Applied | Refused
