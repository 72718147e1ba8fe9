"""What an exchange is, and which types there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from routing.bindings import Binding
from routing.direct import DirectExchange
from routing.fanout import FanoutExchange
from routing.topic import TopicExchange


class Exchange(Protocol):
    """The bindings of one exchange, laid out so that those a routing key matches are found quickly.

    It is told each binding once; ``remove`` is only called with one that was added.
    """

    def add(self, binding: Binding) -> None: ...

    def remove(self, binding: Binding) -> None: ...

    def match(self, routing_key: bytes, hidden: bool) -> Iterable[Binding]:
        """In any order; the router sorts.  ``hidden``: no wildcard stands for the key's first level."""
        ...


EXCHANGE_TYPES: dict[str, Callable[[], Exchange]] = {
    "direct": DirectExchange,
    "fanout": FanoutExchange,
    "topic": TopicExchange,
}
"""A new type is one file and one line here."""
