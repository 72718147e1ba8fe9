"""The histogram against a slow twin that keeps every value."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from kernel import Histogram

VALUE_MAX = 2**64 - 1
values = st.integers(0, VALUE_MAX) | st.integers(0, 2000)


def bucket_of(value: int) -> tuple[int, int]:
    """Lowest and highest value counted together with ``value``: its leading 8 bits decide."""
    shift = max(0, value.bit_length() - 8)
    return value >> shift << shift, (value >> shift << shift) + (1 << shift) - 1


def percentile_of(values: list[int], percent: float) -> int:
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return min(bucket_of(sorted(values)[rank - 1])[1], max(values))


def of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.lists(values, min_size=1), st.sampled_from([0, 1, 25, 50, 90, 99, 99.9, 100]))
def test_percentiles_are_those_of_the_sorted_values_to_within_a_bucket(values: list[int], percent: float) -> None:
    histogram = of(values)
    assert histogram.percentile(percent) == percentile_of(values, percent)
    assert (histogram.count, histogram.min, histogram.max) == (len(values), min(values), max(values))
    assert math.isclose(histogram.mean, sum(values) / len(values))


@given(st.lists(values))
def test_buckets_hold_their_values_within_a_128th(values: list[int]) -> None:
    expected: dict[tuple[int, int], int] = {}
    for value in values:
        expected[bucket_of(value)] = expected.get(bucket_of(value), 0) + 1
    buckets = of(values).buckets()
    assert buckets == [(low, high, count) for (low, high), count in sorted(expected.items())]
    assert all(high - low <= low / 128 for low, high, _ in buckets)


@given(st.lists(values), st.lists(values))
def test_merging_is_recording_both(left: list[int], right: list[int]) -> None:
    merged = of(left)
    merged.merge(of(right))
    assert merged.buckets() == of(left + right).buckets()
    assert (merged.count, merged.min, merged.max) == (
        len(left + right),
        min(left + right, default=0),
        max(left + right, default=0),
    )


@given(st.integers(0, 100_000), st.integers(1, 1000) | st.integers(1000, 200_000))
def test_a_stall_counts_for_all_that_was_not_asked_meanwhile(value: int, interval: int) -> None:
    expected = [value, *range(value - interval, interval - 1, -interval)]
    histogram = Histogram()
    histogram.record_spaced(value, interval)
    assert histogram.buckets() == of(expected).buckets()
    assert math.isclose(histogram.mean, sum(expected) / len(expected))


def test_a_histogram_can_be_merged_with_itself() -> None:
    histogram = of([1, 1000])
    histogram.merge(histogram)
    assert histogram.count == 4


def test_nothing_recorded_is_nothing_at_any_percentile() -> None:
    assert Histogram().percentile(99) == 0
    assert Histogram().buckets() == []
