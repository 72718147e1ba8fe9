"""Conversion of messages between AMQP 0-9-1 and MQTT 5: the table of ``docs/conversions.md``, and its laws."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from kernel import (
    FLAG_DEAD_LETTERED,
    FLAG_EXACTLY_ONCE,
    FLAG_HAS_USER_ID,
    FLAG_PERSISTENT,
    FLAG_RETAIN,
    ORIGIN_AMQP,
    ORIGIN_MQTT,
    DeliveryRun,
    MessageRun,
    dead_letter,
    encode_deliveries,
    encode_get_ok,
    encode_returns,
    to_amqp,
    to_mqtt,
)
from tests.kernel import slow_amqp
from tests.kernel.slow_mqtt import (
    CONTENT_TYPE,
    CORRELATION_DATA,
    PAYLOAD_FORMAT,
    RESPONSE_TOPIC,
    USER_PROPERTY,
    Property,
    decode_properties,
    encode_properties,
    is_text,
)
from tests.kernel.test_death import decode, encode

Properties = commands.Basic.Properties


def amqp(
    properties: bytes,
    key: tuple[bytes, bytes] = (b"amq.topic", b"a.b"),
    flags: int = 0,
    expiration_ms: int | None = None,
) -> MessageRun:
    return MessageRun.of(3, [(*key, properties, b"body", flags, expiration_ms)], ORIGIN_AMQP)


def mqtt(
    properties: list[Property], topic: bytes = b"a/b", flags: int = 0, expiration_ms: int | None = None
) -> MessageRun:
    row = (b"amq.topic", topic, encode_properties(properties), b"body", flags, expiration_ms)
    return MessageRun.of(3, [row], ORIGIN_MQTT)


def read_mqtt(run: MessageRun) -> list[Property]:
    assert run.origin == ORIGIN_MQTT
    return decode_properties(run.properties(0))


def read_amqp(run: MessageRun) -> dict[str, Any]:
    """What is there of the properties, without the delivery mode that is always there."""
    assert run.origin == ORIGIN_AMQP
    found = {name: value for name, value in dict(decode(run.properties(0))).items() if value is not None}
    assert found.pop("delivery_mode") == (2 if run.persistent else 1)
    if not run.properties(0)[1] & 4:
        del found["cluster_id"]  # pamqp's default, which is not there
    return found


def user(*pairs: tuple[str, str]) -> list[Property]:
    return [(USER_PROPERTY, *pair) for pair in pairs]


# One row for each property and type of header: AMQP, MQTT, what comes back (None: the same).
TIME = datetime.datetime.fromtimestamp(1_700_000_000, tz=datetime.UTC)
TO_MQTT: list[tuple[dict[str, Any], list[Property], dict[str, Any] | None]] = [
    ({}, [], None),
    ({"content_type": "text/plain"}, [(CONTENT_TYPE, "text/plain")], None),
    ({"content_type": "a\nb"}, user(("amqp-content-type;base64", "YQpi")), None),
    ({"content_encoding": "gzip"}, user(("amqp-content-encoding", "gzip")), None),
    ({"priority": 7}, user(("amqp-priority", "7")), None),
    ({"correlation_id": "c\n1"}, [(CORRELATION_DATA, b"c\n1")], None),
    ({"reply_to": "q"}, [(RESPONSE_TOPIC, "$queue/q")], None),
    ({"reply_to": "q/+#"}, [(RESPONSE_TOPIC, "$queue/q/%2B%23")], None),
    ({"reply_to": "q\0"}, user(("amqp-reply-to;base64", "cQA=")), None),
    (
        {"reply_to": "a.b", "headers": {"mqtt-response-exchange": "amq.topic"}},
        [(RESPONSE_TOPIC, "a/b")],
        None,
    ),
    ({"reply_to": "q", "headers": {"mqtt-response-exchange": "x"}}, [(RESPONSE_TOPIC, "$queue/q")], {"reply_to": "q"}),
    ({"message_id": "m"}, user(("amqp-message-id", "m")), None),
    ({"message_id": "m\r"}, user(("amqp-message-id;base64", "bQ0=")), None),
    ({"timestamp": TIME}, user(("amqp-timestamp", "1700000000")), None),
    ({"message_type": "t"}, user(("amqp-type", "t")), None),
    ({"user_id": "guest"}, user(("amqp-user-id", "guest")), {"headers": {"amqp-user-id": "guest"}}),
    ({"app_id": "a"}, user(("amqp-app-id", "a")), None),
    ({"headers": {"s": "text"}}, user(("s", "text")), None),
    ({"headers": {"s": "a\nb"}}, user(("s;base64", "YQpi")), {"headers": {"s": b"a\nb"}}),
    ({"headers": {"x": bytearray(b"\xff")}}, user(("x;base64", "/w==")), None),
    ({"headers": {"t": True}}, user(("t", "true")), {"headers": {"t": "true"}}),
    ({"headers": {"t": False}}, user(("t", "false")), {"headers": {"t": "false"}}),
    ({"headers": {"i": -5}}, user(("i", "-5")), {"headers": {"i": "-5"}}),
    ({"headers": {"l": 2**40}}, user(("l", str(2**40))), {"headers": {"l": str(2**40)}}),
    ({"headers": {"d": 1.5}}, user(("d", "1.5")), {"headers": {"d": "1.5"}}),
    ({"headers": {"D": Decimal("-1.05")}}, user(("D", "-1.05")), {"headers": {"D": "-1.05"}}),
    ({"headers": {"T": TIME}}, user(("T", "1700000000")), {"headers": {"T": "1700000000"}}),
    ({"headers": {"V": None}}, user(("V", "")), {"headers": {"V": ""}}),
    ({"headers": {"A": ["a", "b"]}}, user(("A", "a"), ("A", "b")), None),
    ({"headers": {"A": ["a"]}}, user(("A", "a")), {"headers": {"A": "a"}}),
    ({"headers": {"A": []}}, user(("A", "[]")), {"headers": {"A": "[]"}}),
    ({"headers": {"A": ["a", 1]}}, user(("A", '["a",1]')), {"headers": {"A": '["a",1]'}}),
    ({"headers": {"F": {"k": [True]}}}, user(("F", '{"k":[true]}')), {"headers": {"F": '{"k":[true]}'}}),
    ({"headers": {"long": "x" * 65_536}}, [], {}),
    ({"headers": {"mqtt-payload-format": 1}}, [(PAYLOAD_FORMAT, 1)], None),
    ({"headers": {"mqtt-payload-format": "1"}}, [], {}),
    ({"headers": {"mqtt-correlation-data": bytearray(b"\xff")}}, [(CORRELATION_DATA, b"\xff")], None),
    ({"headers": {"mqtt-content-type": "x" * 256}}, [(CONTENT_TYPE, "x" * 256)], None),
    ({"headers": {"mqtt-response-topic": "t" * 256}}, [(RESPONSE_TOPIC, "t" * 256)], None),
    ({"headers": {"mqtt-response-topic": "a/+"}}, [], {}),
    ({"headers": {"mqtt-topic": "not/that"}}, [], {}),
    ({"headers": {"mqtt-topic;user": "v"}}, user(("mqtt-topic", "v")), None),
    ({"headers": {"mqtt-user-properties": ["n" * 256, "v"]}}, user(("n" * 256, "v")), None),
    ({"headers": {"a\nb": "v"}}, [], {}),
    ({"headers": {"amqp-app-id": "a"}}, user(("amqp-app-id", "a")), {"app_id": "a"}),
]  # fmt: skip


@pytest.mark.parametrize("row", TO_MQTT, ids=lambda row: str(row[0])[:40])
def test_what_amqp_has_is_shown_to_mqtt_and_comes_back(
    row: tuple[dict[str, Any], list[Property], dict[str, Any] | None],
) -> None:
    given_properties, shown, back = row
    converted = to_mqtt(amqp(encode(Properties(**given_properties))))
    assert read_mqtt(converted) == shown
    assert read_amqp(to_amqp(converted)) == (given_properties if back is None else back)


def test_what_pamqp_does_not_write_is_shown_and_comes_back() -> None:
    cluster_id = amqp(b"\x10\x04\x01\x01c")
    assert read_mqtt(to_mqtt(cluster_id)) == user(("amqp-cluster-id", "c"))
    assert to_amqp(to_mqtt(cluster_id)).rows() == cluster_id.rows()
    # A short string that is not UTF-8 would end many an AMQP client: it comes back as a header.
    not_utf8 = to_mqtt(amqp(b"\x10\x80\x01\x01\xff"))
    assert read_mqtt(not_utf8) == user(("amqp-message-id;base64", "/w=="))
    assert read_amqp(to_amqp(not_utf8)) == {"headers": {"amqp-message-id": b"\xff"}}
    sent_back = to_amqp(to_mqtt(amqp(b"\x14\x00\x01\x01\xff")))
    assert read_amqp(sent_back) == {"headers": {"mqtt-correlation-data": b"\xff"}}


# MQTT, and AMQP; all of them come back as they were.
TO_AMQP: list[tuple[list[Property], dict[str, Any]]] = [
    ([], {}),
    ([(PAYLOAD_FORMAT, 0)], {"headers": {"mqtt-payload-format": 0}}),
    ([(PAYLOAD_FORMAT, 1)], {"headers": {"mqtt-payload-format": 1}}),
    ([(CONTENT_TYPE, "x" * 255)], {"content_type": "x" * 255}),
    ([(CONTENT_TYPE, "x" * 256)], {"headers": {"mqtt-content-type": "x" * 256}}),
    ([(CORRELATION_DATA, b"c")], {"correlation_id": "c"}),
    ([(CORRELATION_DATA, b"")], {"correlation_id": ""}),
    ([(CORRELATION_DATA, b"\xff")], {"headers": {"mqtt-correlation-data": b"\xff"}}),
    ([(CORRELATION_DATA, b"c" * 256)], {"headers": {"mqtt-correlation-data": b"c" * 256}}),
    ([(RESPONSE_TOPIC, "a/x.y")], {"reply_to": "a.x%2Ey", "headers": {"mqtt-response-exchange": "amq.topic"}}),
    ([(RESPONSE_TOPIC, "$queue/q/1")], {"reply_to": "q/1"}),
    ([(RESPONSE_TOPIC, "t" * 256)], {"headers": {"mqtt-response-topic": "t" * 256}}),
    (user(("a", "1"), ("b", "2"), ("c", "")), {"headers": {"a": "1", "b": "2", "c": ""}}),
    (user(("a", "1"), ("a", "2")), {"headers": {"a": ["1", "2"]}}),
    (user(("a", "1"), ("a;base64", "/w=="), ("a", "2")), {"headers": {"a": ["1", b"\xff", "2"]}}),
    (user(("a;base64", "/x==")), {"headers": {"a;base64": "/x=="}}),
    (user(("a", "1"), ("a;base64", "?"), ("a;base64", "")), {"headers": {"a": "1", "a;base64": ["?", ""]}}),
    (user(("n" * 255, "v")), {"headers": {"n" * 255: "v"}}),
    (user(("n" * 256, "v")), {"headers": {"mqtt-user-properties": ["n" * 256, "v"]}}),
    (user(("amqp-type", "m"), ("amqp-type", "n")), {"message_type": "m", "headers": {"amqp-type": "n"}}),
    (user(("amqp-message-id", "m" * 256)), {"headers": {"amqp-message-id": "m" * 256}}),
    (user(("amqp-priority", "256")), {"headers": {"amqp-priority": "256"}}),
    (user(("amqp-priority", "07")), {"headers": {"amqp-priority": "07"}}),
    (user(("amqp-user-id", "admin")), {"headers": {"amqp-user-id": "admin"}}),
    (user(("mqtt-topic", "v")), {"headers": {"mqtt-topic;user": "v"}}),
    (user(("mqtt-topic;user", "v")), {"headers": {"mqtt-topic;user;user": "v"}}),
    (user(("x-death", "forged")), {"headers": {"x-death": "forged"}}),
]  # fmt: skip


@pytest.mark.parametrize("row", TO_AMQP, ids=lambda row: str(row[0])[:40])
def test_what_mqtt_has_is_shown_to_amqp_and_comes_back(row: tuple[list[Property], dict[str, Any]]) -> None:
    properties, shown = row
    converted = to_amqp(mqtt(properties))
    assert read_amqp(converted) == shown
    if all(len(p) < 3 or len(p[2]) <= 65_535 for p in properties):
        key = sorted if len(properties) > 2 else list
        assert key(read_mqtt(to_mqtt(converted))) == key(properties)


def test_control_characters_do_not_reach_another_protocol_in_names() -> None:
    properties = [(RESPONSE_TOPIC, "a\nb"), *user(("a\nb", "v"), ("a", "1\n2"))]
    converted = to_amqp(mqtt(properties))
    assert read_amqp(converted) == {"headers": {"a": "1\n2"}}
    assert read_mqtt(to_mqtt(converted)) == user(("a;base64", "MQoy"))


# Keys: AMQP's, MQTT's topic.
KEYS = [
    ((b"amq.topic", b"a.b"), b"a/b"),
    ((b"logs", b"a.b/c"), b"a/b%2Fc"),
    ((b"logs", b"a.*.#"), b"a/*/%23"),
    ((b"logs", b""), b"%00"),
    ((b"", b"q.1"), b"$queue/q.1"),
    ((b"", b"q+"), b"$queue/q%2B"),
]


@pytest.mark.parametrize(("key", "topic"), KEYS)
def test_a_message_shows_its_routing_key_as_topic(key: tuple[bytes, bytes], topic: bytes) -> None:
    converted = to_mqtt(amqp(b"\0\0", key))
    assert converted.rows()[0][1] == topic
    assert to_amqp(converted).rows()[0][:2] == key
    assert converted.keys() == [key]


def test_a_topic_that_no_routing_key_holds_is_cut_and_kept() -> None:
    for topic, cut in [
        ("a/" * 200 + "z", "a." * 127 + "a"),
        ("é" * 200, "é" * 127),
        ("$queue/" + "q" * 300, "q" * 255),
    ]:
        converted = to_amqp(mqtt([], topic.encode()))
        assert converted.rows()[0][:2] == (b"" if "queue" in topic else b"amq.topic", cut.encode())
        assert read_amqp(converted) == {"headers": {"mqtt-topic": topic}}
        assert to_mqtt(converted).rows()[0][1] == topic.encode()


def test_a_publisher_cannot_show_another_topic_than_its_routing_key() -> None:
    for exchange, key, topic in [(b"amq.topic", b"a.b", "secret"), (b"amq.topic", b"a" * 255, "b" * 300)]:
        run = to_mqtt(amqp(encode(Properties(headers={"mqtt-topic": topic})), (exchange, key)))
        assert run.rows()[0][1] == key.replace(b".", b"/")


def test_facts_are_carried_over() -> None:
    flags = FLAG_PERSISTENT | FLAG_EXACTLY_ONCE | FLAG_RETAIN
    run = to_amqp(mqtt([], flags=flags, expiration_ms=60_000))
    assert (run.flags, run.expiration_ms(0), run.channel) == (flags, 60_000, 3)
    assert read_amqp(run) == {"expiration": "60000"}
    back = to_mqtt(run)
    assert (back.rows(), back.channel) == (mqtt([], flags=flags, expiration_ms=60_000).rows(), 3)
    vouched = amqp(encode(Properties(user_id="u")), flags=flags | FLAG_HAS_USER_ID | FLAG_DEAD_LETTERED)
    assert to_mqtt(vouched).flags == flags
    assert to_mqtt(amqp(encode(Properties(priority=9)))).priority(0) == 9


def test_a_message_of_the_form_already_is_the_same() -> None:
    for run, convert in ((amqp(b"\0\0"), to_amqp), (mqtt(user(("a", "b"))), to_mqtt)):
        assert (convert(run).rows(), convert(run).origin) == (run.rows(), run.origin)


# Laws


NAMES = st.sampled_from(
    ["", "a", "é", "a;base64", ";base64", "amqp-message-id", "amqp-message-id;base64", "amqp-priority",
     "amqp-timestamp", "amqp-user-id", "amqp-user-id;base64", "amqp-content-type", "amqp-content-type;base64",
     "amqp-reply-to;base64", "mqtt-topic", "mqtt-topic;user", "mqtt-topic;base64", "mqtt-payload-format",
     "mqtt-user-properties", "mqtt-user-properties;user", "mqtt-content-type" + ";user" * 48, "n" * 256,
     "n" * 249 + ";base64", "n" * 300 + ";base64"]
)  # fmt: skip
TEXTS = st.text(max_size=9).filter(is_text) | st.sampled_from(
    [
        "5",
        "05",
        "256",
        "-1",
        "253402300799",
        "253402300800",
        str(2**64 - 1),
        str(2**64),
        "YQ==",
        "/w==",
        "/x==",
        "AA==",
        "",
        "v" * 300,
    ]
)
TOPICS = st.text("ab./%25E0é$", min_size=1, max_size=9) | st.sampled_from(
    ["$queue/q", "$queue/", "$queue/a%2Bb", "t" * 256, "$queue/" + "q" * 256, "%00", "a/" * 150]
)
USERS = st.lists(st.tuples(st.just(USER_PROPERTY), NAMES, TEXTS), max_size=12)


@st.composite
def mqtt_properties(draw: st.DrawFn) -> list[Property]:
    properties: list[Property] = list(draw(USERS))
    for number, values in (
        (PAYLOAD_FORMAT, st.integers(0, 1)),
        (CONTENT_TYPE, TEXTS),
        (RESPONSE_TOPIC, TOPICS),
        (CORRELATION_DATA, st.binary(max_size=300)),
    ):
        if draw(st.booleans()):
            properties.insert(draw(st.integers(0, len(properties))), (number, draw(values)))  # type: ignore[arg-type]
    return properties


def by_name(properties: list[Property]) -> dict[Any, list[Property]]:
    """Single properties by number, user properties by name, each name's in order."""
    found = defaultdict(list)
    for p in properties:
        found[p[1] if p[0] == USER_PROPERTY else p[0]].append(p)
    return found


