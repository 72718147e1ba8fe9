"""A configuration is taken whole or refused with every place that is wrong."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config import Config, ConfigError, load, render
from broker.config.refused import FIXED_VALUES, REFUSED_KEYS
from broker.config.source import DEPTH_MAX, Mapping, read_tree

DOCUMENTED = Path("config/dragoman.yaml")


def problems(path: Path, text: str, **environment: str) -> list[str]:
    path.write_text(textwrap.dedent(text))
    with pytest.raises(ConfigError) as refused:
        load(path, environment)
    return [str(problem).removeprefix(f"{path}:") for problem in refused.value.problems]


def test_the_documented_file_holds_every_key_with_its_default() -> None:
    assert load(DOCUMENTED, {}) == Config()
    keys = [line.split("#")[0].strip() for line in DOCUMENTED.read_text().splitlines()]
    password = 'default_password: "<hidden>"'
    rendered = [line.strip() for line in render(Config()).splitlines()]
    assert [key for key in keys if key] == [
        'default_password: "guest"' if line == password else line for line in rendered
    ]


def test_every_documented_key_has_a_comment() -> None:
    lines = [line.strip() for line in DOCUMENTED.read_text().splitlines() if line.strip()]
    for before, line in itertools.pairwise(lines):
        if not line.startswith(("#", "-")) and not line.endswith(":"):
            assert before.startswith("#"), f"{line!r} is not described"


def test_no_file_means_the_defaults() -> None:
    assert load(None, {}) == Config()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("message_queue: {brokr: {}}", "1:17: unknown key 'brokr' in message_queue - did you mean 'broker'?"),
        ("mesage_queue: {}", "1:1: unknown key 'mesage_queue' - did you mean 'message_queue'?"),
        ("message_queue:\n  cluster: {shards: 4}\n  cluster: {}", "3:3: 'cluster' is there twice: first in line 2"),
        ("message_queue: {cluster: {shards: 65}}", "1:35: cluster.shards must be at most 64, not 65"),
        ("message_queue: {cluster: {shards: true}}", "1:35: cluster.shards must be a whole number, not True"),
        ("message_queue: {cluster: {cluster_name: no}}", "1:41: 'no': write true or false, or quote it"),
        ("message_queue: {cluster: {cluster_name: 12:30:45}}", "1:41: '12:30:45': YAML 1.1 reads it as a number"),
        ("message_queue: {cluster: {node_id: 010}}", "1:36: '010': YAML 1.1 reads a leading 0 as octal"),
        ("message_queue: {cluster: {cluster_name: 2026-11-25}}", "1:41: '2026-11-25': YAML 1.1 reads it as a date"),
        ("message_queue: {cluster: &a {}}", "1:26: anchors and aliases aren't supported"),
        ("message_queue: {cluster: !!map {}}", "1:26: tags aren't supported"),
        ("message_queue: {security: }", "security is empty: fill it, or leave it out"),
        ("message_queue: {broker: {limits: {heartbeat: 60}}}", "heartbeat: 60 needs a unit: 60s"),
        ("message_queue: {broker: {limits: {frame_max: 64kib}}}", "did you mean KiB?"),
        ("message_queue: {broker: {limits: {frame_max: 1KiB}}}", "frame_max must be at least 4KiB, not 1KiB"),
        ("message_queue: {broker: {listeners: []}}", "broker.listeners must have 1 to 64 entries"),
        ("message_queue: {broker: {listeners: [{port: 1}]}}", "broker.listeners[0] lacks 'protocol'"),
        (
            "message_queue: {broker: {listeners: [{protocol: kafka}]}}",
            "'kafka' isn't supported yet: amqp (0-9-1), mqtt, stomp and http (with WebSocket) are",
        ),
        (
            "message_queue: {broker: {listeners: [{protocol: amqb}]}}",
            "'amqb' isn't supported: amqp (0-9-1), mqtt, stomp and http (with WebSocket) are",
        ),
        ("message_queue: {logging: {level: warn}}", "did you mean 'warning'?"),
        ("message_queue: [", "not YAML"),
        ("message_queue: \x01", "not YAML"),
        ("message_queue: {}\n---\nmessage_queue: {}", "a second document"),
        ("", "1:1: must begin with `message_queue:`"),
        (f"message_queue: {'[' * DEPTH_MAX * 2}{']' * DEPTH_MAX * 2}", "nested deeper than"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    found = problems(tmp_path / "dragoman.yaml", text)
    assert len(found) == 1
    assert problem in found[0]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = """\
        message_queue:
          cluster: {nodeid: 1}
          broker:
            storage: {log_dir: 12}
    """
    places = [problem.split(": ")[0] for problem in problems(tmp_path / "dragoman.yaml", text)]
    assert places == ["2:13", "4:24"]


@pytest.mark.parametrize("path", sorted(REFUSED_KEYS))
def test_a_key_of_another_kind_of_broker_is_refused_with_its_reason(tmp_path: Path, path: str) -> None:
    nested = "1"
    for key in reversed(path.split(".")):
        nested = f"{{{key}: {nested}}}"
    covering = next(known for known in sorted(REFUSED_KEYS, key=len) if f"{path}.".startswith(f"{known}."))
    assert REFUSED_KEYS[covering] in problems(tmp_path / "dragoman.yaml", f"message_queue: {nested}")[0]


@pytest.mark.parametrize("path", sorted(FIXED_VALUES))
def test_a_setting_with_one_value_says_why(tmp_path: Path, path: str) -> None:
    nested = "7"
    for key in reversed(path.split(".")):
        nested = f"{{{key}: {nested}}}"
    assert FIXED_VALUES[path] in problems(tmp_path / "dragoman.yaml", f"message_queue: {nested}")[0]


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.yaml"
    path.write_text("message_queue: {broker: {storage: {log_dir: /a, journal_file_size: 64MiB}}}")
    environment = {
        "DRAGOMAN__BROKER__STORAGE__LOG_DIR": "/b",
        "DRAGOMAN__BROKER__LISTENERS": "[{protocol: amqp, port: 5673}]",
        "OTHER": "1",
    }
    config = load(path, environment)
    assert config.broker.storage.log_dir == "/b"
    assert config.broker.storage.journal_file_size == 64 << 20
    assert [listener.port for listener in config.broker.listeners] == [5673]


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"DRAGOMAN__BROKR__X:1:1: unknown key 'brokr'"):
        load(None, {"DRAGOMAN__BROKR__X": "1"})
    with pytest.raises(ConfigError, match="must look like"):
        load(None, {"DRAGOMAN__": "1"})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.yaml", {})


WORDS = st.sampled_from(
    [
        "message_queue",
        "broker",
        "listeners",
        "[",
        "]",
        "{",
        "}",
        ": ",
        ", ",
        "\n",
        "  ",
        "- ",
        "&a ",
        "*a ",
        "!!int ",
        "|",
    ]
)


@given(st.lists(st.one_of(WORDS, st.text(max_size=3)), max_size=30).map("".join))
def test_no_text_raises_anything_but_config_error(text: str) -> None:
    try:
        tree = read_tree(text, "x")
    except ConfigError as error:
        assert error.problems  # noqa: PT017 (both outcomes are right)
    else:
        assert tree is None or tree.mark.source == "x"


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    with pytest.raises(ConfigError, match=r"nested deeper|not YAML"):
        read_tree("[" * 200_000, "x")
    assert isinstance(read_tree("a: 1", "x"), Mapping)
