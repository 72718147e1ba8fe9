"""The router against a slow one that looks at every binding for every message."""

from __future__ import annotations

import re

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.model.names import ExchangeName, QueueId, QueueName, RoutingKey
from broker.model.topology import Arguments, BindingSpec
from routing.bindings import Binding
from routing.exchange import EXCHANGE_TYPES
from routing.router import DEFAULT_EXCHANGE, Router


class SlowRouter:
    """What the words mean, and nothing about speed."""

    def __init__(self) -> None:
        self.types: dict[str, str] = {}
        self.alternates: dict[str, str] = {}
        self.queues: dict[str, int] = {}
        self.bindings: list[Binding] = []

    def route(self, exchange: str, routing_key: str) -> tuple[int, ...] | None:
        if exchange != "" and exchange not in self.types:
            return None
        reached = {exchange}
        queues: set[str] = set()
        while True:
            destinations = {d for name in reached for d in self.destinations(name, routing_key)}
            queues = {name for to_exchange, name in destinations if not to_exchange}
            exchanges = {name for to_exchange, name in destinations if to_exchange}
            if exchanges <= reached:
                return tuple(sorted(self.queues[name] for name in queues))
            reached |= exchanges

    def destinations(self, exchange: str, routing_key: str) -> set[tuple[bool, str]]:
        if exchange == "":
            return {(False, name) for name in self.queues if name == routing_key}
        found = {
            (binding.to_exchange, binding.destination)
            for binding in self.bindings
            if binding.source == exchange and self.matches(self.types[exchange], binding.routing_key, routing_key)
        }
        alternate = self.alternates.get(exchange)
        if not found and alternate is not None and (alternate == "" or alternate in self.types):
            return {(True, alternate)}
        return found

    @staticmethod
    def matches(type: str, binding_key: str, routing_key: str) -> bool:
        if type == "fanout":
            return True
        if type == "direct":
            return binding_key == routing_key
        # Each word of the key is written with a dot before it, so that `#` can be "any such words".
        words = {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}
        pattern = "".join(words.get(word, r"\." + re.escape(word)) for word in binding_key.split("."))
        return re.fullmatch(pattern, "." + routing_key) is not None

    def forget(self, to_exchange: bool, name: str) -> set[Binding]:
        gone = {b for b in self.bindings if (b.to_exchange, b.destination) == (to_exchange, name)}
        gone |= {b for b in self.bindings if to_exchange and b.source == name}
        self.bindings = [b for b in self.bindings if b not in gone]
        return gone


EXCHANGES = st.sampled_from(["x", "y", "z", "é"]).map(ExchangeName)
QUEUES = st.sampled_from(["a", "b", "a.b", "ü"]).map(QueueName)
KEYS = st.lists(st.sampled_from(["", "a", "b", "*", "#"]), min_size=1, max_size=4).map(".".join).map(RoutingKey)
ARGUMENTS: st.SearchStrategy[Arguments] = st.sampled_from([{}, {"n": 1}, {"n": True}])


