"""From (exchange, routing key) to queues, for one vhost.

Names are str where something is declared and bytes where it is routed, as they come from the wire.
Whoever declares has asked all the questions (does it exist, may it be); here they are asserts.
"""

from __future__ import annotations

from broker.model.names import ExchangeName, QueueId, QueueName
from routing.bindings import Binding, BindingTable
from routing.exchange import EXCHANGE_TYPES, Exchange
from routing.route_cache import Route, RouteCache

DEFAULT_EXCHANGE = ExchangeName("")
"""Every queue is bound to it by its name, and nothing else ever is."""

_DEFAULT = DEFAULT_EXCHANGE.encode()


class Router:
    """The exchanges, bindings and queue names of a vhost, and the way through them."""

    def __init__(self) -> None:
        self.bindings = BindingTable()
        self._queues: dict[bytes, Route] = {}
        self._exchanges: dict[bytes, Exchange] = {}
        self._alternates: dict[bytes, bytes] = {}
        self._cache = RouteCache()

    def route(self, exchange: bytes, routing_key: bytes) -> Route | None:
        """The queues, each once, in the order of their ids; None if there is no such exchange.

        An exchange that nothing matches hands on to its alternate, if it has one.
        """
        if exchange == _DEFAULT:
            return self._queues.get(routing_key, ())
        key = (exchange, routing_key)
        route = self._cache.get(key)
        if route is None and exchange in self._exchanges:
            route, lasts = self._find(exchange, routing_key)
            if lasts:
                self._cache.put(key, route)
        return route

    def declare_exchange(self, name: ExchangeName, type: str, alternate: ExchangeName | None = None) -> None:
        """``alternate`` need not exist, now or ever."""
        encoded = name.encode()
        assert name != DEFAULT_EXCHANGE
        assert encoded not in self._exchanges, name
        self._exchanges[encoded] = EXCHANGE_TYPES[type]()
        if alternate is not None:
            self._alternates[encoded] = alternate.encode()
        self._cache.clear()

    def delete_exchange(self, name: ExchangeName) -> tuple[Binding, ...]:
        """Returns the bindings that went with it."""
        gone = dict.fromkeys((*self.bindings.of_source(name), *self.bindings.of_exchange(name)))
        for binding in gone:
            self.unbind(binding)
        del self._exchanges[name.encode()]
        self._alternates.pop(name.encode(), None)
        self._cache.clear()
        return tuple(gone)

    def declare_queue(self, name: QueueName, id: QueueId) -> None:
        assert name.encode() not in self._queues, name
        self._queues[name.encode()] = (id,)  # unbound yet: no cached route changes

    def delete_queue(self, name: QueueName) -> tuple[Binding, ...]:
        """Returns the bindings that went with it."""
        gone = self.bindings.of_queue(name)
        for binding in gone:
            self.unbind(binding)
        del self._queues[name.encode()]
        return gone

    def bind(self, binding: Binding) -> bool:
        """False if it was there already."""
        destination = binding.destination.encode()
        assert destination in (self._exchanges if binding.to_exchange else self._queues), binding
        exchange = self._exchanges[binding.source.encode()]
        added = self.bindings.add(binding)
        if added:
            exchange.add(binding)
            self._cache.clear()
        return added

    def unbind(self, binding: Binding) -> bool:
        """False if it was not there."""
        removed = self.bindings.remove(binding)
        if removed:
            self._exchanges[binding.source.encode()].remove(binding)
            self._cache.clear()
        return removed

    def _find(self, exchange: bytes, routing_key: bytes) -> tuple[Route, bool]:
        """Visits each exchange once, so that cycles end and a queue gets one copy.

        The second value: this stays so until a binding or an exchange changes.  A route through the default
        exchange (as somebody's alternate) does not, as it changes with every queue.
        """
        queues: set[QueueId] = set()
        lasts = True
        seen = {exchange}
        waiting = [exchange]
        while waiting:
            source = waiting.pop()
            if source == _DEFAULT:
                queues.update(self._queues.get(routing_key, ()))
                lasts = False
                continue
            onward = []
            matched = False
            for binding in self._exchanges[source].match(routing_key):
                matched = True
                if binding.to_exchange:
                    onward.append(binding.destination.encode())
                else:
                    queues.update(self._queues[binding.destination.encode()])
            if not matched and source in self._alternates:
                onward.append(self._alternates[source])
            for name in onward:
                if name not in seen and (name == _DEFAULT or name in self._exchanges):
                    seen.add(name)
                    waiting.append(name)
        return tuple(sorted(queues)), lasts
