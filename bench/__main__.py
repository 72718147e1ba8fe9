"""``python -m bench``: see ``--help``.  ``ROW=name`` or names as arguments choose rows; a prefix will do."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import report
from bench.artemis import Artemis
from bench.broker import Broker
from bench.command import add_arguments, carry_out, chosen, list_rows
from bench.dragoman import Dragoman
from bench.mosquitto import Mosquitto
from bench.rabbitmq import RabbitMq
from bench.row import Options
from bench.rows import all_rows
from bench.rumqttd import Rumqttd

# Below the ephemeral range, or a connect to a port that is still free may meet itself.
PORT = 20672


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Dragoman beside its peers.")
    add_arguments(parser, "performance.md", work="bench")
    parser.add_argument("--backlog", type=int, default=10_000_000, help="messages of the long queue")
    parser.add_argument("--journal", type=int, default=1 << 30, help="bytes to recover")
    parser.add_argument("--connections", type=int, default=1000, help="idle AMQP connections")
    parser.add_argument("--clients", type=int, default=10_000, help="idle MQTT clients")
    parser.add_argument("--retained", type=int, default=1_000_000, help="retained MQTT topics")
    parser.add_argument("--browsers", type=int, default=2000, help="WebSocket subscribers of one topic")
    parser.add_argument("--ports", type=int, default=PORT, help="the first of nineteen loopback ports")
    return parser.parse_args()


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


def sizes(options: Options) -> dict[str, str]:
    """How much of what, for the report."""
    return {
        "backlog": f"{options.backlog:,} messages",
        "MQTT": f"{options.clients:,} idle clients, {options.retained:,} retained topics",
        "WebSocket": f"{options.browsers:,} subscribers of one topic",
    }


def main() -> None:
    """Measures the chosen rows and writes the report."""
    given = arguments()
    rows = chosen(given, all_rows())
    if given.list:
        list_rows(rows)
        return
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
    heading = report.Heading(sizes=sizes(options))
    carry_out(given, rows, all_brokers(given.work, given.ports), options, heading)


if __name__ == "__main__":
    main()