@given(mqtt_properties(), TOPICS)
def test_mqtt_comes_back_from_amqp_as_it_was(properties: list[Property], topic: str) -> None:
    run = mqtt(properties, topic.encode(), FLAG_PERSISTENT)
    converted = to_amqp(run)
    read_amqp(converted)
    assert converted.keys()[0] == run.keys()[0][:2] or len(run.keys()[0][1]) > 255
    back = to_mqtt(converted)
    assert back.rows()[0][:2] == run.rows()[0][:2]
    assert back.rows()[0][3:] == run.rows()[0][3:]
    assert by_name(read_mqtt(back)) == by_name(properties)


SHORT_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
HEADER_NAMES = st.text("ab-;é", min_size=1, max_size=5)
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | SHORT_TEXTS
    | st.binary(max_size=9).map(bytearray)
    | st.none()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HEADER_NAMES, inner, max_size=3), max_leaves=8
)
AMQP_PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("content_type", "content_encoding", "correlation_id", "reply_to", "message_id", "message_type",
             "app_id"), SHORT_TEXTS.filter(bool)
        ),
        "headers": st.dictionaries(HEADER_NAMES, VALUES, min_size=1, max_size=4),
        "priority": st.integers(0, 255),
        "timestamp": st.datetimes(
            datetime.datetime(1971, 1, 1), datetime.datetime(2100, 1, 1)
        ).map(lambda t: t.replace(microsecond=0, tzinfo=datetime.UTC)),
    },
)  # fmt: skip


