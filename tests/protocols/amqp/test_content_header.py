"""A property out of encoded properties, found wherever it stands; pamqp is the oracle."""

from __future__ import annotations

import datetime
from typing import Any

import pamqp.commands
from hypothesis import given
from hypothesis import strategies as st

from protocols.amqp.content_header import EXPIRATION, USER_ID, property_text

words = st.text("abc019 é", min_size=1, max_size=30)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "content_type": words,
    "content_encoding": words,
    "headers": st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1),
    "delivery_mode": st.integers(1, 2),
    "priority": st.integers(1, 9),
    "correlation_id": words,
    "reply_to": words,
    "message_id": words,
    "timestamp": st.just(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
    "message_type": words,
    "app_id": words,
}


@given(st.fixed_dictionaries({"expiration": words, "user_id": words}, optional=OPTIONAL))
def test_a_property_is_found_behind_any_others(given: dict[str, Any]) -> None:
    encoded = pamqp.commands.Basic.Properties(**given).marshal()
    assert property_text(encoded, EXPIRATION) == given["expiration"]
    assert property_text(encoded, USER_ID) == given["user_id"]