class RouterAgainstSlowRouter(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.router = Router()
        self.slow = SlowRouter()
        self.next_id = 1

    @rule(name=EXCHANGES, type=st.sampled_from(sorted(EXCHANGE_TYPES)), alternate=st.none() | EXCHANGES | st.just(""))
    def declare_exchange(self, name: ExchangeName, type: str, alternate: ExchangeName | None) -> None:
        if name not in self.slow.types:
            self.router.declare_exchange(name, type, alternate)
            self.slow.types[name] = type
            if alternate is not None:
                self.slow.alternates[name] = alternate

    @rule(name=EXCHANGES)
    def delete_exchange(self, name: ExchangeName) -> None:
        if name in self.slow.types:
            gone = self.router.delete_exchange(name)
            assert set(gone) == self.slow.forget(True, name)
            del self.slow.types[name]
            self.slow.alternates.pop(name, None)

    @rule(name=QUEUES)
    def declare_queue(self, name: QueueName) -> None:
        if name not in self.slow.queues:
            self.router.declare_queue(name, QueueId(self.next_id))
            self.slow.queues[name] = self.next_id
            self.next_id += 1

    @rule(name=QUEUES)
    def delete_queue(self, name: QueueName) -> None:
        if name in self.slow.queues:
            assert set(self.router.delete_queue(name)) == self.slow.forget(False, name)
            del self.slow.queues[name]

    def binding(self, data: st.DataObject) -> Binding:
        source = data.draw(st.sampled_from(sorted(self.slow.types)))
        ends = [(True, name) for name in sorted(self.slow.types)] + [(False, name) for name in sorted(self.slow.queues)]
        to_exchange, destination = data.draw(st.sampled_from(ends))
        key, arguments = data.draw(KEYS), data.draw(ARGUMENTS)
        return Binding.of(BindingSpec(ExchangeName(source), destination, key, to_exchange, arguments))

    @precondition(lambda self: self.slow.types)
    @rule(data=st.data())
    def bind(self, data: st.DataObject) -> None:
        binding = self.binding(data)
        assert self.router.bind(binding) == (binding not in self.slow.bindings)
        if binding not in self.slow.bindings:
            self.slow.bindings.append(binding)

    @precondition(lambda self: self.slow.types)
    @rule(data=st.data())
    def unbind(self, data: st.DataObject) -> None:
        there = data.draw(st.sampled_from(self.slow.bindings)) if self.slow.bindings else self.binding(data)
        assert self.router.unbind(there) == (there in self.slow.bindings)
        self.slow.bindings = [b for b in self.slow.bindings if b != there]

    @rule(exchange=EXCHANGES | st.just(""), key=KEYS | QUEUES)
    def route(self, exchange: str, key: str) -> None:
        self.check(exchange, key)

    def check(self, exchange: str, key: str) -> None:
        assert self.router.route(exchange.encode(), key.encode()) == self.slow.route(exchange, key)

    @invariant()
    def no_route_is_stale(self) -> None:
        """Asked after every change, so that most of these come from the cache unless it was dropped."""
        for exchange in ("", "x", "y", "z"):
            for key in ("", "a", "a.b"):
                self.check(exchange, key)

    @invariant()
    def both_list_the_same_bindings(self) -> None:
        bindings = self.router.bindings
        assert list(bindings) == self.slow.bindings
        assert len(bindings) == len(self.slow.bindings)
        for name in self.slow.types:
            assert list(bindings.of_source(name)) == [b for b in self.slow.bindings if b.source == name]
            assert bindings.has_source(name) == bool(bindings.of_source(name))


TestRouterAgainstSlowRouter = pytest.mark.slow(RouterAgainstSlowRouter.TestCase)


def bind(router: Router, source: str, destination: str, key: str = "", *, to_exchange: bool = False) -> None:
    router.bind(Binding.of(BindingSpec(ExchangeName(source), destination, RoutingKey(key), to_exchange)))


@pytest.fixture
def router() -> Router:
    router = Router()
    for name in ("x", "y"):
        router.declare_exchange(ExchangeName(name), "fanout")
    for id, queue in enumerate(("q1", "q2"), 1):
        router.declare_queue(QueueName(queue), QueueId(id))
    return router


def test_a_cycle_of_exchanges_ends_and_each_queue_gets_one_copy(router: Router) -> None:
    bind(router, "x", "y", to_exchange=True)
    bind(router, "y", "x", to_exchange=True)
    bind(router, "x", "x", to_exchange=True)
    bind(router, "y", "q2")
    bind(router, "x", "q2")
    bind(router, "x", "q1")
    assert router.route(b"x", b"") == router.route(b"y", b"") == (1, 2)


def test_an_unknown_exchange_is_none_and_an_unroutable_key_is_empty(router: Router) -> None:
    assert router.route(b"nobody", b"k") is None
    assert router.route(b"\xff", b"k") is None
    assert router.route(b"x", b"k") == ()
    assert router.route(b"", b"\xff") == ()


def test_the_alternate_exchange_gets_what_nothing_matches(router: Router) -> None:
    router.declare_exchange(ExchangeName("d"), "direct", ExchangeName("y"))
    bind(router, "d", "q1", "k")
    bind(router, "y", "q2")
    assert router.route(b"d", b"k") == (1,)
    assert router.route(b"d", b"other") == (2,)
    router.delete_exchange(ExchangeName("y"))
    assert router.route(b"d", b"other") == ()
    router.declare_exchange(ExchangeName("y"), "direct", DEFAULT_EXCHANGE)
    assert router.route(b"d", b"q1") == (1,), "an alternate may come later, and have one itself"