def check_header(before: Any, back: Any) -> None:
    """The written rule for each type of a header's value."""
    match before:
        case list() if before and all(isinstance(v, str | bytearray) for v in before):
            pieces = back if len(before) > 1 else [back]
            for one, piece in zip(before, pieces, strict=True):
                check_header(one, piece)
        case list() | dict():
            assert is_text(back)
            assert type(json.loads(back)) is type(before)
        case str():
            assert back == (before if is_text(before) else before.encode())
        case bytearray():
            assert back == before
        case None:
            assert back == ""
        case bool():
            assert back == str(before).lower()
        case float():
            assert float(back) == pytest.approx(before, rel=1e-6)
        case _:
            assert int(back) == before


@given(AMQP_PROPERTIES)
def test_amqp_comes_back_from_mqtt_but_for_types_of_headers(properties: dict[str, Any]) -> None:
    converted = to_mqtt(amqp(encode(Properties(**properties))))
    read_mqtt(converted)
    back = read_amqp(to_amqp(converted))
    headers, before = back.pop("headers", {}), dict(properties.get("headers", {}))
    assert back == {name: value for name, value in properties.items() if name != "headers"}
    assert headers.keys() == before.keys()
    for name, value in before.items():
        check_header(value, headers[name])


RAW_SIZES = {b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"l": 8, b"f": 4, b"d": 8, b"D": 5,
             b"T": 8, b"V": 0}  # fmt: skip
