"""Counters and accounts against plain Python numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import Account, Counters


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2**32))))
def test_counters_add_up_by_name(added: list[tuple[str, int]]) -> None:
    counters, expected = Counters(), dict[str, int]()
    for name, count in added:
        counters.add(name, count)
        expected[name] = expected.get(name, 0) + count
    assert counters.values() == sorted(expected.items())


@given(st.lists(st.integers(0, 1000)), st.integers(0, 5000))
def test_an_account_holds_what_was_charged_and_not_released(charges: list[int], budget: int) -> None:
    account = Account("input", budget)
    for charge in charges:
        account.charge(charge)
    assert account.charged == sum(charges)
    assert account.exceeded == (sum(charges) > budget)
    for charge in charges:
        account.release(charge)
    assert (account.charged, account.exceeded) == (0, False)


def test_releasing_more_than_was_charged_is_our_mistake() -> None:
    account = Account("input", 10)
    account.charge(1)
    with pytest.raises(BaseException, match="input: 2 released of 1"):
        account.release(2)
