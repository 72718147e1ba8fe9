"""A run of the rig: from the nodes' start to their end, with a line for each round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from tests.rig import table
from tests.rig.nodes import NotReady
from tests.rig.rounds import Rig, Round

ODD_SHOWN_MAX = 5
NEXT_CONFIRM_MAX_S = 3.0
"""That a new leader may take."""


def problems_of(told: Round) -> list[str]:
    """What was wrong with a round, beside what the ledger knows."""
    problems = []
    if told.stuck:
        problems.append(f"{told.fault} of {told.node}: these did not go on: {', '.join(told.stuck)}")
    if told.next_confirm_s is not None and told.next_confirm_s >= NEXT_CONFIRM_MAX_S and told.fault != "kill -9, two":
        problems.append(f"{told.fault} of {told.node}: {told.next_confirm_s:.2f} s until {told.slowest} had a confirm")
    if told.lost:
        problems.append(f"{told.fault} of {told.node}: {told.lost} confirmed messages did not come")
    return problems


def carry_out(rig: Rig, faults: Sequence[Callable[[], Round]], say: Callable[[str], None]) -> list[str]:
    """What was wrong."""
    problems: list[str] = []
    took: list[float] = []
    say(table.heading())
    for number, fault in enumerate([*faults, rig.finish], 1):
        told = fault()
        say(table.line(number, told))
        problems += problems_of(told)
        if told.next_confirm_s is not None:
            took.append(told.next_confirm_s)
    if took:
        say(f"next confirm: median {statistics.median(took):.2f} s, at most {max(took):.2f} s")
    ledger = rig.ledger
    say(
        f"confirmed {ledger.confirmed_count} of {len(ledger.entries)}, refused {ledger.refused_count}, "
        f"doubled {ledger.doubled_count}, from nowhere {ledger.strange_count}, "
        f"flagged again {ledger.again_count} (by nodes nobody had disturbed: {ledger.odd_count})"
    )
    refused = rig.places_of([id for id, entry in enumerate(ledger.entries) if entry.refused])
    if refused:
        say(f"  refused: {', '.join(f'{count} of {place}' for place, count in refused.items())}")
    for odd in ledger.odd[:ODD_SHOWN_MAX]:
        say(f"  odd: {odd}")
    missing = rig.places_of(ledger.awaited())
    return problems + ledger.broken + [f"{count} of {place} are lost" for place, count in missing.items()]


def run(rig: Rig, faults: Sequence[Callable[[], Round]], say: Callable[[str], None]) -> list[str]:
    """From the nodes' start to their end; what was wrong."""
    nodes = rig.nodes
    problems: list[str] = []
    try:
        nodes.start()
        rig.start()
        problems += carry_out(rig, faults, say)
        problems += nodes.stop()
    except NotReady as error:
        problems += [*rig.ledger.broken, str(error)]
    finally:
        rig.load.orders.stopping.set()
        nodes.kill()
    return problems