RAW_SCALARS = st.sampled_from(sorted(RAW_SIZES)).flatmap(
    lambda kind: st.binary(min_size=RAW_SIZES[kind], max_size=RAW_SIZES[kind]).map(lambda value: kind + value)
) | st.tuples(st.sampled_from([b"S", b"x"]), st.binary(max_size=9)).map(lambda v: v[0] + slow_amqp.long_string(v[1]))
RAW_NAMES = (NAMES | SHORT_TEXTS).map(str.encode).filter(lambda n: len(n) < 256).map(slow_amqp.short_string)


def raw_table(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(RAW_NAMES, values).map(b"".join), max_size=5).map(b"".join)


RAW_VALUES = st.recursive(
    RAW_SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda v: b"A" + slow_amqp.long_string(b"".join(v)))
        | raw_table(inner).map(lambda v: b"F" + slow_amqp.long_string(v))
    ),
    max_leaves=8,
)


@st.composite
def raw_properties(draw: st.DrawFn) -> bytes:
    """All that may stand in a content header: any bytes in short strings, any types in tables."""
    flags = draw(st.integers(0, 2**14 - 1)) << 2
    out = flags.to_bytes(2, "big")
    for bit in range(15, 1, -1):
        if not flags & 1 << bit:
            continue
        if bit == 13:
            out += slow_amqp.long_string(draw(raw_table(RAW_VALUES)))
        elif bit in (12, 11):
            out += draw(st.binary(min_size=1, max_size=1))
        elif bit == 6:
            out += draw(st.binary(min_size=8, max_size=8))
        else:
            out += slow_amqp.short_string(draw(st.binary(max_size=30)))
    return out


