"""``python -m bench.cluster``: three nodes of each broker; see ``--help``.  Rows are chosen as in ``bench``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench import report
from bench.broker import Broker
from bench.cluster.dragoman import DragomanCluster
from bench.cluster.jetstream import JetStream
from bench.cluster.rabbitmq import RabbitMqCluster
from bench.cluster.rows import all_rows
from bench.command import add_arguments, carry_out, chosen, list_rows
from bench.row import Options

# Below the ephemeral range, as those of ``python -m bench``, and after them.
PORT = 20700


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Of ``words``, or of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.cluster", description="Measures three nodes of Dragoman beside three of its peers."
    )
    add_arguments(parser, "performance-cluster.md", work="bench-cluster")
    parser.add_argument("--journal", type=int, default=1 << 30, help="bytes that a node is behind when it rejoins")
    parser.add_argument("--queues", type=int, default=10_000, help="queues of the idle cluster")
    parser.add_argument("--ports", type=int, default=PORT, help="the first of twenty-five loopback ports")
    return parser.parse_args(words)


def all_clusters(work: Path, port: int) -> list[Broker]:
    """Each with ports of its own from ``port`` on; ours comes last."""
    return [
        RabbitMqCluster(work / "rabbitmq", port),
        JetStream(work / "jetstream", port + 7),
        DragomanCluster(work / "dragoman", port + 16),
    ]


def main() -> None:
    """Measures the chosen rows and writes the report."""
    given = arguments()
    rows = chosen(given, all_rows())
    if given.list:
        list_rows(rows)
        return
    options = Options(duration_s=given.duration, runs=given.runs, journal=given.journal, queues=given.queues)
    heading = report.Heading(
        title="Performance of a cluster",
        command="make bench-cluster",
        module="bench.cluster",
        checked="Every publish of the\nfirst rows was confirmed, and counted in its queue afterwards.",
        sizes={
            "nodes": "three of each broker on this machine, over loopback, each with a folder of its own on one disk",
            "idle": f"{options.queues:,} queues",
            "rejoin": f"{options.journal / (1 << 30):g} GiB behind",
        },
    )
    carry_out(given, rows, all_clusters(given.work, given.ports), options, heading)


if __name__ == "__main__":
    main()
