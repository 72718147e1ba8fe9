"""Laws of conversions to and from STOMP: a slow twin for each pair, and what comes back from there."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pamqp import commands

from kernel import FLAG_PERSISTENT, ORIGIN_AMQP, ORIGIN_MQTT, ORIGIN_STOMP, MessageRun, to_amqp, to_mqtt, to_stomp
from tests.kernel import slow_amqp
from tests.kernel.slow_mqtt import Property, decode_properties, is_text
from tests.kernel.slow_stomp import decode_lines, destination, encode_lines
from tests.kernel.test_conversion import (
    AMQP_PROPERTIES,
    NAMES,
    TEXTS,
    TOPICS,
    amqp,
    by_name,
    check_header,
    mqtt,
    mqtt_properties,
    raw_properties,
    read_amqp,
    read_mqtt,
)
from tests.kernel.test_death import encode
from tests.kernel.test_stomp_conversion import PROPERTY_NAMES, Headers, read_stomp, stomp

Properties = commands.Basic.Properties
# How long an example takes says how busy the machine is.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
OF_ONE_HOP = {"ack", "content-length", "destination", "expiration", "message-id", "persistent", "receipt",
              "redelivered", "subscription", "transaction"}  # fmt: skip
OWN_NAMES = NAMES | st.sampled_from(
    [*PROPERTY_NAMES.values(), *(name + ";user" for name in PROPERTY_NAMES.values()), "type;base64", "user-id;base64",
     "correlation-id;base64", "content-type;base64", "destination;user", "ack;user;user", "ack;base64", "a:b", "a\nb",
     "mqtt-payload-format;user", "mqtt-response-topic", "type;user" + ";user" * 50]
)  # fmt: skip
VALUES = (
    TEXTS | st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.sampled_from(["a\n:b\\", "\r", "\0"])
)
REPLIES = st.sampled_from(
    ["q", "/queue/q", "/queue/", "/queue/a%2Fb", "/queue/a/b", "/queue/%", "/topic/a.b", "/topic/", "/topic/a.%23",
     "/topic/" + "t." * 200, "/queue/" + "q" * 256, "/amq/queue/q", "/reply-queue/amq.gen-x", "/reply-queue/a/b",
     "/exchange/x/k", "/temp-queue/t", "", "/"]
)  # fmt: skip


@st.composite
def stomp_headers(draw: st.DrawFn) -> Headers:
    headers = draw(st.dictionaries(OWN_NAMES.filter(bool), VALUES, max_size=9))
    if draw(st.booleans()):
        headers["reply-to"] = draw(REPLIES)
    return headers


def is_lines(text: str) -> bool:
    return is_text(text.replace("\n", "").replace("\r", "").replace("\t", ""))


# There and back


def shown_again(headers: Headers) -> Headers:
    """The written rules for what STOMP's headers are when they come back from AMQP."""
    back: Headers = {}
    for name, value in headers.items():
        if name.removesuffix(";base64") in OF_ONE_HOP or not is_text(name) or name == "user-id;base64":
            continue
        if name == "reply-to":
            back[name] = reply_again(value)
        elif name == "user-id" and (len(value.encode()) > 255 or not is_lines(value)):
            continue
        elif is_lines(value):
            back[name] = value
        else:
            back.setdefault(f"{name};base64", base64.b64encode(value.encode()).decode())
    return back


def reply_again(value: str) -> str:
    if not value.startswith("/"):
        return destination("/queue/", value.encode())
    kind, _, name = value[1:].partition("/")
    if kind == "reply-queue" and not name.startswith("amq."):
        return destination("/queue/", name.encode())
    return value.removeprefix("/amq").replace("%23", "#")  # no escape that need not be