@given(raw_properties(), st.binary(max_size=20))
def test_any_amqp_message_becomes_an_mqtt_message(properties: bytes, routing_key: bytes) -> None:
    run = to_mqtt(amqp(properties, (b"x", routing_key)))
    read_mqtt(run)
    assert is_text(run.rows()[0][1].decode())
    back = to_amqp(run)
    # A decoder takes what came back, and a second trip changes nothing any more.
    stream = slow_amqp.message(1, b"body", properties=back.properties(0))
    (taken,) = slow_amqp.opened().receive_data(stream)
    assert isinstance(taken, MessageRun)
    assert by_name(read_mqtt(to_mqtt(back))) == by_name(read_mqtt(run))


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=20))
def test_any_bytes_of_mqtt_become_an_amqp_message(properties: bytes, topic: bytes) -> None:
    run = to_amqp(MessageRun.of(1, [(b"amq.topic", topic, properties, b"", 0, None)], ORIGIN_MQTT))
    (taken,) = slow_amqp.opened().receive_data(slow_amqp.message(1, b"x", properties=run.properties(0)))
    assert isinstance(taken, MessageRun)


def test_what_does_not_fit_in_a_header_frame_is_left_out() -> None:
    many = user(*((f"name-{i}", "v" * 60_000) for i in range(5)), ("last", "fits"))
    run = to_amqp(mqtt(many))
    assert len(run.properties(0)) < 131_072 - 20
    assert list(read_amqp(run)["headers"]) == ["name-0", "name-1", "last"]
    amplified: Any = {"n" * 250: [""] * 20_000}
    shown = to_mqtt(amqp(encode(Properties(headers=amplified))))
    assert len(shown.properties(0)) <= 1 << 20
    assert len(read_mqtt(shown)) > 4_000


