"""The kernel's patterns against Python's ``re``, in the dialect that both speak."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import NamePattern

ATOMS = st.sampled_from(["a", "b", ".", r"\.", "[ab]", "[^a]", "-", "é"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from("*+?")).map(lambda two: f"(?:{two[0]}){two[1]}"),
    ),
    max_leaves=8,
)
ANCHORED = st.tuples(st.sampled_from(["", "^"]), PATTERNS, st.sampled_from(["", "$"])).map("".join)


@given(pattern=ANCHORED, name=st.text("ab.-é", max_size=8))
def test_a_pattern_matches_as_in_python(pattern: str, name: str) -> None:
    assert NamePattern(pattern).matches(name) == (re.search(pattern, name) is not None)


@given(pattern=st.text(string.printable))
def test_no_pattern_raises_anything_but_value_error_in_one_line(pattern: str) -> None:
    refused: list[str] = []
    try:
        NamePattern(pattern)
    except ValueError as error:
        refused.append(str(error))
    assert not any("\n" in text for text in refused)


def test_no_pattern_is_slow() -> None:
    """With backtracking this would take 2^200 steps."""
    assert not NamePattern("^(a|a|aa)+$").matches("a" * 200 + "b")


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)", "(", r"\w{1000}{1000}"])
def test_what_can_not_be_matched_in_linear_time_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        NamePattern(pattern)
