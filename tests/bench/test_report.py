"""The report says what was asked for, and what was reached of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import all_brokers
from bench.measure import Runs
from bench.report import Heading, line, number, spread, write
from bench.row import Figure, Options, Row
from bench.rows import all_rows
from tests.bench.absent import Absent

THROUGHPUT = Figure(key="rate", title="throughput", unit="msg/s", peer="peer", required=15, aim=60)
MEMORY = Figure(key="idle", title="memory", unit="MB", peer="peer", required=70, aim=50, against=False, smaller=True)


def row(figure: Figure, name: str = "load") -> Row:
    return Row(name=name, title="Load", conditions="none", figures=[figure], measure=lambda broker, options: {})


def cells(
    figure: Figure, ours: list[float], theirs: list[float], name: str = "load", fsync_us: float = 1.0
) -> list[str]:
    runs = Runs(name, {"us": {figure.key: ours}, figure.peer: {figure.key: theirs}}, [fsync_us])
    return [
        cell.strip()
        for cell in line(row(figure, name), figure, runs, "us").strip().removeprefix("|").removesuffix("|").split("|")
    ]


def test_the_figures_of_the_table_are_all_there() -> None:
    rows = {
        row.name: {figure.key: figure for figure in row.figures} for row in all_rows() if row.protocols == ("amqp",)
    }
    required = {
        ("transient-16", "rate"): (15, 60),
        ("transient-1024", "rate"): (6, 12),
        ("window2000-16", "rate"): (20, 50),
        ("window2000-1024", "rate"): (10, 20),
        ("window200-16", "rate"): (5, 12),
        ("window200-1024", "rate"): (4, 10),
        ("single-16", "p50"): (0.6, None),
        ("single-16", "p99"): (1.0, 0.5),
        ("connections200-16", "rate"): (3, 6),
        ("connections200-16", "p99"): (0.5, 0.25),
        ("fanout50-16", "rate"): (25, 100),
        ("fanout50-1024", "rate"): (8, 25),
        ("topic-16", "rate"): (10, 35),
        ("backlog-16", "fill"): (5, 15),
        ("backlog-16", "drain"): (5, 15),
        ("backlog-16", "weight"): (24, 8),
        ("backlog-16", "restart"): (3, 1),
        ("idle-memory", "idle"): (70, 50),
        ("connections-memory", "connection"): (0.25, 0.1),
        ("recovery", "seconds"): (3, 1),
        ("latency-1024", "p50"): (0.7, 0.4),
        ("latency-1024", "p99"): (0.7, 0.3),
    }
    for (name, key), goals in required.items():
        figure = rows[name][key]
        assert (figure.required, figure.aim) == goals, (name, key)


def test_the_figures_of_the_mqtt_table_are_all_there() -> None:
    figures = {
        (row.name.removeprefix("mqtt-"), figure.key, figure.peer): (figure.required, figure.aim)
        for row in all_rows()
        if row.name.startswith("mqtt-")
        for figure in row.figures
    }
    mosquitto, persistent, rumqttd, rabbitmq = "Mosquitto", "Mosquitto, persistent", "rumqttd", "RabbitMQ MQTT"
    assert figures == {
        ("qos0-16", "rate", mosquitto): (10, 30),
        ("qos0-16", "rate", rumqttd): (3, 10),
        ("qos0-1024", "rate", mosquitto): (4, 6),
        ("qos0-1024", "rate", rumqttd): (1.5, 2),
        ("qos1-16", "rate", mosquitto): (3, 6),
        ("qos1-16", "rate", rumqttd): (1.2, 2),
        ("qos1-1024", "rate", mosquitto): (3, 5),
        ("qos1-1024", "rate", rumqttd): (1, 2),
        ("durable-16", "rate", persistent): (1, 3),
        ("durable-16", "rate", rabbitmq): (10, 30),
        ("qos2-16", "rate", persistent): (1, 2),
        ("pairs-16", "rate", mosquitto): (2, 4),
        ("pairs-16", "rate", rumqttd): (0.8, 1.2),
        ("fanout100-16", "rate", mosquitto): (10, 30),
        ("fanout100-16", "rate", rumqttd): (1, 2),
        ("fanout1000-16", "rate", mosquitto): (10, 30),
        ("fanout1000-16", "rate", rumqttd): (1, 2),
        ("sensors-16", "cpu", mosquitto): (1, 0.5),
        ("latency-24", "p50", mosquitto): (1, 0.7),
        ("latency-24", "p99", mosquitto): (1, 0.5),
        ("subscribers", "weight", mosquitto): (6, 3),
        ("subscribers", "connects", mosquitto): (0.7, 1),
        ("retained", "weight", mosquitto): (300, 150),
        ("retained", "p99", mosquitto): (0.1, 0.02),
        ("retained", "p50", mosquitto): (None, None),
        ("retained", "sweeps", mosquitto): (None, None),
    }


def test_every_peer_of_a_row_can_be_started(tmp_path: Path) -> None:
    brokers = {broker.name: broker for broker in all_brokers(tmp_path, 20000)}
    for row in all_rows():
        for peer in row.peers:
            for protocol in row.protocols:
                assert brokers[peer].unable(protocol) is None, (row.name, peer)


def test_the_figures_of_stomp_websocket_and_crossings_are_all_there() -> None:
    figures = {
        (row.name, figure.key, figure.peer if figure.against else "us"): (figure.required, figure.aim)
        for row in all_rows()
        if row.name.startswith(("stomp-", "websocket-", "crossing-"))
        for figure in row.figures
        if figure.required is not None
    }
    artemis, rabbitmq = "Artemis", "RabbitMQ STOMP"
    assert figures == {
        ("stomp-auto-16", "rate", artemis): (8, 30),
        ("stomp-auto-16", "rate", rabbitmq): (15, 60),
        ("stomp-auto-1024", "rate", artemis): (4, 10),
        ("stomp-auto-1024", "rate", rabbitmq): (10, 25),
        ("stomp-receipts-16", "rate", artemis): (5, 20),
        ("stomp-receipts-1024", "rate", artemis): (5, 20),
        ("stomp-persistent-16", "rate", rabbitmq): (5, 20),
        ("stomp-persistent-1024", "rate", rabbitmq): (5, 20),
        **{
            (f"websocket-{protocol}-{together}-{size}", "ratio", "us"): goals
            for protocol in ("mqtt", "stomp")
            for together, size, goals in (
                (64, 16, (0.6, 0.9)),
                (64, 1024, (0.7, 0.9)),
                (1, 16, (0.2, 0.4)),
                (1, 1024, (0.4, 0.7)),
            )
        },
        **{
            (f"websocket-{protocol}-browsers", key, "us"): goals
            for protocol in ("mqtt", "stomp")
            for key, goals in (("p99", (50, 20)), ("cpu", (1, 0.3)))
        },
        **{
            (f"crossing-{crossing}", "ratio", "us"): (0.6, 0.9) for crossing in ("amqp-mqtt", "mqtt-amqp", "mqtt-stomp")
        },
    }


def test_a_ratio_is_of_medians_and_judged_by_its_direction() -> None:
    assert cells(THROUGHPUT, [1600.0, 10.0, 1500.0], [100.0, 90.0, 1e6])[5:] == [
        "15.00x",
        ">= 15x",
        ">= 60x",
        "reached",
    ]
    assert cells(THROUGHPUT, [6000.0], [100.0])[-1] == "aim reached"
    assert cells(THROUGHPUT, [1400.0], [100.0])[-1] == "**not reached**"


def test_an_absolute_figure_is_ours_alone() -> None:
    assert cells(MEMORY, [69.0], [107.0])[5:] == ["0.64x", "<= 70 MB", "<= 50 MB", "reached"]
    assert cells(MEMORY, [71.0], [])[3:] == ["-", "-", "-", "<= 70 MB", "<= 50 MB", "**not reached**"]


def test_what_was_not_measured_is_said() -> None:
    assert cells(THROUGHPUT, [], [100.0])[2] == "not measured"
    assert cells(THROUGHPUT, [1600.0], [])[5:] == ["-", ">= 15x", ">= 60x", ""]


@pytest.mark.parametrize(("fsync_us", "verdict"), [(200.0, "reached"), (199.0, "**not reached**")])
def test_one_in_flight_may_be_measured_by_the_disk_instead(fsync_us: float, verdict: str) -> None:
    p50 = Figure(key="p50", title="p50", unit="us", peer="peer", required=0.6, required_syncs=2.5, smaller=True)
    assert cells(p50, [500.0], [500.0], "single-16", fsync_us)[-1] == verdict


def test_the_aim_of_one_in_flight_is_a_multiple_of_the_disk() -> None:
    p50 = next(row for row in all_rows() if row.name == "single-16").figures[0]
    assert cells(p50, [300.0], [5000.0], "single-16", 200.0)[-2:] == ["<= 1.5 x fdatasync", "aim reached"]
    assert cells(p50, [301.0], [5000.0], "single-16", 200.0)[-1] == "reached"


def test_numbers_are_short_and_a_spread_is_shown() -> None:
    assert [number(value) for value in (5_851_520.0, 43_210.0, 8094.0, 12.345, 0.0)] == [
        "5.85 M",
        "43.2 k",
        "8,094",
        "12.3",
        "0",
    ]
    assert spread([1.0]) == "1"
    assert spread([3.0, 1.0, 2.0]) == "2 (1 - 3)"


def test_the_report_names_machine_versions_and_conditions(tmp_path: Path) -> None:
    loads = [row(THROUGHPUT)]
    measured = {"load": Runs("load", {"us": {"rate": [1600.0]}, "peer": {"rate": [100.0]}}, [230.0])}
    path = tmp_path / "docs" / "performance.md"
    write(path, loads, measured, [Absent("peer"), Absent("us", is_ours=True)], Options(), Heading())
    text = path.read_text()
    for words in ("peer 1, us 1", "kernel build", "p50 230 us", "fdatasync", "16.00x", "`ROW=load`", "machine"):
        assert words in text


def test_who_was_not_measured_and_why_is_said(tmp_path: Path) -> None:
    runs = Runs("load", {"peer": {"rate": [100.0]}}, [230.0], {"us": "us has no MQTT listener"})
    path = tmp_path / "performance.md"
    write(path, [row(THROUGHPUT)], {"load": runs}, [Absent("peer"), Absent("us", is_ours=True)], Options(), Heading())
    text = path.read_text()
    assert "| not measured | peer | 100 | - |" in text
    assert "; not measured: us has no MQTT listener." in text
