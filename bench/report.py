"""``docs/performance.md``: what was measured, on what, and whether it is enough."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import kernel
from bench.broker import Broker
from bench.measure import Runs
from bench.row import Figure, Options, Row

HEAD = """\
# Performance

Written by `make bench` on {date}. Ratios are medians of us / medians of the peer from runs that took turns on one
machine, which also ran the generator; nothing else about these numbers carries over to another machine. Every message
of every run was checked: none lost, none twice, none out of order.

| | |
|---|---|
"""

TABLE = """
| load | figure | us | {peer} | us / peer | required | aim | |
|---|---|--:|--:|--:|--:|--:|---|
"""


def number(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e4:
        return f"{value / 1e3:.1f} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The median, and the range beside it if there is one."""
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} - {number(max(values))})"


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names) or os.cpu_count()} x {names[0] if names else platform.machine()}"


def memory_size() -> str:
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    return f"{kib / (1 << 20):.0f} GiB"


def facts(brokers: Sequence[Broker], options: Options, fsync_us: Sequence[float]) -> dict[str, str]:
    runs = f"median of {options.runs} (lowest - highest)"
    return {
        "machine": f"{processor()}, {memory_size()}, Linux {platform.release()}",
        "versions": ", ".join([broker.version() for broker in brokers] + [f"Python {platform.python_version()}"]),
        "kernel build": kernel.BUILD_PROFILE,
        "fsync": "ours: every confirm waits for fdatasync (the default); "
        "RabbitMQ: quorum queues sync, confirms of classic ones do not wait",
        "fdatasync of 4 KiB alone": f"p50 {spread(fsync_us)} us, in the same runs",
        "runs": f"{runs}, {options.duration_s:g} s each, {options.warmup_s:g} s to warm up",
        "backlog": f"{options.backlog:,} messages",
        "command": "python -m bench " + " ".join(sys.argv[1:]),
    }


def verdict(figure: Figure, value: float, eased: bool) -> str:
    if figure.aim is not None and figure.reaches(value, figure.aim):
        return "aim reached"
    if figure.required is not None and (eased or figure.reaches(value, figure.required)):
        return "reached"
    return "" if figure.required is None else "**not reached**"


def goal(figure: Figure, value: float | None) -> str:
    if value is None:
        return ""
    sign = "<=" if figure.smaller else ">="
    return f"{sign} {value:g}{'x' if figure.against else ' ' + figure.unit}"


def line(row: Row, figure: Figure, runs: Runs, peer: str, ours: str) -> str:
    mine = runs.values.get(ours, {}).get(figure.key, [])
    theirs = runs.values.get(peer, {}).get(figure.key, [])
    both = bool(mine and theirs and statistics.median(theirs))
    ratio = statistics.median(mine) / statistics.median(theirs) if both else None
    compared = ratio if figure.against else (statistics.median(mine) if mine else None)
    # One in flight is bounded by the disk: the requirement's other half.
    eased = row.name == "single-16" and figure.key == "p50" and bool(mine)
    eased = eased and statistics.median(mine) <= 2.5 * statistics.median(runs.fsync_us)
    cells = [
        row.title,
        f"{figure.title}, {figure.unit}",
        spread(mine) if mine else "not measured",
        spread(theirs) if theirs else "-",
        f"{ratio:.2f}x" if ratio is not None else "-",
        goal(figure, figure.required),
        goal(figure, figure.aim),
        verdict(figure, compared, eased) if compared is not None else "",
    ]
    return "| " + " | ".join(cells) + " |\n"


def write(
    path: Path, rows: Sequence[Row], measured: dict[str, Runs], brokers: Sequence[Broker], options: Options
) -> None:
    """Writes the report of the rows that were measured; the last broker is ours."""
    peers = [broker.name for broker in brokers[:-1]]
    peer = peers[0] if peers else "peer (absent)"
    ours = brokers[-1].name
    fsync_us = [value for runs in measured.values() for value in runs.fsync_us]
    text = HEAD.format(date=time.strftime("%Y-%m-%d"))
    text += "".join(f"| {name} | {value} |\n" for name, value in facts(brokers, options, fsync_us).items())
    text += TABLE.format(peer=peer)
    done = [row for row in rows if row.name in measured]
    for row in done:
        text += "".join(line(row, figure, measured[row.name], peer, ours) for figure in row.figures)
    text += "\n## Conditions\n\n"
    text += "".join(f"- **{row.title}** (`ROW={row.name}`): {row.conditions}.\n" for row in done)
    if single := measured.get("single-16"):
        mine = single.values.get(ours, {}).get("p50", [])
        if mine:
            times = statistics.median(mine) / statistics.median(single.fsync_us)
            text += f"\nOne in flight takes {times:.2f} times the disk's own fdatasync p50"
            text += " (required: at most 2.5, or 0.6x the peer; aim: 1.5).\n"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