@UNTIMED
@given(stomp_headers())
def test_stomp_comes_back_from_amqp_by_the_rules(headers: Headers) -> None:
    run = stomp(headers, flags=FLAG_PERSISTENT, expiration_ms=5_000)
    converted = to_amqp(run)
    read_amqp(converted)
    back = to_stomp(converted)
    assert (back.rows()[0][:2], back.rows()[0][3:]) == (run.rows()[0][:2], run.rows()[0][3:])
    shown = read_stomp(back)
    again = shown_again(headers)
    # A value in base64 that stands beside a line of just that name is left out.
    in_base64 = {name for name in again if name.endswith(";base64")}
    assert {n: v for n, v in shown.items() if n not in in_base64} == {
        n: v for n, v in again.items() if n not in in_base64
    }
    assert in_base64 >= shown.keys() - (again.keys() - in_base64)
    # Once shown, it stays so.
    assert read_stomp(to_stomp(to_amqp(back))) == shown


@UNTIMED
@given(AMQP_PROPERTIES)
def test_amqp_comes_back_from_stomp_but_for_types_of_headers(properties: dict[str, Any]) -> None:
    converted = to_stomp(amqp(encode(Properties(**properties))))
    read_stomp(converted)
    back = read_amqp(to_amqp(converted))
    headers, before = back.pop("headers", {}), dict(properties.get("headers", {}))
    assert back == {name: value for name, value in properties.items() if name != "headers"}
    assert headers.keys() == before.keys()
    for name, value in before.items():
        if isinstance(value, list):
            assert is_text(headers[name])
            assert isinstance(json.loads(headers[name]), list)
        elif isinstance(value, str) and is_lines(value):
            assert headers[name] == value
        else:
            check_header(value, headers[name])


@UNTIMED
@given(mqtt_properties(), TOPICS)
def test_mqtt_comes_back_from_stomp_but_for_names_that_repeat(properties: list[Property], topic: str) -> None:
    run = mqtt(properties, topic.encode(), FLAG_PERSISTENT, 5_000)
    shown = to_stomp(run)
    read_stomp(shown)
    back = to_mqtt(shown)
    assert (back.rows()[0][:2], back.rows()[0][3:]) == (run.rows()[0][:2], run.rows()[0][3:])
    before, after = by_name(properties), by_name(read_mqtt(back))
    for name, found in before.items():
        if isinstance(name, int):
            assert after[name] == found
        elif name and len(found) == 1 and not name.endswith(";base64") and f"{name};base64" not in before:
            assert found[0] in after[name]


@UNTIMED
@given(stomp_headers())
def test_stomp_comes_back_from_mqtt_as_it_does_from_amqp(headers: Headers) -> None:
    back = to_stomp(to_mqtt(stomp(headers)))
    by_amqp = read_stomp(to_stomp(to_amqp(stomp(headers))))
    shown = read_stomp(back)
    for name in PROPERTY_NAMES.values():
        value = by_amqp.get(name)
        plain = value is not None and is_text(value) and len(value.encode()) < 256
        if plain and name not in ("user-id", "reply-to", "priority", "timestamp"):
            assert shown[name] == value
    if "user-id" in by_amqp:
        assert "user-id" not in shown
        assert "amqp-user-id" in shown or "amqp-user-id;base64" in shown


# By way of AMQP


@UNTIMED
@given(mqtt_properties(), TOPICS)
def test_mqtt_is_shown_to_stomp_as_amqp_would_be(properties: list[Property], topic: str) -> None:
    run = mqtt(properties, topic.encode(), FLAG_PERSISTENT, 5_000)
    assert to_stomp(run).rows() == to_stomp(to_amqp(run)).rows()
    assert to_stomp(run).keys() == to_stomp(to_amqp(run)).keys()


@UNTIMED
@given(stomp_headers(), st.sampled_from([(b"", b"q+"), (b"amq.topic", b"a.b/c"), (b"logs", b"")]))
def test_stomp_is_shown_to_mqtt_as_amqp_would_be(headers: Headers, key: tuple[bytes, bytes]) -> None:
    run = stomp(headers, key, FLAG_PERSISTENT, 5_000)
    shown = to_mqtt(run)
    read_mqtt(shown)
    assert shown.rows() == to_mqtt(to_amqp(run)).rows()


