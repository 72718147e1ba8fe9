"""The kernel's topic trie against a slow twin that knows nothing but the definition."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kernel import TopicTrie, Wildcard

Level = bytes | Wildcard
ONE, MANY = Wildcard.ONE, Wildcard.MANY

LEVELS = st.sampled_from([b"", b"a", b"b", b"*", b"#", b"\xff"])
NAMES = st.lists(LEVELS, max_size=7)
PATTERNS = st.lists(st.one_of(LEVELS, st.just(ONE), st.just(MANY)), max_size=7)
IDS = st.integers(0, 5) | st.integers(0, 2**64 - 1)


def matches(pattern: tuple[Level, ...], name: tuple[bytes, ...]) -> bool:
    """Straight from the definition of the wildcards, one level at a time."""

    @functools.cache
    def match_from(p: int, n: int) -> bool:
        if p == len(pattern):
            return n == len(name)
        if pattern[p] == MANY:
            return match_from(p + 1, n) or (n < len(name) and match_from(p, n + 1))
        return n < len(name) and pattern[p] in (ONE, name[n]) and match_from(p + 1, n + 1)

    return match_from(0, 0)


class TrieTwin:
    """A set of (pattern, id), searched from end to end."""

    def __init__(self) -> None:
        self.pairs: set[tuple[tuple[Level, ...], int]] = set()

    def match(self, name: list[bytes], *, leading_wildcards: bool) -> list[int]:
        return sorted(
            {
                id
                for pattern, id in self.pairs
                if matches(pattern, tuple(name)) and (leading_wildcards or self._names_the_first_level(pattern, name))
            }
        )

    @staticmethod
    def _names_the_first_level(pattern: tuple[Level, ...], name: list[bytes]) -> bool:
        if not pattern:
            return True
        return isinstance(pattern[0], bytes)


class TrieAgainstTwin(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.trie = TopicTrie()
        self.twin = TrieTwin()

    @rule(pattern=PATTERNS, id=IDS)
    def insert(self, pattern: list[Level], id: int) -> None:
        pair = (tuple(pattern), id)
        assert self.trie.insert(pattern, id) == (pair not in self.twin.pairs)
        self.twin.pairs.add(pair)

    @rule(data=st.data())
    def remove_one_that_is_there(self, data: st.DataObject) -> None:
        if self.twin.pairs:
            pair = data.draw(st.sampled_from(sorted(self.twin.pairs, key=repr)))
            assert self.trie.remove(list(pair[0]), pair[1])
            self.twin.pairs.remove(pair)

    @rule(pattern=PATTERNS, id=IDS)
    def remove(self, pattern: list[Level], id: int) -> None:
        pair = (tuple(pattern), id)
        assert self.trie.remove(pattern, id) == (pair in self.twin.pairs)
        self.twin.pairs.discard(pair)

    @rule(name=NAMES, leading_wildcards=st.booleans())
    def match(self, name: list[bytes], leading_wildcards: bool) -> None:
        expected = self.twin.match(name, leading_wildcards=leading_wildcards)
        assert self.trie.match(name, leading_wildcards=leading_wildcards) == expected

    @invariant()
    def it_holds_what_was_put_in_and_no_node_more(self) -> None:
        assert len(self.trie) == len(self.twin.pairs)
        prefixes = {pattern[:depth] for pattern, _ in self.twin.pairs for depth in range(len(pattern) + 1)}
        assert self.trie.node_count == len(prefixes | {()})


TestTrieAgainstTwin = pytest.mark.slow(TrieAgainstTwin.TestCase)


@given(pattern=PATTERNS, name=NAMES)
def test_a_pattern_matches_what_the_definition_says(pattern: list[Level], name: list[bytes]) -> None:
    trie = TopicTrie()
    trie.insert(pattern, 1)
    assert trie.match(name) == ([1] if matches(tuple(pattern), tuple(name)) else [])


def test_a_level_spelled_like_a_wildcard_is_a_plain_level() -> None:
    trie = TopicTrie()
    trie.insert([b"a", b"*"], 1)
    assert trie.match([b"a", b"*"]) == [1]
    assert trie.match([b"a", b"b"]) == []
