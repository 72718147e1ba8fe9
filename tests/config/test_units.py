"""Sizes and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config.units import format_duration, format_size, parse_duration, parse_size


@given(st.integers(0, 1 << 50))
def test_a_size_is_read_as_it_was_written(size: int) -> None:
    assert parse_size(format_size(size)) == size
    assert parse_size(size) == size


@given(st.integers(0, 10**12))
def test_a_duration_is_read_as_it_was_written(ms: int) -> None:
    assert parse_duration(format_duration(ms / 1000)) == pytest.approx(ms / 1000, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 10**9), ("64KiB", 65536), ("1.5MiB", 3 << 19), ("12B", 12), ("7 MB", 7_000_000)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("value", ["", "GB", "1", "1 Q", "-1GB", "1e3B", "0.5B", "1GB2", True, None, 1.5, "٣MB"])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a|unit"):
        parse_size(value)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("7d", 604800), ("500ms", 0.5), ("1.5h", 5400), (0, 0)])
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("value", ["", "s", "30", 30, 1.5, True, "1w", "-1s", None])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a|unit"):
        parse_duration(value)
