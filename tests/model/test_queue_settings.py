"""Every x-argument has an answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.names import ExchangeName, RoutingKey
from broker.model.queue_settings import (
    BALANCED,
    CHECKS,
    COMPARED,
    LOCATORS,
    NO_OPS,
    NOT_BUILT,
    InvalidArgument,
    Overflow,
    QueueSettings,
    is_balanced,
    read_queue_arguments,
)
from broker.model.topology import Timestamp


def test_a_new_queue_is_led_where_it_is_declared_unless_it_asks_otherwise() -> None:
    assert not is_balanced({})
    for name in LOCATORS:
        assert not is_balanced({name: "client-local"})
        for value in BALANCED:
            assert is_balanced({name: value})
        refused = read_queue_arguments({name: "elsewhere"})
        assert refused == InvalidArgument(name, "invalid value")


def test_what_is_asked_for_is_what_is_set() -> None:
    assert read_queue_arguments({}) == QueueSettings()
    assert read_queue_arguments(
        {
            "x-queue-type": "quorum",
            "x-message-ttl": 0,
            "x-expires": 1,
            "x-max-length": 2,
            "x-max-length-bytes": 3,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "k",
            "x-dead-letter-strategy": "at-most-once",
            "x-queue-mode": "lazy",
            "nobody-knows": 5,
        }
    ) == QueueSettings(0, 1, 2, 3, Overflow.REJECT_PUBLISH, ExchangeName(""), RoutingKey("k"))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("x-message-ttl", -1, "{value_negative,-1}"),
        ("x-message-ttl", 2**32, "{value_too_big,4294967296}"),
        ("x-message-ttl", "5", "{unacceptable_type,longstr}"),
        ("x-message-ttl", True, "{unacceptable_type,bool}"),
        ("x-message-ttl", 1.5, "{unacceptable_type,double}"),
        ("x-message-ttl", Timestamp(5), "{unacceptable_type,timestamp}"),
        ("x-message-ttl", None, "{unacceptable_type,void}"),
        ("x-expires", 0, "{value_zero,0}"),
        ("x-max-length", -1, "{value_negative,-1}"),
        ("x-max-length-bytes", [1], "{unacceptable_type,array}"),
        ("x-overflow", "burst", "invalid_overflow"),
        ("x-overflow", {}, "{unacceptable_type,table}"),
        ("x-dead-letter-exchange", b"x", "{unacceptable_type,binary}"),
        ("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
        ("x-dead-letter-strategy", "at-least-once", "only at-most-once is supported by this broker"),
        ("x-queue-type", "stream", "unsupported queue type 'stream'"),
        ("x-max-priority", 10, "not supported by this broker"),
        ("x-delivery-limit", 20, "not supported by this broker"),
        ("x-single-active-consumer", 1, "{unacceptable_type,signedint}"),
    ],
)
def test_what_can_not_be_obeyed_is_refused_with_the_reason(name: str, value: Any, reason: str) -> None:
    assert read_queue_arguments({name: value}) == InvalidArgument(name, reason)


def test_an_argument_is_obeyed_or_a_hint_or_refused() -> None:
    assert not CHECKS.keys() & NO_OPS
    assert not CHECKS.keys() & NOT_BUILT
    assert not NO_OPS & NOT_BUILT
    assert set(COMPARED) <= CHECKS.keys()


NUMBERS = st.booleans() | st.integers() | st.integers().map(Timestamp) | st.floats()
VALUES = st.none() | NUMBERS | st.text() | st.binary()


@given(
    arguments=st.dictionaries(
        st.sampled_from(sorted(CHECKS.keys() | NO_OPS | NOT_BUILT)), VALUES | st.lists(VALUES) | st.just({})
    )
)
def test_no_arguments_raise(arguments: dict[str, Any]) -> None:
    assert isinstance(read_queue_arguments(arguments), QueueSettings | InvalidArgument)
