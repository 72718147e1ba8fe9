"""The binding table of a vhost: which exchange leads where.

A binding is known by all that it says; putting it in twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from broker.model.arguments import decode_arguments, encode_arguments
from broker.model.names import ExchangeName, RoutingKey
from broker.model.topology import BindingSpec

K = TypeVar("K")


class Binding(msgspec.Struct, frozen=True, gc=False):
    """A BindingSpec that can be looked up: its arguments are bytes, the same for the same arguments."""

    source: ExchangeName
    destination: str
    to_exchange: bool
    routing_key: RoutingKey
    arguments: bytes

    @classmethod
    def of(cls, spec: BindingSpec) -> Binding:
        arguments = encode_arguments(spec.arguments)
        return cls(spec.source, spec.destination, spec.to_exchange, spec.routing_key, arguments)

    def spec(self) -> BindingSpec:
        return BindingSpec(
            source=self.source,
            destination=self.destination,
            routing_key=self.routing_key,
            to_exchange=self.to_exchange,
            arguments=decode_arguments(self.arguments),
        )


class BindingTable:
    """All bindings of a vhost, found from either end in time proportional to the answer."""

    def __init__(self) -> None:
        # Dicts as ordered sets: what is listed comes in the order it was bound, on every replica.
        self._bindings: dict[Binding, None] = {}
        self._by_source: dict[str, dict[Binding, None]] = {}
        self._by_destination: dict[tuple[bool, str], dict[Binding, None]] = {}

    def add(self, binding: Binding) -> bool:
        """False if it was there already."""
        if binding in self._bindings:
            return False
        self._bindings[binding] = None
        self._by_source.setdefault(binding.source, {})[binding] = None
        self._by_destination.setdefault((binding.to_exchange, binding.destination), {})[binding] = None
        return True

    def remove(self, binding: Binding) -> bool:
        """False if it was not there."""
        if binding not in self._bindings:
            return False
        del self._bindings[binding]
        _drop(self._by_source, binding.source, binding)
        _drop(self._by_destination, (binding.to_exchange, binding.destination), binding)
        return True

    def of_source(self, exchange: str) -> tuple[Binding, ...]:
        return tuple(self._by_source.get(exchange, ()))

    def of_queue(self, queue: str) -> tuple[Binding, ...]:
        """The bindings that lead to a queue."""
        return tuple(self._by_destination.get((False, queue), ()))

    def of_exchange(self, exchange: str) -> tuple[Binding, ...]:
        """The bindings that lead to an exchange."""
        return tuple(self._by_destination.get((True, exchange), ()))

    def has_source(self, exchange: str) -> bool:
        return exchange in self._by_source

    def __contains__(self, binding: Binding) -> bool:
        return binding in self._bindings

    def __iter__(self) -> Iterator[Binding]:
        return iter(self._bindings)

    def __len__(self) -> int:
        return len(self._bindings)


def _drop(index: dict[K, dict[Binding, None]], key: K, binding: Binding) -> None:
    found = index[key]
    del found[binding]
    if not found:
        del index[key]
