"""The topic exchange: AMQP's patterns, ``*`` for one word and ``#`` for zero or more, words split on ``.``."""

from __future__ import annotations

from collections.abc import Iterable

from kernel import TopicTrie, Wildcard
from routing.bindings import Binding

WILDCARDS = {b"*": Wildcard.ONE, b"#": Wildcard.MANY}


def name_levels(routing_key: bytes) -> list[bytes]:
    """``b"a..b"`` is three levels and ``b""`` is one, empty."""
    return routing_key.split(b".")


def pattern_levels(binding_key: bytes) -> list[bytes | Wildcard]:
    return [WILDCARDS.get(level, level) for level in name_levels(binding_key)]


class TopicExchange:
    def __init__(self) -> None:
        self._trie = TopicTrie()
        self._numbers: dict[Binding, int] = {}
        self._bindings: dict[int, Binding] = {}
        self._next_number = 0

    def add(self, binding: Binding) -> None:
        number = self._next_number
        self._next_number += 1
        self._numbers[binding] = number
        self._bindings[number] = binding
        self._trie.insert(pattern_levels(binding.routing_key.encode()), number)

    def remove(self, binding: Binding) -> None:
        number = self._numbers.pop(binding)
        del self._bindings[number]
        self._trie.remove(pattern_levels(binding.routing_key.encode()), number)

    def match(self, routing_key: bytes, hidden: bool) -> Iterable[Binding]:
        numbers = self._trie.match(name_levels(routing_key), leading_wildcards=not hidden)
        return [self._bindings[number] for number in numbers]
