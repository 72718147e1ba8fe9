"""What `make cluster` shows, and where its nodes are."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from broker.config import load
from broker.demo.cluster.__main__ import FILES, FOLDER
from broker.demo.cluster.display import META, Screen, Shown, held_in_words, load_line, one_line, under_way
from broker.demo.cluster.display import lines as drawn_lines
from broker.demo.cluster.figures import WINDOW_S, Figures
from broker.demo.cluster.load import turned
from broker.demo.cluster.node import doors_of, plans
from broker.demo.cluster.probe import UNREACHED, Held, Said
from broker.demo.cluster.witness import Life, Way, body_of, id_in

ONE = Shown("node-1", 11, "up", Said(True, "", {META: True, 1: False, 2: True}))
TWO = Shown("node-2", 12, "up", Said(True, "", {META: False, 1: True, 2: False}))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def figures(clock: Clock) -> Figures:
    return Figures(clock)


def confirm_after(figures: Figures, clock: Clock, seconds: float) -> int:
    id = figures.publish("q", "publisher")
    clock.now += seconds
    figures.confirm(id)
    return id


def test_rates_and_times_are_those_of_the_last_seconds(figures: Figures, clock: Clock) -> None:
    for seconds in (0.01, 0.02, 0.03, 0.94):
        id = confirm_after(figures, clock, seconds)
        figures.deliver(Life("c", "n"), "q", body_of(id), False)
    assert figures.rates() == (4.0, 4.0)
    assert load_line(figures).endswith("confirm p50 30 ms, p99 940 ms")
    clock.now += WINDOW_S + 0.1
    figures.lose(figures.publish("q", "publisher"))
    assert load_line(figures) == "  confirmed 0/s   delivered 0/s   confirm -"
    assert (figures.confirmed_count, figures.delivered_count, figures.unknown_count) == (4, 4, 1)


def test_what_is_under_way_is_told(figures: Figures, clock: Clock) -> None:
    assert under_way([ONE, TWO], figures) == []
    lost = Shown("node-1", 0, "killed", UNREACHED)
    figures.publish("q", "publisher")
    clock.now += 1.5
    assert under_way([lost, TWO], figures) == ["no leader of meta 2", "a publish has waited 1.5 s"]
    waiting = Shown("node-1", 13, "not ready", Said(True, "shard 0 has no leader", {META: False}))
    assert "node-1: shard 0 has no leader" in under_way([waiting, TWO], figures)


def test_shards_that_are_not_where_they_should_be_are_told() -> None:
    held = [Held(META, 3, 3, True), Held(1, 1, 3, False, ((10, 40),)), Held(2, 3, 3, False)]
    assert held_in_words(held) == [
        "shard 1 is held by 1 of 3",
        "shards 2 change",
        "shard 1: 10 of 40 bytes sent to a new member",
    ]


def test_a_terminal_is_drawn_over_and_a_file_gets_lines(figures: Figures) -> None:
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        screen = Screen(out)
        for now in (0.0, 1.0, 6.0):
            screen.show([ONE, TWO], figures, [], now)
    height = len(drawn_lines([ONE, TWO], figures))
    assert terminal.getvalue().count(f"\x1b[{height}F") == 2
    assert file.getvalue() == f"{one_line([ONE, TWO], figures)}\n" * 2
    assert "node-1 up (meta 2)" in file.getvalue()


def test_a_body_tells_its_message() -> None:
    assert id_in(body_of(17)) == 17
    assert {id_in(body) for body in (b"", b"17", b"x:y", body_of(17)[:-1], b"-1" + body_of(17)[2:])} == {None}


def test_clients_begin_at_different_nodes() -> None:
    ways = [Way(name, "h", 1) for name in "abc"]
    assert ["".join(way.node for way in turned(ways, by)) for by in range(4)] == ["abc", "bca", "cab", "abc"]


def test_nodes_of_the_files_elsewhere_know_each_other(tmp_path: Path) -> None:
    files = [FOLDER / file for file in FILES]
    doors = [[door.moved(100) for door in doors_of(file)] for file in files]
    made = plans(files, tmp_path, doors)
    for number, plan in enumerate(made):
        environment = plan.environment({"DRAGOMAN__CLUSTER__SHARDS": "9", "PATH": "/bin"})
        assert (environment["PATH"], "DRAGOMAN__CLUSTER__SHARDS" in environment) == ("/bin", False)
        config = load(plan.file, environment)
        assert config.cluster.listen == doors[number][-1].address
        assert set(config.cluster.peers) == {each[-1].address for each in doors} - {config.cluster.listen}
        assert [each.port for each in config.broker.listeners] == [door.port for door in doors[number][:-1]]
        assert config.broker.storage.log_dir == str(tmp_path / config.cluster.name_of_node)
