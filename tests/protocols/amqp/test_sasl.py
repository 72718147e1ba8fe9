"""Logins: what a response means, and that none shows a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.amqp.reply_codes import ReplyCode
from protocols.amqp.sasl import MECHANISMS, Login, login
from protocols.amqp.table import encode_table_entries
from protocols.amqp.violation import ProtocolViolation


def amqplain(user: object, password: object) -> bytes:
    return encode_table_entries({"LOGIN": user, "PASSWORD": password})


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b"\0gu\xc3\xa9st\0secret"),
        ("PLAIN", b"whoever\0gu\xc3\xa9st\0secret"),
        ("AMQPLAIN", amqplain("guést", "secret")),
    ],
)
def test_both_mechanisms_name_a_user(mechanism: str, response: bytes) -> None:
    claimed = login(mechanism, response)
    assert (claimed.user, claimed.password) == ("guést", b"secret")


def test_a_password_is_any_bytes() -> None:
    assert login("PLAIN", b"\0u\0\xff\xfe").password == b"\xff\xfe"
    assert login("AMQPLAIN", b"\x05LOGINS\0\0\0\x01u\x08PASSWORDS\0\0\0\x01\xff").password == b"\xff"


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b""),
        ("PLAIN", b"guest\0guest"),
        ("PLAIN", b"\0a\0b\0c"),
        ("PLAIN", b"\0\xff\0secret"),
        ("PLAIN", b"\0a\nb\0secret"),
        ("PLAIN", b"\0" + b"a" * 256 + b"\0secret"),
        ("AMQPLAIN", b""),
        ("AMQPLAIN", amqplain("guest", None)),
        ("AMQPLAIN", amqplain(1, "secret")),
        ("AMQPLAIN", amqplain("guest", "secret")[:-1]),
        ("AMQPLAIN", b"\0guest\0guest"),
    ],
)
def test_a_response_that_makes_no_sense_is_a_syntax_error(mechanism: str, response: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        login(mechanism, response)
    assert caught.value.code is ReplyCode.SYNTAX_ERROR
    assert "secret" not in str(caught.value)


def test_an_unknown_mechanism_is_invalid() -> None:
    for mechanism in ("ANONYMOUS", "plain", ""):
        with pytest.raises(ProtocolViolation, match="unknown authentication mechanism") as caught:
            login(mechanism, b"")
        assert caught.value.code is ReplyCode.COMMAND_INVALID


@given(st.sampled_from(sorted(MECHANISMS)), st.binary(max_size=40))
def test_garbage_is_a_violation_and_nothing_else(mechanism: str, response: bytes) -> None:
    try:
        found: object = type(login(mechanism, response))
    except ProtocolViolation as violation:
        found = violation.code
    assert found in (Login, ReplyCode.SYNTAX_ERROR)


def test_a_login_does_not_show_its_password() -> None:
    assert repr(login("PLAIN", b"\0guest\0secret")) == "Login('guest')"
