"""Topic filters: which are ones, how a share is named, and what they match by the specification's examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topic_filter import TopicFilter, parse_filter
from protocols.mqtt.topic_name import LEVEL_COUNT_MAX, topic_name_problem
from tests.protocols.mqtt.topic_match import matches

INVALID = ReasonCode.TOPIC_FILTER_INVALID


@pytest.mark.parametrize(
    "text",
    ["a", "/", "//", "#", "+", "/#", "+/+", "a/#", "a/+/b", "+/a/#", "/+", "a//b", "a b", "ä/ö", "$SYS/#", "$share",
     "$shared/a", "$SHARE/a/b", "a/$share/b", "$queue/a", "$queue/a/b", "$queue//", "$queue", "a.b/c", "*"],
)  # fmt: skip
def test_these_are_filters(text: str) -> None:
    assert parse_filter(text) == TopicFilter(None, text, tuple(text.split("/")))


@pytest.mark.parametrize(
    "text",
    ["", "a#", "+a", "a+", "a/#/b", "#/a", "##", "++", "a/b#", "a/+b", "#/", "a/#/#", "a\0", "a\tb", "a\x7f", "a\x85b",
     "$share/", "$share//x", "$share/a", "$share/a/", "$share/+/x", "$share/a#/x", "$share/#", "$share//",
     "$share/a/b#", "$share/a/\x01", "$queue/", "$queue/#", "$queue/+", "$queue/a/+/b", "$share/a/$queue/b"],
)  # fmt: skip
def test_these_are_not(text: str) -> None:
    assert parse_filter(text) is INVALID


@pytest.mark.parametrize(
    ("text", "share", "rest"),
    [
        ("$share/g/a/b", "g", "a/b"),
        ("$share/g/#", "g", "#"),
        ("$share/g//a", "g", "/a"),
        ("$share/g/+/a", "g", "+/a"),
        ("$share/a b/$SYS/#", "a b", "$SYS/#"),
    ],
)
def test_a_share_is_named_before_its_filter(text: str, share: str, rest: str) -> None:
    assert parse_filter(text) == TopicFilter(share, rest, tuple(rest.split("/")))


def test_levels_and_bytes_have_a_limit() -> None:
    assert isinstance(parse_filter("/" * (LEVEL_COUNT_MAX - 1)), TopicFilter)
    assert parse_filter("/" * LEVEL_COUNT_MAX) is INVALID
    assert isinstance(parse_filter("$share/g/" + "/" * (LEVEL_COUNT_MAX - 1)), TopicFilter)
    assert parse_filter("$share/g/" + "/" * LEVEL_COUNT_MAX) is INVALID
    assert isinstance(parse_filter("x" * 65_535), TopicFilter)
    assert parse_filter("x" * 65_536) is INVALID
    assert parse_filter("ä" * 32_768) is INVALID
    assert topic_name_problem("/" * (LEVEL_COUNT_MAX - 1)) is None
    assert topic_name_problem("/" * LEVEL_COUNT_MAX) == "topic name of more than 128 levels"


@pytest.mark.parametrize(("text", "right"), [("a", True), ("/", True), ("$SYS/a", True), ("", False), ("a/+", False),
                                             ("#", False), ("a#b", False)])  # fmt: skip
def test_topic_names(text: str, right: bool) -> None:
    assert (topic_name_problem(text) is None) is right


@given(st.text("ab+#/$", max_size=8))
def test_a_filter_is_one_when_each_wildcard_stands_alone(text: str) -> None:
    levels = text.split("/")
    right = bool(text) and all(
        level == "+" or (level == "#" and at == len(levels) - 1) or not set(level) & set("+#")
        for at, level in enumerate(levels)
    )
    assert isinstance(parse_filter(text), TopicFilter) is right


@given(st.text(max_size=12) | st.text("$share/+#a", max_size=16))
def test_any_text_is_a_filter_or_invalid(text: str) -> None:
    parsed = parse_filter(text)
    if isinstance(parsed, TopicFilter):
        assert "/".join(parsed.levels) == parsed.filter
        assert text == (parsed.filter if parsed.share is None else f"$share/{parsed.share}/{parsed.filter}")
    else:
        assert parsed is INVALID


@pytest.mark.parametrize(
    ("filter_text", "names", "others"),
    [
        # MQTT 5, 4.7.1.2 and 4.7.1.3, and 4.7.2
        ("sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/ranking",
                                    "sport/tennis/player1/score/wimbledon"], ["sport/tennis", "sport/tennis/player12"]),
        ("sport/#", ["sport", "sport/", "sport/a"], ["sports"]),
        ("#", ["a", "/", "a/b"], ["$SYS", "$SYS/a"]),
        ("sport/tennis/+", ["sport/tennis/player1", "sport/tennis/"], ["sport/tennis/player1/ranking", "sport/tennis"]),
        ("sport/+", ["sport/"], ["sport"]),
        ("+/+", ["/finance"], ["$a/b"]),
        ("/+", ["/finance"], ["finance"]),
        ("+", ["finance"], ["/finance", "$SYS"]),
        ("+/monitor/Clients", ["x/monitor/Clients"], ["$SYS/monitor/Clients"]),
        ("$SYS/#", ["$SYS", "$SYS/monitor"], ["SYS"]),
        ("$SYS/monitor/+", ["$SYS/monitor/Clients"], []),
        ("a", ["a"], ["A", "a/", "/a"]),
        ("+/$x", ["a/$x"], []),
    ],
)  # fmt: skip
def test_the_slow_match_agrees_with_the_specification(filter_text: str, names: list[str], others: list[str]) -> None:
    assert isinstance(parse_filter(filter_text), TopicFilter)
    assert [name for name in [*names, *others] if matches(filter_text, name)] == names
