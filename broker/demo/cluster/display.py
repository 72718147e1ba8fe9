"""What people are shown of the cluster: a few lines that are drawn over, or one now and then where that can't be."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

import msgspec

from broker.demo.cluster.figures import Figures
from broker.demo.cluster.probe import Held, Said

META = 0
SLOW_S = 1.0
"""A publish that waits longer is worth a word."""
LINE_INTERVAL_S = 5.0
UP, CLEAR_LINE, CLEAR_BELOW = "\x1b[{}F", "\x1b[K", "\x1b[J"
WIDTH_MAX = 118


class Shown(msgspec.Struct, frozen=True):
    """A node.  ``state``: in a word or two."""

    name: str
    pid: int
    state: str
    said: Said


def shards_in_words(shards: Sequence[int]) -> str:
    return " ".join("meta" if shard == META else str(shard) for shard in shards)


def node_line(node: Shown) -> str:
    leads = f"leads {shards_in_words(node.said.leads) or 'nothing'}" if node.said.reached else ""
    process = f"pid {node.pid}" if node.pid else ""
    return f"  {node.name:<8} {node.state:<16} {process:<12} {leads}".rstrip()


def held_in_words(held: Sequence[Held]) -> list[str]:
    """Of shards that are not held by all who are to hold them."""
    fewer = [each for each in held if each.voters < each.wanted]
    told = [f"shard {shards_in_words([each.shard])} is held by {each.voters} of {each.wanted}" for each in fewer]
    changing = [each.shard for each in held if not each.settled and each not in fewer]
    if changing:
        told.append(f"shards {shards_in_words(changing)} change")
    for each in held:
        told += [f"shard {each.shard}: {sent} of {size} bytes sent to a new member" for sent, size in each.sending]
    return told


def under_way(nodes: Sequence[Shown], figures: Figures, held: Sequence[Held] = ()) -> list[str]:
    """What is not as it should be, or is about to be."""
    told = held_in_words(held)
    shards = sorted({shard for node in nodes for shard in node.said.led})
    led = {shard for node in nodes for shard in node.said.leads}
    without = [shard for shard in shards if shard not in led]
    if without:
        told.append(f"no leader of {shards_in_words(without)}")
    told += [f"{node.name}: {node.said.why_not}" for node in nodes if node.said.why_not]
    oldest_s = figures.oldest_s()
    if oldest_s > SLOW_S:
        told.append(f"a publish has waited {oldest_s:.1f} s")
    return told


def load_line(figures: Figures) -> str:
    confirmed, delivered = figures.rates()
    half, most = figures.confirm_s(0.5), figures.confirm_s(0.99)
    took = "-" if half is None or most is None else f"p50 {half * 1000:.0f} ms, p99 {most * 1000:.0f} ms"
    return f"  confirmed {confirmed:.0f}/s   delivered {delivered:.0f}/s   confirm {took}"


def total_line(figures: Figures) -> str:
    totals = f"  in all {figures.confirmed_count} confirmed, {figures.delivered_count} delivered"
    unknown = f", {figures.unknown_count} of unknown outcome" if figures.unknown_count else ""
    return totals + unknown


def lines(nodes: Sequence[Shown], figures: Figures, held: Sequence[Held] = ()) -> list[str]:
    """All that is drawn."""
    busy = under_way(nodes, figures, held)
    return [
        *map(node_line, nodes),
        "",
        load_line(figures),
        total_line(figures),
        f"  under way: {'; '.join(busy) or 'nothing'}",
        *(f"  ! {complaint}" for complaint in figures.complaints[-3:]),
    ]


def one_line(nodes: Sequence[Shown], figures: Figures, held: Sequence[Held] = ()) -> str:
    states = "  ".join(f"{node.name} {node.state} ({shards_in_words(node.said.leads) or '-'})" for node in nodes)
    busy = "; ".join(under_way(nodes, figures, held))
    return f"{states} {load_line(figures)}" + (f"   {busy}" if busy else "")


class Screen:
    """A terminal is drawn over; anything else gets a line every ``LINE_INTERVAL_S``."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._drawn = 0
        self._said_at = float("-inf")

    def show(self, nodes: Sequence[Shown], figures: Figures, held: Sequence[Held], now: float) -> None:
        if self._out.isatty():
            drawn = [line[:WIDTH_MAX] for line in lines(nodes, figures, held)]
            self._out.write(UP.format(self._drawn) if self._drawn else "")
            self._out.write("".join(f"{line}{CLEAR_LINE}\n" for line in drawn) + CLEAR_BELOW)
            self._drawn = len(drawn)
        elif now >= self._said_at + LINE_INTERVAL_S:
            self._said_at = now
            self._out.write(f"{one_line(nodes, figures, held)}\n")
        self._out.flush()
