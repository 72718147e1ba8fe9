"""Reply codes and texts: every refusal has one, and what a peer sent cannot break out of a text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.model.names import CONTROL_CHARACTER
from broker.model.refusals import Refusal
from protocols.amqp.refusals import REPLY_CODES
from protocols.amqp.reply_codes import REPLY_TEXT_SIZE_MAX, ReplyCode, Scope, reply_text, scope_of


def test_every_refusal_has_a_code() -> None:
    assert REPLY_CODES.keys() == set(Refusal)


def test_the_scope_is_that_of_the_specification() -> None:
    soft = {code for code in ReplyCode if scope_of(code) is Scope.CHANNEL}
    assert soft == {311, 312, 313, 403, 404, 405, 406}


def test_a_text_is_the_name_and_the_detail() -> None:
    assert reply_text(ReplyCode.NOT_FOUND, "no queue 'q' in vhost '/'") == "NOT_FOUND - no queue 'q' in vhost '/'"
    assert reply_text(ReplyCode.NO_ROUTE) == "NO_ROUTE"


@given(st.sampled_from(ReplyCode), st.text(st.characters(codec=None), max_size=300))
def test_a_text_is_a_short_string_without_control_characters(code: ReplyCode, detail: str) -> None:
    text = reply_text(code, detail)
    assert len(text.encode()) <= REPLY_TEXT_SIZE_MAX
    assert text.startswith(code.name)
    assert not CONTROL_CHARACTER.search(text)
