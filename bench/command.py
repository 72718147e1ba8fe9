"""What the commands have in common: which rows, which brokers, measured under what, and written where."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

import kernel
from bench import report
from bench.broker import Broker
from bench.client import ClientError
from bench.measure import Runs, measure_row
from bench.row import Options, Row
from bench.session import BrokerError
from kernel.generator import LoadError

ROOT = Path(__file__).parent.parent
# After its connections broke, a broker that crashed is seen to have ended within this time.
CRASH_S = 2.0


def add_arguments(parser: argparse.ArgumentParser, written: str, *, work: str) -> None:
    """Those of every command.  ``written`` is the report's name below docs/, ``work`` a folder's below .state/."""
    parser.add_argument("rows", nargs="*", help="rows, or their beginnings; also as ROW=... in the environment")
    parser.add_argument("--row", action="append", default=[], help="one more row")
    parser.add_argument("--list", action="store_true", help="names the rows")
    parser.add_argument("--only", choices=["ours", "peer"], help="measures one side")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--nice", type=int, default=0, help="of everything measured; below 0 keeps other work out")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".state" / work, help="where the brokers' data lies while it runs"
    )
    parser.add_argument("--raw", type=Path, help="adds every value, as one JSON line a row, to this file")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / written)


def chosen(given: argparse.Namespace, rows: Sequence[Row]) -> list[Row]:
    """Those of the rows that begin with a name that was given; all, if none was."""
    names = [*given.rows, *given.row] or os.environ.get("ROW", "").split()
    for name in names:
        if not any(row.name.startswith(name) for row in rows):
            sys.exit(f"no row begins with {name!r}; there are: {', '.join(row.name for row in rows)}")
    return [row for row in rows if not names or row.name.startswith(tuple(names))]


def list_rows(rows: Sequence[Row]) -> None:
    print("\n".join(f"{row.name:20} {row.title}" for row in rows))


def brokers_for(known: Sequence[Broker], rows: Sequence[Row], only: str | None) -> list[Broker]:
    """Those the rows want; what can't be started is left out and said.  ``only``: "ours" or "peer"."""
    peers = {peer for row in rows for peer in row.peers}
    brokers = []
    for broker in known:
        wanted = only != "peer" if broker.is_ours else only != "ours" and broker.name in peers
        missing = broker.missing() if wanted else None
        if wanted and missing is None:
            brokers.append(broker)
        elif wanted and broker.is_ours:
            sys.exit(f"Dragoman isn't built: {missing}")
        elif wanted:
            print(f"{broker.name} isn't installed, it is skipped: {missing}")
    return brokers


def say(text: str) -> None:
    print(text, flush=True)


def measure_all(
    rows: Sequence[Row], brokers: Sequence[Broker], options: Options, work: Path, raw: Path | None
) -> dict[str, Runs]:
    measured = {}
    for row in rows:
        if not any(broker.is_ours or broker.name in row.peers for broker in brokers):
            continue
        say(row.title)
        runs = measure_row(row, brokers, options, work, say)
        measured[row.name] = runs
        if raw:
            with raw.open("ab") as file:
                file.write(msgspec.json.encode(runs) + b"\n")
    return measured


def crash(brokers: Sequence[Broker]) -> str | None:
    """What a broker that ended has to say: more than the connection that broke with it."""
    deadline = time.monotonic() + CRASH_S
    while time.monotonic() < deadline:
        for broker in brokers:
            try:
                if broker.running:
                    broker.session.check()
            except BrokerError as error:
                return str(error)
        time.sleep(0.05)
    return None


def carry_out(
    given: argparse.Namespace, rows: Sequence[Row], known: Sequence[Broker], options: Options, heading: report.Heading
) -> None:
    """Measures the rows and writes the report."""
    if kernel.BUILD_PROFILE != "release":
        sys.exit(f"this kernel is a {kernel.BUILD_PROFILE} build, whose figures say nothing: make build")
    os.nice(given.nice)
    # Ten thousand clients, ours and the brokers' which inherit it.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Ending the brokers is in a ``finally``, which a plain SIGTERM would pass by.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    brokers = brokers_for(known, rows, given.only)
    if not brokers:
        return
    try:
        measured = measure_all(rows, brokers, options, given.work, given.raw)
    except (BrokerError, ClientError, LoadError, OSError) as error:
        reason = crash(brokers)
        sys.exit(f"bench: {error}" if reason is None else f"bench: {reason}\n({error})")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
    finally:
        for broker in brokers:
            broker.kill()
    shutil.rmtree(given.work, ignore_errors=True)  # kept for a look at the logs when it failed
    if given.only is None or given.only == "ours":
        report.write(given.report, rows, measured, brokers, options, heading)
        print(f"written: {given.report}")
