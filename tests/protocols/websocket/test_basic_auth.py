"""Basic authentication, as browsers write it and as it can be got wrong."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.websocket.basic_auth import read_basic_auth


@given(st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"])), st.binary())
def test_user_and_password(user: str, password: bytes) -> None:
    encoded = base64.b64encode(user.encode() + b":" + password).decode()
    assert read_basic_auth(f"Basic {encoded}") == (user, password)
    assert read_basic_auth(f"basic  {encoded} ") == (user, password)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic x",
        "Basic bm9jb2xvbg==",
        "Basic /zo=",
        "Bearer YTpi",
        "Basic YT\npi",
        "Basic é",
    ],
)
def test_what_is_none(header: str | None) -> None:
    assert read_basic_auth(header) is None
