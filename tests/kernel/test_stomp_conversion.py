"""Conversion of messages between STOMP and AMQP 0-9-1: the tables of ``docs/conversions.md``, and their laws."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pamqp import commands

from kernel import (
    FLAG_DEAD_LETTERED,
    FLAG_HAS_USER_ID,
    FLAG_PERSISTENT,
    ORIGIN_STOMP,
    DeliveryRun,
    MessageRun,
    dead_letter,
    encode_deliveries,
    to_amqp,
    to_stomp,
)
from tests.kernel.slow_stomp import decode_lines, encode_lines
from tests.kernel.test_conversion import TIME, amqp, read_amqp
from tests.kernel.test_death import encode

Properties = commands.Basic.Properties
Headers = dict[str, str]

PROPERTY_NAMES = {
    "content_type": "content-type",
    "content_encoding": "content-encoding",
    "priority": "priority",
    "correlation_id": "correlation-id",
    "reply_to": "reply-to",
    "message_id": "amqp-message-id",
    "timestamp": "timestamp",
    "message_type": "type",
    "user_id": "user-id",
    "app_id": "app-id",
    "cluster_id": "cluster-id",
}


def stomp(
    headers: Headers,
    key: tuple[bytes, bytes] = (b"amq.topic", b"a.b"),
    flags: int = 0,
    expiration_ms: int | None = None,
) -> MessageRun:
    row = (*key, encode_lines(headers.items()), b"body", flags, expiration_ms)
    return MessageRun.of(3, [row], ORIGIN_STOMP)


def read_stomp(run: MessageRun) -> Headers:
    assert run.origin == ORIGIN_STOMP
    return dict(decode_lines(run.properties(0)))


# One row for each property and type of header: AMQP, STOMP, what comes back (None: the same).
TO_STOMP: list[tuple[dict[str, Any], Headers, dict[str, Any] | None]] = [
    ({}, {}, None),
    ({"content_type": "text/plain"}, {"content-type": "text/plain"}, None),
    ({"content_type": "a\0b"}, {"content-type;base64": "YQBi"}, None),
    ({"content_encoding": "gzip"}, {"content-encoding": "gzip"}, None),
    ({"priority": 7}, {"priority": "7"}, None),
    ({"correlation_id": "c\n:\\1"}, {"correlation-id": "c\n:\\1"}, None),
    ({"correlation_id": "c\0"}, {"correlation-id;base64": "YwA="}, None),
    ({"reply_to": "q"}, {"reply-to": "/queue/q"}, None),
    ({"reply_to": "q/é%\0"}, {"reply-to": "/queue/q%2F%C3%A9%25%00"}, None),
    ({"reply_to": "amq.gen/x"}, {"reply-to": "/reply-queue/amq.gen/x"}, None),
    (
        {"reply_to": "a.b", "headers": {"mqtt-response-exchange": "amq.topic"}},
        {"reply-to": "/topic/a.b"},
        None,
    ),
    ({"reply_to": "q", "headers": {"mqtt-response-exchange": "x"}}, {"reply-to": "/queue/q"}, {"reply_to": "q"}),
    ({"message_id": "m"}, {"amqp-message-id": "m"}, None),
    ({"timestamp": TIME}, {"timestamp": "1700000000"}, None),
    ({"message_type": "t"}, {"type": "t"}, None),
    ({"message_type": "t\x01"}, {"type;base64": "dAE="}, None),
    ({"user_id": "guest"}, {"user-id": "guest"}, None),
    ({"user_id": "a\0"}, {}, {}),
    ({"app_id": "a"}, {"app-id": "a"}, None),
    ({"headers": {"s": "a\r\n\tb"}}, {"s": "a\r\n\tb"}, None),
    ({"headers": {"a:b": "c:d"}}, {"a:b": "c:d"}, None),
    ({"headers": {"s": "\0"}}, {"s;base64": "AA=="}, {"headers": {"s": b"\0"}}),
    ({"headers": {"x": bytearray(b"\xff")}}, {"x;base64": "/w=="}, None),
    ({"headers": {"t": True, "i": -5, "l": 2**40}}, {"t": "true", "i": "-5", "l": str(2**40)},
     {"headers": {"t": "true", "i": "-5", "l": str(2**40)}}),
    ({"headers": {"d": 1.5, "D": Decimal("-1.05"), "T": TIME, "V": None}},
     {"d": "1.5", "D": "-1.05", "T": "1700000000", "V": ""},
     {"headers": {"d": "1.5", "D": "-1.05", "T": "1700000000", "V": ""}}),
    ({"headers": {"A": ["a", "b"]}}, {"A": '["a","b"]'}, {"headers": {"A": '["a","b"]'}}),
    ({"headers": {"F": {"k": [True]}}}, {"F": '{"k":[true]}'}, {"headers": {"F": '{"k":[true]}'}}),
    ({"headers": {"long": "x" * 65_536}}, {}, {}),
    ({"headers": {"a\nb": "v"}}, {}, {}),
    ({"headers": {"": "v"}}, {}, {}),
    # What is called like one of STOMP's own headers.
    ({"headers": {"destination": "d", "ack": "1", "receipt;user": "r"}},
     {"destination;user": "d", "ack;user": "1", "receipt;user;user": "r"}, None),
    ({"headers": {"expiration": "5", "persistent": "true"}}, {"expiration;user": "5", "persistent;user": "true"}, None),
    ({"headers": {"user-id": "admin"}}, {"user-id;user": "admin"}, None),
    ({"message_type": "t", "headers": {"type": "u", "type;user": "v"}},
     {"type": "t", "type;user": "u", "type;user;user": "v"}, None),
    ({"headers": {"type;user": "v"}}, {"type;user": "v"}, None),
    ({"headers": {"type": "u"}}, {"type": "u"}, {"message_type": "u"}),
    ({"headers": {"timestamp": "today"}}, {"timestamp": "today"}, None),
    ({"headers": {"x": bytearray(b"\xff"), "x;base64": "v"}}, {"x;base64": "/w=="}, {"headers": {"x": b"\xff"}}),
    # What MQTT has.
    ({"headers": {"mqtt-payload-format": 1}}, {"mqtt-payload-format": "1"}, None),
    ({"headers": {"mqtt-topic": "t" * 300}}, {"mqtt-topic": "t" * 300}, None),
    ({"headers": {"mqtt-content-type": "x" * 256}}, {"content-type": "x" * 256}, None),
    ({"headers": {"mqtt-correlation-data": bytearray(b"\xff")}}, {"correlation-id;base64": "/w=="}, None),
    ({"headers": {"mqtt-correlation-data": bytearray(b"c" * 256)}}, {"correlation-id": "c" * 256}, None),
    ({"headers": {"mqtt-response-topic": "t/" * 128}}, {"reply-to": "/topic/" + "t." * 128}, None),
    ({"headers": {"mqtt-response-topic": "$queue/" + "q" * 256}}, {"reply-to": "/queue/" + "q" * 256}, None),
    ({"headers": {"mqtt-user-properties": ["n" * 256, "v"]}}, {"n" * 256: "v"}, None),
    ({"headers": {"mqtt-content-type;user": "v"}}, {"mqtt-content-type": "v"}, None),
    ({"headers": {"mqtt-topic;user": "v"}}, {"mqtt-topic;user": "v"}, None),
]  # fmt: skip


@pytest.mark.parametrize("row", TO_STOMP, ids=lambda row: str(row[0])[:40])
def test_what_amqp_has_is_shown_to_stomp_and_comes_back(
    row: tuple[dict[str, Any], Headers, dict[str, Any] | None],
) -> None:
    given_properties, shown, back = row
    converted = to_stomp(amqp(encode(Properties(**given_properties))))
    assert read_stomp(converted) == shown
    assert read_amqp(to_amqp(converted)) == (given_properties if back is None else back)


# STOMP, and AMQP, what comes back (None: the same).
TO_AMQP: list[tuple[Headers, dict[str, Any], Headers | None]] = [
    ({"content-type": "x" * 256}, {"headers": {"mqtt-content-type": "x" * 256}}, None),
    ({"type": "x" * 256, "type;user": "u"}, {"headers": {"type": "x" * 256, "type;user": "u"}}, None),
    ({"type;user": "u", "type": "t"}, {"message_type": "t", "headers": {"type": "u"}}, None),
    ({"priority": "07"}, {"headers": {"priority": "07"}}, None),
    ({"timestamp": str(2**63)}, {"headers": {"timestamp": str(2**63)}}, None),
    ({"user-id": "u" * 256}, {}, {}),
    ({"user-id;base64": "YQ=="}, {}, {}),
    ({"reply-to": "q"}, {"reply_to": "q"}, {"reply-to": "/queue/q"}),
    ({"reply-to": "/amq/queue/q"}, {"reply_to": "q"}, {"reply-to": "/queue/q"}),
    ({"reply-to": "/reply-queue/q/1"}, {"reply_to": "q/1"}, {"reply-to": "/queue/q%2F1"}),
    ({"reply-to": "/exchange/x/k"}, {"headers": {"reply-to": "/exchange/x/k"}}, None),
    ({"reply-to": "/queue/a/b"}, {"headers": {"reply-to": "/queue/a/b"}}, None),
    ({"reply-to": "/queue/%FF"}, {"headers": {"reply-to": "/queue/%FF"}}, None),
    ({"a": "1", "a;base64": "/w=="}, {"headers": {"a": "1", "a;base64": "/w=="}}, None),
    ({"a;base64": "/w"}, {"headers": {"a;base64": "/w"}}, None),
    ({"type;base64": "YQ=="}, {"headers": {"type": b"a"}}, None),
    ({"mqtt-payload-format": "2"}, {"headers": {"mqtt-payload-format": "2"}}, None),
    ({"mqtt-response-exchange": "amq.topic"}, {"headers": {"mqtt-response-exchange;user": "amq.topic"}}, None),
    ({"n" * 256: "v"}, {"headers": {"mqtt-user-properties": ["n" * 256, "v"]}}, None),
    ({"x-message-ttl": "5", "x-death": "forged"}, {"headers": {"x-message-ttl": "5", "x-death": "forged"}}, None),
    ({"ack": "1", "message-id": "m", "expiration": "soon", "subscription": "s", "redelivered": "true"}, {}, {}),
]  # fmt: skip


@pytest.mark.parametrize("row", TO_AMQP, ids=lambda row: str(row[0])[:40])
def test_what_stomp_has_is_shown_to_amqp_and_comes_back(row: tuple[Headers, dict[str, Any], Headers | None]) -> None:
    headers, shown, back = row
    converted = to_amqp(stomp(headers))
    assert read_amqp(converted) == shown
    assert read_stomp(to_stomp(converted)) == (headers if back is None else back)


def test_facts_are_carried_over() -> None:
    flags = FLAG_PERSISTENT | FLAG_HAS_USER_ID
    run = stomp({"priority": "9", "user-id": "u"}, (b"", b"q"), flags, 60_000)
    converted = to_amqp(run)
    assert (converted.flags, converted.expiration_ms(0), converted.priority(0), converted.channel) == (
        flags, 60_000, 9, 3,
    )  # fmt: skip
    assert read_amqp(converted) == {"expiration": "60000", "user_id": "u", "priority": 9}
    assert to_stomp(converted).rows() == run.rows()
    dead = amqp(encode(Properties(user_id="u")), flags=flags | FLAG_DEAD_LETTERED)
    assert to_stomp(dead).flags == flags
    assert to_stomp(run).rows() == run.rows()


def test_a_user_id_is_checked_as_amqps_is() -> None:
    run = stomp({"a": "b", "user-id": "gu:est"}, flags=FLAG_HAS_USER_ID)
    assert (run.first_with_other_user(b"gu:est"), run.first_with_other_user(b"guest")) == (None, 0)
    assert stomp({}, flags=0).first_with_other_user(b"guest") is None


def test_keys_and_topics_are_read_as_amqps() -> None:
    run = stomp({}, (b"", b"q/1"))
    assert run.keys() == [(b"", b"q/1")]
    assert DeliveryRun.of(run, 0, 1, False).topics() == [b"$queue/q/1"]
    assert DeliveryRun.of(stomp({}), 0, 1, False).topics() == [b"a/b"]


def test_amqp_consumers_are_handed_stomp_messages() -> None:
    run = stomp({"type": "t", "a": "1"}, flags=FLAG_PERSISTENT)
    stream = bytes(encode_deliveries(DeliveryRun.of(run, 0, 1, False), 1, b"c", 7, 4096))
    assert stream == bytes(encode_deliveries(DeliveryRun.of(to_amqp(run), 0, 1, False), 1, b"c", 7, 4096))


def test_a_stomp_message_dies_as_an_amqp_message() -> None:
    run = stomp({"type": "t", "x-death": "forged"}, flags=FLAG_PERSISTENT, expiration_ms=5_000)
    dead = dead_letter(DeliveryRun.of(run, 0, 1, False), b"q", "expired", b"dlx", None, 1_700_000_000)
    (death,) = read_amqp(dead)["headers"]["x-death"]
    assert (death["exchange"], death["routing-keys"], death["original-expiration"]) == ("amq.topic", ["a.b"], "5000")
    assert (dead.cycling(b"q"), run.cycling(b"q")) == ([0], [])
    assert read_stomp(to_stomp(dead))["type"] == "t"
    assert read_stomp(to_stomp(dead))["x-death"].startswith('[{"count":1,')


def test_of_headers_with_one_name_the_first_is_shown() -> None:
    many = b"".join(b"\x02%02dS\x00\x00\x00\x01%d" % (i % 30, i // 30) for i in range(60))
    run = to_stomp(amqp(b"\x20\x00" + len(many).to_bytes(4, "big") + many))
    assert decode_lines(run.properties(0)) == [(f"{i:02}", "0") for i in range(30)]
