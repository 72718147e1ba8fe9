"""Dead-lettering: the record in the headers, read back by pamqp, and against a slow twin."""

from __future__ import annotations

import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp import frame as pamqp_frame
from pamqp import header as pamqp_header

from kernel import (
    FLAG_DEAD_LETTERED,
    FLAG_HAS_USER_ID,
    FLAG_MANDATORY,
    FLAG_PERSISTENT,
    DeliveryRun,
    MessageRun,
    dead_letter,
)
from tests.kernel.slow_amqp import message, opened

NOW_S = 1_700_000_000
NOW = datetime.datetime.fromtimestamp(NOW_S, tz=datetime.UTC)


def encode(properties: commands.Basic.Properties) -> bytes:
    return pamqp_frame.marshal(pamqp_header.ContentHeader(0, 0, properties), 1)[19:-1]


def decode(properties: bytes) -> commands.Basic.Properties:
    read = commands.Basic.Properties()
    header = pamqp_header.ContentHeader(0, 0, read)
    header.unmarshal(b"\0\x3c\0\0" + bytes(8) + properties)
    return header.properties


def published(properties: commands.Basic.Properties, bits: int = 0) -> MessageRun:
    stream = message(1, b"body", exchange=b"x", routing_key=b"k", bits=bits, properties=encode(properties))
    (run,) = opened().receive_data(stream)
    assert isinstance(run, MessageRun)
    return run


def buried(
    run: MessageRun, queue: str = "q", reason: str = "expired", routing_key: bytes | None = None, now_s: int = NOW_S
) -> MessageRun:
    return dead_letter(DeliveryRun.of(run, 0, run.count, False), queue.encode(), reason, b"dlx", routing_key, now_s)


def headers(run: MessageRun) -> dict[str, Any]:
    found = decode(run.properties(0)).headers
    assert found is not None
    return found


def death(queue: str = "q", reason: str = "expired", count: int = 1, exchange: str = "x") -> dict[str, Any]:
    record: dict[str, Any] = {
        "count": count,
        "reason": reason,
        "queue": queue,
        "time": NOW,
        "exchange": exchange,
        "routing-keys": ["k"],
    }
    return record


def test_a_first_death_is_recorded_beside_all_else_that_the_message_had() -> None:
    properties = commands.Basic.Properties(
        content_type="text/plain", headers={"mine": 7}, delivery_mode=2, priority=3, message_id="m", user_id="guest"
    )
    run = buried(published(properties, bits=1))
    (row,) = run.rows()
    assert row[:2] == (b"dlx", b"k")
    assert row[3:] == (b"body", FLAG_PERSISTENT | FLAG_HAS_USER_ID | FLAG_DEAD_LETTERED, None)
    assert run.flags & FLAG_MANDATORY == 0
    read = decode(row[2])
    assert read.headers == {
        "mine": 7,
        "x-death": [death()],
        "x-first-death-queue": "q",
        "x-first-death-reason": "expired",
        "x-first-death-exchange": "x",
        "x-last-death-queue": "q",
        "x-last-death-reason": "expired",
        "x-last-death-exchange": "x",
    }
    read.headers = properties.headers
    assert dict(read) == dict(properties)
    assert run.priority(0) == 3


def test_an_expiration_goes_into_the_record() -> None:
    published_run = published(commands.Basic.Properties(expiration="60000", app_id="a"))
    assert published_run.expiration_ms(0) == 60000
    run = buried(published_run)
    assert run.expiration_ms(0) is None
    read = decode(run.properties(0))
    assert (read.expiration, read.app_id) == (None, "a")
    assert headers(run)["x-death"] == [death() | {"original-expiration": "60000"}]


def test_the_same_death_again_is_counted_and_moves_to_the_front() -> None:
    run = buried(buried(published(commands.Basic.Properties())), "retry", "rejected", now_s=NOW_S)
    run = buried(run, "q", "expired", now_s=NOW_S + 60)
    found = headers(run)
    assert found["x-death"] == [death(count=2), death("retry", "rejected", exchange="dlx")]
    firsts = {name.removeprefix("x-first-death-"): value for name, value in found.items() if "first" in name}
    lasts = {name.removeprefix("x-last-death-"): value for name, value in found.items() if "last" in name}
    assert firsts == {"queue": "q", "reason": "expired", "exchange": "x"}
    assert lasts == {"queue": "q", "reason": "expired", "exchange": "dlx"}


