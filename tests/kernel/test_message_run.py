"""Runs of messages and of deliveries, as Python sees them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import (
    FLAG_BAD_EXPIRATION,
    FLAG_HAS_USER_ID,
    FLAG_MANDATORY,
    FLAG_PERSISTENT,
    ORIGIN_MQTT,
    Chunk,
    DeliveryRun,
    MessageRun,
)

Row = tuple[bytes, bytes, bytes, bytes, int, int | None]

NAMES = st.sampled_from([b"", b"a", b"ab", b"b"]) | st.integers(0, 40).map(lambda i: b"key-%d" % i)
ROWS: st.SearchStrategy[list[Row]] = st.lists(
    st.tuples(
        st.sampled_from([b"", b"a", b"ab"]),
        NAMES,
        st.just(b"\0\0"),
        st.binary(max_size=9),
        st.integers(0, 15),
        st.none() | st.integers(0, 2**32 - 2),
    ),
    max_size=60,
)


@given(ROWS)
def test_a_run_is_its_rows(rows: list[Row]) -> None:
    run = MessageRun.of(7, rows)
    assert run.rows() == rows
    assert (run.channel, run.count, len(run)) == (7, len(rows), len(rows))
    assert run.size == sum(len(row[3]) for row in rows)
    assert run.keys() == list(dict.fromkeys(row[:2] for row in rows))
    assert [run.keys()[run.key(i)] for i in range(len(rows))] == [row[:2] for row in rows]
    flags = 0
    for row in rows:
        flags |= row[4]
    assert (run.flags, run.persistent, run.mandatory) == (flags, bool(flags & 1), bool(flags & 2))
    for flag in (FLAG_PERSISTENT, FLAG_MANDATORY, FLAG_HAS_USER_ID, FLAG_BAD_EXPIRATION):
        flagged = [i for i, row in enumerate(rows) if row[4] & flag]
        assert run.first_with_flag(flag) == (flagged[0] if flagged else None)


@given(ROWS, st.data())
def test_a_selection_keeps_what_is_selected_in_order(rows: list[Row], data: st.DataObject) -> None:
    run = MessageRun.of(7, rows)
    keys = run.keys()
    numbers = data.draw(st.lists(st.integers(0, len(keys) - 1), max_size=5)) if keys else []
    selected = run.select(numbers)
    wanted = {keys[number] for number in numbers}
    assert selected.rows() == [row for row in rows if row[:2] in wanted]
    assert selected.keys() == [key for key in keys if key in wanted]
    assert selected.channel == 7
    assert [rows[place] for place in run.places(numbers)] == selected.rows()
    index = data.draw(st.integers(0, len(rows) + 1))
    assert run.before(index).rows() == rows[:index]
    assert run.before(index).keys() == list(dict.fromkeys(row[:2] for row in rows[:index]))
    for number, key in enumerate(keys):
        firsts = [i for i, row in enumerate(rows) if row[:2] == key]
        assert run.before_key(number).rows() == rows[: firsts[0]]


@given(ROWS, st.data())
def test_deliveries_are_the_parts_in_order(rows: list[Row], data: st.DataObject) -> None:
    run = MessageRun.of(7, rows)
    parts = []
    for _ in range(data.draw(st.integers(0, 3))):
        first = data.draw(st.integers(0, len(rows)))
        parts.append((first, data.draw(st.integers(0, len(rows) - first)), data.draw(st.booleans())))
    deliveries = DeliveryRun.joined([DeliveryRun.of(run, *part) for part in parts])
    expected = [(*row, again) for first, count, again in parts for row in rows[first : first + count]]
    assert deliveries.count == len(deliveries) == len(expected)
    assert deliveries.size == sum(len(row[2]) + len(row[3]) for row in expected)
    for i, (exchange, routing_key, properties, body, _, _, again) in enumerate(expected):
        assert deliveries.exchange(i) == exchange
        assert deliveries.routing_key(i) == routing_key
        assert (deliveries.properties(i), deliveries.body(i)) == (properties, body)
        assert deliveries.redelivered(i) == again
    with pytest.raises(IndexError):
        deliveries.body(len(expected))


def test_misuse_is_refused() -> None:
    run = MessageRun.of(1, [(b"", b"q", b"\0\0", b"x", 0, None)])
    with pytest.raises(IndexError):
        run.body(1)
    with pytest.raises(IndexError):
        run.select([1])
    with pytest.raises(IndexError):
        run.places([1])
    with pytest.raises(ValueError, match="more than the run holds"):
        DeliveryRun.of(run, 1, 1, False)
    with pytest.raises(ValueError, match="too long for its origin"):
        MessageRun.of(1, [(b"x" * 256, b"", b"\0\0", b"", 0, None)])


def test_a_chunk_is_its_bytes() -> None:
    chunk = Chunk(b"abc")
    assert (bytes(chunk), len(chunk)) == (b"abc", 3)
    assert chunk == Chunk(b"abc")


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_runs_gathered_are_their_rows_in_order(runs: list[list[Row]]) -> None:
    run = MessageRun.gathered([MessageRun.of(number, rows) for number, rows in enumerate(runs)])
    assert run.rows() == [row for rows in runs for row in rows]
    keys = [(row[0], row[1]) for rows in runs for row in rows]
    assert run.keys() == list(dict.fromkeys(keys))


def test_only_runs_of_one_origin_are_gathered() -> None:
    row: Row = (b"", b"a", b"", b"", 0, None)
    with pytest.raises(ValueError, match="origins"):
        MessageRun.gathered([MessageRun.of(0, [row]), MessageRun.of(0, [row], ORIGIN_MQTT)])
    with pytest.raises(ValueError, match="no run"):
        MessageRun.gathered([])
