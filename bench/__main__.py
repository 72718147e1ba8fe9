"""``python -m bench``: see ``--help``.  ``ROW=name`` or names as arguments choose rows; a prefix will do."""

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
from bench.artemis import Artemis
from bench.broker import Broker
from bench.client import ClientError
from bench.dragoman import Dragoman
from bench.measure import Runs, measure_row
from bench.mosquitto import Mosquitto
from bench.rabbitmq import RabbitMq
from bench.row import Options, Row
from bench.rows import all_rows
from bench.rumqttd import Rumqttd
from bench.session import BrokerError
from kernel.generator import LoadError

ROOT = Path(__file__).parent.parent
# Below the ephemeral range, or a connect to a port that is still free may meet itself.
PORT = 20672
# After its connections broke, a broker that crashed is seen to have ended within this time.
CRASH_S = 2.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Dragoman beside its peers.")
    parser.add_argument("rows", nargs="*", help="rows, or their beginnings; also as ROW=... in the environment")
    parser.add_argument("--row", action="append", default=[], help="one more row")
    parser.add_argument("--list", action="store_true", help="names the rows")
    parser.add_argument("--only", choices=["ours", "peer"], help="measures one side")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--backlog", type=int, default=10_000_000, help="messages of the long queue")
    parser.add_argument("--journal", type=int, default=1 << 30, help="bytes to recover")
    parser.add_argument("--connections", type=int, default=1000, help="idle AMQP connections")
    parser.add_argument("--clients", type=int, default=10_000, help="idle MQTT clients")
    parser.add_argument("--retained", type=int, default=1_000_000, help="retained MQTT topics")
    parser.add_argument("--browsers", type=int, default=2000, help="WebSocket subscribers of one topic")
    parser.add_argument("--ports", type=int, default=PORT, help="the first of nineteen loopback ports")
    parser.add_argument("--nice", type=int, default=0, help="of everything measured; below 0 keeps other work out")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".state" / "bench", help="where the brokers' data lies while it runs"
    )
    parser.add_argument("--raw", type=Path, help="adds every value, as one JSON line a row, to this file")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "performance.md")
    return parser.parse_args()


def chosen(names: Sequence[str]) -> list[Row]:
    rows = all_rows()
    for name in names:
        if not any(row.name.startswith(name) for row in rows):
            sys.exit(f"no row begins with {name!r}; there are: {', '.join(row.name for row in rows)}")
    return [row for row in rows if not names or row.name.startswith(tuple(names))]


def all_brokers(work: Path, port: int) -> list[Broker]:
    """Each with ports of its own from ``port`` on; ours comes last."""
    return [
        RabbitMq(work / "rabbitmq", port + 3),
        Mosquitto(work / "mosquitto", port + 5),
        Mosquitto(work / "mosquitto-persistent", port + 6, persistence=True),
        Rumqttd(work / "rumqttd", port + 7),
        RabbitMq(work / "rabbitmq-mqtt", port + 10, mqtt_port=port + 11),
        RabbitMq(work / "rabbitmq-stomp", port + 14, stomp_port=port + 15),
        Artemis(work / "artemis", port + 16),
        Dragoman(work / "dragoman", port, port + 4, port + 17, port + 18),
    ]


def brokers_for(options: argparse.Namespace, rows: Sequence[Row]) -> list[Broker]:
    """What the rows want, ours last; what can't be started is left out and said."""
    peers = {peer for row in rows for peer in row.peers}
    brokers = []
    for broker in all_brokers(options.work, options.ports):
        wanted = options.only != "peer" if broker.is_ours else options.only != "ours" and broker.name in peers
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


def main() -> None:
    """Measures the chosen rows and writes the report."""
    given = arguments()
    names = [*given.rows, *given.row] or os.environ.get("ROW", "").split()
    rows = chosen(names)
    if given.list:
        print("\n".join(f"{row.name:20} {row.title}" for row in rows))
        return
    if kernel.BUILD_PROFILE != "release":
        sys.exit(f"this kernel is a {kernel.BUILD_PROFILE} build, whose figures say nothing: make build")
    options = Options(
        duration_s=given.duration,
        runs=given.runs,
        backlog=given.backlog,
        journal=given.journal,
        connections=given.connections,
        clients=given.clients,
        retained=given.retained,
        browsers=given.browsers,
    )
    os.nice(given.nice)
    # Ten thousand clients, ours and the brokers' which inherit it.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Ending the brokers is in a ``finally``, which a plain SIGTERM would pass by.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    brokers = brokers_for(given, rows)
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
        report.write(given.report, rows, measured, brokers, options)
        print(f"written: {given.report}")


if __name__ == "__main__":
    main()