# Slow twins: what each form's plain messages are in the others, by the tables


def twin_of_amqp(properties: dict[str, Any]) -> Headers:
    """Of AMQP properties without headers."""
    found: Headers = {}
    for name, shown in PROPERTY_NAMES.items():
        value = properties.get(name)
        if value is None:
            continue
        if name == "reply_to":
            value = "/reply-queue/" + value if value.startswith("amq.") else destination("/queue/", value.encode())
        elif name == "timestamp":
            value = str(int(value.timestamp()))
        value = str(value)
        if is_lines(value):
            found[shown] = value
        else:
            found[f"{shown};base64"] = base64.b64encode(value.encode()).decode()
    return found


@UNTIMED
@given(AMQP_PROPERTIES)
def test_properties_are_shown_as_the_slow_twin_shows_them(properties: dict[str, Any]) -> None:
    properties.pop("headers", None)
    run = amqp(encode(Properties(**properties)))
    assert read_stomp(to_stomp(run)) == twin_of_amqp(properties)


SAFE_NAMES = st.text("abé:-", min_size=1, max_size=5)
SAFE_VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=9).filter(is_text)


@UNTIMED
@given(st.dictionaries(SAFE_NAMES, SAFE_VALUES, max_size=5), TOPICS.filter(lambda t: len(t) < 80))
def test_plain_headers_are_the_same_in_all_forms(headers: Headers, topic: str) -> None:
    users: list[Property] = [(38, name, value) for name, value in headers.items()]
    table = b"".join(
        slow_amqp.short_string(n.encode()) + b"S" + slow_amqp.long_string(v.encode()) for n, v in headers.items()
    )
    content = b"\x30\x00" + slow_amqp.long_string(table) + b"\x01" if table else b"\x10\x00\x01"
    key = to_amqp(mqtt([], topic.encode())).rows()[0][:2]
    forms = {
        ORIGIN_MQTT: mqtt(users, topic.encode()),
        ORIGIN_STOMP: stomp(headers, key),
        ORIGIN_AMQP: amqp(content, key),
    }
    conversions = {ORIGIN_MQTT: to_mqtt, ORIGIN_STOMP: to_stomp, ORIGIN_AMQP: to_amqp}
    for run in forms.values():
        for origin, convert in conversions.items():
            assert convert(run).rows() == forms[origin].rows()


# Whatever comes in


@UNTIMED
@given(raw_properties(), st.binary(max_size=20))
def test_any_amqp_message_becomes_a_stomp_message(properties: bytes, routing_key: bytes) -> None:
    run = to_stomp(amqp(properties, (b"x", routing_key)))
    shown = decode_lines(run.properties(0))
    assert all(is_text(name) and is_lines(value) for name, value in shown)
    assert not OF_ONE_HOP & {name for name, _ in shown}
    back = to_amqp(run)
    stream = slow_amqp.message(1, b"body", properties=back.properties(0))
    (taken,) = slow_amqp.opened().receive_data(stream)
    assert isinstance(taken, MessageRun)
    # A second trip changes nothing any more.
    assert dict(decode_lines(to_stomp(back).properties(0))) == dict(shown)


@UNTIMED
@given(st.binary(max_size=60) | stomp_headers().map(lambda h: encode_lines(h.items())), st.binary(max_size=20))
def test_any_bytes_of_stomp_become_messages_of_the_others(properties: bytes, routing_key: bytes) -> None:
    run = MessageRun.of(1, [(b"x", routing_key, properties, b"", 0, None)], ORIGIN_STOMP)
    content = to_amqp(run).properties(0)
    (taken,) = slow_amqp.opened().receive_data(slow_amqp.message(1, b"x", properties=content))
    assert isinstance(taken, MessageRun)
    decode_properties(to_mqtt(run).properties(0))
    assert is_text(to_mqtt(run).rows()[0][1].decode())