def test_a_record_that_a_client_sent_is_replaced() -> None:
    forged: dict[str, Any] = {
        "x-death": [death("q", count=41)],
        "x-first-death-queue": "lie",
        "x-last-death-queue": "lie",
        "a": 1,
    }
    run = published(commands.Basic.Properties(headers=forged))
    assert run.cycling(b"q") == []
    found = headers(buried(run))
    assert (found["x-death"], found["a"]) == ([death()], 1)
    assert (found["x-first-death-queue"], found["x-last-death-queue"]) == ("q", "q")


def test_a_routing_key_of_the_queues_own_drops_the_publishers() -> None:
    properties = commands.Basic.Properties(headers={"CC": ["c1", "c2"], "BCC": ["b"], "a": 1})
    kept = buried(published(properties))
    assert {"CC", "BCC", "a"} <= set(headers(kept))
    replaced = buried(published(properties), routing_key=b"new")
    assert replaced.rows()[0][:2] == (b"dlx", b"new")
    assert {"CC", "BCC"}.isdisjoint(headers(replaced))
    for run in (kept, replaced):
        assert headers(run)["x-death"] == [death() | {"routing-keys": ["k", "c1", "c2"]}]


def test_a_cycle_without_a_reject_is_one() -> None:
    run = buried(published(commands.Basic.Properties()), "a")
    assert (run.cycling(b"a"), run.cycling(b"b")) == ([0], [])
    run = buried(run, "b", "maxlen")
    assert (run.cycling(b"a"), run.cycling(b"b")) == ([0], [0])
    run = buried(run, "c", "rejected")
    assert (run.cycling(b"a"), run.cycling(b"b"), run.cycling(b"c")) == ([], [], [])
    run = buried(run, "d")
    assert (run.cycling(b"a"), run.cycling(b"d")) == ([], [0])


NAMES = st.sampled_from(["a", "b", "c"])
DEATHS = st.lists(st.tuples(NAMES, st.sampled_from(["rejected", "expired", "maxlen"])), min_size=1, max_size=8)


@given(DEATHS)
def test_any_history_is_as_the_twin_keeps_it(history: list[tuple[str, str]]) -> None:
    record: list[tuple[str, str, int]] = []
    run = published(commands.Basic.Properties(delivery_mode=2))
    for queue, reason in history:
        run = buried(run, queue, reason)
        count = next((c for q, r, c in record if (q, r) == (queue, reason)), 0)
        record = [(queue, reason, count + 1), *(d for d in record if d[:2] != (queue, reason))]
    found = headers(run)
    assert [(d["queue"], d["reason"], d["count"]) for d in found["x-death"]] == record
    assert (found["x-first-death-queue"], found["x-first-death-reason"]) == history[0]
    assert (found["x-last-death-queue"], found["x-last-death-reason"]) == history[-1]
    for target in "abcd":
        at = next((i for i, d in enumerate(record) if d[0] == target), None)
        # RabbitMQ looks for the newest entry of the queue, whatever its reason.
        cycle = at is not None and all(d[1] != "rejected" for d in record[: at + 1])
        assert run.cycling(target.encode()) == ([0] if cycle else [])


def test_many_messages_of_several_runs_are_readdressed_in_order() -> None:
    runs = [published(commands.Basic.Properties()), published(commands.Basic.Properties(priority=9))]
    joined = DeliveryRun.joined([DeliveryRun.of(run, 0, 1, True) for run in runs])
    run = dead_letter(joined, b"q", "maxlen", b"", b"dead", NOW_S)
    assert (run.count, run.keys(), run.channel) == (2, [(b"", b"dead")], 0)
    assert [run.priority(0), run.priority(1)] == [0, 9]