# Where AMQP's encoder and dead-lettering meet MQTT's messages


def mixed() -> DeliveryRun:
    runs = [mqtt(user(("a", "1")), flags=FLAG_PERSISTENT), amqp(encode(Properties(app_id="x"))), mqtt([], b"$queue/q")]
    return DeliveryRun.joined([DeliveryRun.of(run, 0, 1, False) for run in runs])


def converted_deliveries(deliveries: DeliveryRun) -> DeliveryRun:
    return DeliveryRun.joined([DeliveryRun.of(to_amqp(deliveries.messages()), 0, deliveries.count, False)])


def test_amqp_consumers_are_handed_mqtt_messages() -> None:
    stream = bytes(encode_deliveries(mixed(), 1, b"c", 7, 4096))
    assert stream == bytes(encode_deliveries(converted_deliveries(mixed()), 1, b"c", 7, 4096))
    assert b"amq.topic\x03a.b" in stream
    assert b"\x00\x01q" in stream
    run = mqtt(user(("a", "1")))
    one = DeliveryRun.of(run, 0, 1, False)
    plain = DeliveryRun.of(to_amqp(run), 0, 1, False)
    assert bytes(encode_get_ok(one, 1, 5, 0, 4096)) == bytes(encode_get_ok(plain, 1, 5, 0, 4096))
    returned = bytes(encode_returns(run, 1, 312, b"NO_ROUTE", 4096))
    assert returned == bytes(encode_returns(to_amqp(run), 1, 312, b"NO_ROUTE", 4096))


