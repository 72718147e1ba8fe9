"""The fanout exchange: every binding, whatever the keys."""

from __future__ import annotations

from collections.abc import Iterable

from routing.bindings import Binding


class FanoutExchange:
    def __init__(self) -> None:
        self._bindings: dict[Binding, None] = {}

    def add(self, binding: Binding) -> None:
        self._bindings[binding] = None

    def remove(self, binding: Binding) -> None:
        del self._bindings[binding]

    def match(self, routing_key: bytes, hidden: bool) -> Iterable[Binding]:
        return self._bindings
