"""The direct exchange: the binding key is the routing key, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable

from routing.bindings import Binding


class DirectExchange:
    def __init__(self) -> None:
        self._bindings: dict[bytes, dict[Binding, None]] = {}

    def add(self, binding: Binding) -> None:
        self._bindings.setdefault(binding.routing_key.encode(), {})[binding] = None

    def remove(self, binding: Binding) -> None:
        key = binding.routing_key.encode()
        bindings = self._bindings[key]
        del bindings[binding]
        if not bindings:
            del self._bindings[key]

    def match(self, routing_key: bytes, hidden: bool) -> Iterable[Binding]:
        return self._bindings.get(routing_key, ())