def test_a_part_of_an_mqtt_run_is_that_part() -> None:
    rows = [(b"amq.topic", b"t/%d" % i, b"", b"%d" % i, 0, None) for i in range(5)]
    run = MessageRun.of(1, rows, ORIGIN_MQTT)
    stream = bytes(encode_deliveries(DeliveryRun.of(run, 1, 2, True), 1, b"c", 1, 4096))
    assert [b"t.%d" % i in stream for i in range(5)] == [False, True, True, False, False]


def test_deliveries_of_several_forms_are_one_run_of_amqp() -> None:
    run = mixed().messages()
    assert (run.origin, run.count) == (ORIGIN_AMQP, 3)
    assert [row[:2] for row in run.rows()] == [(b"amq.topic", b"a.b"), (b"amq.topic", b"a.b"), (b"", b"q")]
    alike = DeliveryRun.of(mqtt(user(("a", "1"))), 0, 1, False)
    assert (alike.messages().origin, alike.messages().rows()) == (ORIGIN_MQTT, mqtt(user(("a", "1"))).rows())
    assert DeliveryRun.joined([]).messages().count == 0


def test_an_mqtt_message_dies_as_an_amqp_message() -> None:
    flags = FLAG_PERSISTENT | FLAG_EXACTLY_ONCE | FLAG_RETAIN
    run = mqtt([(CORRELATION_DATA, b"c"), *user(("a", "1"), ("x-death", "forged"))], flags=flags, expiration_ms=5_000)
    dead = dead_letter(DeliveryRun.of(run, 0, 1, False), b"q", "expired", b"dlx", None, 1_700_000_000)
    assert dead.origin == ORIGIN_AMQP
    (row,) = dead.rows()
    assert (row[:2], row[4:]) == (
        (b"dlx", b"a.b"),
        (FLAG_PERSISTENT | FLAG_EXACTLY_ONCE | FLAG_DEAD_LETTERED, None),
    )
    read = read_amqp(dead)
    assert (read["correlation_id"], read["headers"]["a"]) == ("c", "1")
    (death,) = read["headers"]["x-death"]
    assert (death["exchange"], death["routing-keys"], death["original-expiration"]) == ("amq.topic", ["a.b"], "5000")
    assert (dead.cycling(b"q"), run.cycling(b"q")) == ([0], [])
    shown = {p[1]: p[2] for p in read_mqtt(to_mqtt(dead)) if len(p) == 3}
    assert json.loads(shown["x-death"])[0]["queue"] == "q"
    assert shown["x-first-death-queue"] == "q"
