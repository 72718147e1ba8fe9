"""Confirms: against a model that remembers each tag, whatever the order in which tags are settled."""

from __future__ import annotations

import itertools
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.amqp.confirms import Confirms
from protocols.amqp.methods import BasicAck, BasicNack
from tests.protocols.amqp.conversation import decoded_methods


class Publisher:
    """A client that waits for its confirms, tag by tag."""

    def __init__(self, count: int) -> None:
        self.unsettled = set(range(1, count + 1))
        self.settled: dict[int, bool] = {}

    def receive(self, data: bytes) -> None:
        for method in decoded_methods(data):
            assert isinstance(method, BasicAck | BasicNack)
            multiple = method.multiple
            tags = {tag for tag in self.unsettled if tag <= method.delivery_tag} if multiple else {method.delivery_tag}
            assert tags <= self.unsettled, "settled twice"
            self.unsettled -= tags
            self.settled |= dict.fromkeys(tags, isinstance(method, BasicNack))


Settlings: TypeAlias = tuple[int, list[tuple[bool, list[tuple[int, int]]]]]


@st.composite
def settlings(draw: st.DrawFn) -> Settlings:
    """So many tags, cut into ranges that are settled in any order and grouping, some of them rejected."""
    count = draw(st.integers(1, 60))
    cuts = draw(st.sets(st.integers(1, count), max_size=20))
    ranges = [(a + 1, b) for a, b in itertools.pairwise(sorted({0, count, *cuts}))]
    shuffled = draw(st.permutations(ranges))
    groups: list[tuple[bool, list[tuple[int, int]]]] = []
    while shuffled:
        size = draw(st.integers(1, len(shuffled)))
        groups.append((draw(st.booleans()), list(shuffled[:size])))
        shuffled = shuffled[size:]
    return count, groups


@given(settlings())
def test_each_tag_is_settled_once_and_as_it_was_meant(case: Settlings) -> None:
    count, groups = case
    confirms, publisher = Confirms(1), Publisher(count)
    assert confirms.take_tags(count) == 1
    meant: dict[int, bool] = {}
    for nack, ranges in groups:
        publisher.receive(confirms.settle(ranges, nack=nack))
        for first, last in ranges:
            meant |= dict.fromkeys(range(first, last + 1), nack)
        assert publisher.settled == meant
        prefix = next((tag - 1 for tag in range(1, count + 1) if tag not in meant), count)
        assert confirms.settled_through == prefix
    assert not publisher.unsettled


def test_a_settled_prefix_is_one_frame_however_long() -> None:
    confirms = Confirms(1)
    confirms.take_tags(5000)
    assert decoded_methods(confirms.settle([(1, 2000)], nack=False)) == [BasicAck(2000, multiple=True)]
    assert decoded_methods(confirms.settle([(2501, 2502)], nack=True)) == [
        BasicNack(2501, requeue=False),
        BasicNack(2502, requeue=False),
    ]
    assert decoded_methods(confirms.settle([(2400, 2500), (2001, 2399)], nack=False)) == [BasicAck(2500, multiple=True)]
    assert decoded_methods(confirms.settle([(2503, 5000)], nack=False)) == [BasicAck(5000, multiple=True)]


@pytest.mark.parametrize("again", [(1, 1), (5, 5), (4, 6), (3, 3)])
def test_a_tag_that_is_settled_twice_is_our_bug(again: tuple[int, int]) -> None:
    confirms = Confirms(1)
    confirms.take_tags(10)
    confirms.settle([(1, 3)], nack=False)
    confirms.settle([(5, 5)], nack=False)
    with pytest.raises(AssertionError):
        confirms.settle([again], nack=False)


def test_a_tag_that_was_not_given_is_our_bug() -> None:
    confirms = Confirms(1)
    confirms.take_tags(3)
    with pytest.raises(AssertionError):
        confirms.settle([(1, 4)], nack=False)
