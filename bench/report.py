"""``docs/performance.md``: what was measured, on what, and whether it is enough."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

import kernel
from bench.broker import Broker
from bench.measure import Runs
from bench.row import Figure, Options, Row

HEAD = """\
# {title}

Written by `{command}` on {date}. Ratios are medians of us / medians of the peer from runs that took turns on one
machine, which also ran the generator; nothing else about these numbers carries over to another machine. {checked}

| | |
|---|---|
"""

TABLE = """
| load | figure | us | peer | its figure | us / peer | required | aim | |
|---|---|--:|---|--:|--:|--:|--:|---|
"""


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says of itself: its title, what writes it, what was checked, and sizes to be told."""

    title: str = "Performance"
    command: str = "make bench"
    module: str = "bench"
    checked: str = "Every message\nof every run was checked: none lost, none twice, none out of order."
    sizes: dict[str, str] = {}


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


def facts(brokers: Sequence[Broker], options: Options, fsync_us: Sequence[float], heading: Heading) -> dict[str, str]:
    runs = f"median of {options.runs} (lowest - highest)"
    return {
        "machine": f"{processor()}, {memory_size()}, Linux {platform.release()}",
        "versions": ", ".join([broker.version() for broker in brokers] + [f"Python {platform.python_version()}"]),
        "kernel build": kernel.BUILD_PROFILE,
        "fsync": "; ".join(f"{'ours' if broker.is_ours else broker.name}: {broker.fsync}" for broker in brokers),
        "fdatasync of 4 KiB alone": f"p50 {spread(fsync_us)} us, in the same runs" if fsync_us else "not measured",
        "runs": f"{runs}, {options.duration_s:g} s each, {options.warmup_s:g} s to warm up",
        **heading.sizes,
        "command": f"python -m {heading.module} " + " ".join(sys.argv[1:]),
    }


def goal(figure: Figure, value: float | None, syncs: float | None) -> str:
    sign = "<=" if figure.smaller else ">="
    unit = "x" if figure.against else f" {figure.unit}"
    goals = [] if value is None else [f"{sign} {value:g}{unit}"]
    if syncs is not None:
        goals.append(f"<= {syncs:g} x fdatasync")
    return " or ".join(goals)


def verdict(figure: Figure, compared: float | None, syncs: float | None) -> str:
    """What is reached by the number that counts, or else by the multiple of an fdatasync it takes."""

    def reached(value: float | None, syncs_max: float | None) -> bool:
        by_number = compared is not None and value is not None and figure.reaches(compared, value)
        return by_number or (syncs is not None and syncs_max is not None and syncs <= syncs_max)

    if reached(figure.aim, figure.aim_syncs):
        return "aim reached"
    if reached(figure.required, figure.required_syncs):
        return "reached"
    unjudged = figure.required is None or (compared is None and (syncs is None or figure.required_syncs is None))
    return "" if unjudged else "**not reached**"


def line(row: Row, figure: Figure, runs: Runs, ours: str) -> str:
    """A figure of a row, ours beside the figure's peer's."""
    peer = figure.peer
    mine = runs.values.get(ours, {}).get(figure.key, [])
    theirs = runs.values.get(peer, {}).get(figure.key, [])
    middle = statistics.median(mine) if mine else None
    ratio = middle / statistics.median(theirs) if middle is not None and theirs and statistics.median(theirs) else None
    syncs = middle / statistics.median(runs.fsync_us) if middle is not None and figure.required_syncs else None
    cells = [
        row.title,
        f"{figure.title}, {figure.unit}",
        spread(mine) if mine else "not measured",
        peer if theirs else "-",
        spread(theirs) if theirs else "-",
        f"{ratio:.2f}x" if ratio is not None else "-",
        goal(figure, figure.required, figure.required_syncs),
        goal(figure, figure.aim, figure.aim_syncs),
        verdict(figure, ratio if figure.against else middle, syncs),
    ]
    return "| " + " | ".join(cells) + " |\n"


def write(
    path: Path,
    rows: Sequence[Row],
    measured: dict[str, Runs],
    brokers: Sequence[Broker],
    options: Options,
    heading: Heading,
) -> None:
    """Writes the report of the rows that were measured."""
    ours = next((broker.name for broker in brokers if broker.is_ours), "us")
    fsync_us = [value for runs in measured.values() for value in runs.fsync_us]
    date = time.strftime("%Y-%m-%d")
    text = HEAD.format(title=heading.title, command=heading.command, date=date, checked=heading.checked)
    told = facts(brokers, options, fsync_us, heading)
    text += "".join(f"| {name} | {value} |\n" for name, value in told.items())
    text += TABLE
    done = [row for row in rows if row.name in measured]
    for row in done:
        text += "".join(line(row, figure, measured[row.name], ours) for figure in row.figures)
    text += "\n## Conditions\n\n"
    for row in done:
        fewer = f"; {row.runs_max} run(s) at most" if row.runs_max is not None else ""
        skipped = "".join(f"; not measured: {reason}" for reason in measured[row.name].skipped.values())
        text += f"- **{row.title}** (`ROW={row.name}`): {row.conditions}{fewer}{skipped}.\n"
    if single := measured.get("single-16"):
        mine = single.values.get(ours, {}).get("p50", [])
        if mine:
            times = statistics.median(mine) / statistics.median(single.fsync_us)
            text += f"\nOne in flight takes {times:.2f} times the disk's own fdatasync p50"
            text += ".\n"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
