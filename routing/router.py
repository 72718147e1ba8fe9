"""From (exchange, routing key) to queues, for one vhost.

Names are str where something is declared and bytes where it is routed, as they come from the wire.
Whoever declares has asked all the questions (does it exist, may it be); here they are asserts.
"""

from __future__ import annotations

from broker.model.names import ExchangeName, QueueId, QueueName
from routing.bindings import Binding, BindingTable
from routing.exchange import EXCHANGE_TYPES, Exchange
from routing.route_cache import Key, Reach, Route, RouteCache
from routing.subscriptions import MQTT_EXCHANGE, Subscription, SubscriptionTable

DEFAULT_EXCHANGE = ExchangeName("")
"""Every queue is bound to it by its name, and nothing else ever is."""

_DEFAULT = DEFAULT_EXCHANGE.encode()
_NOWHERE = Reach(())


class Router:
    """The exchanges, bindings and queue names of a vhost, and the way through them."""

    def __init__(self) -> None:
        self.bindings = BindingTable()
        self.subscriptions = SubscriptionTable()
        self._queues: dict[bytes, Route] = {}
        self._exchanges: dict[bytes, Exchange] = {}
        self._alternates: dict[bytes, bytes] = {}
        self._cache = RouteCache()

    def route(self, exchange: bytes, routing_key: bytes) -> Route | None:
        """The queues that bindings lead to, each once, in the order of their ids; None if there is no such exchange."""
        reach = self.reach((exchange, routing_key))
        return None if reach is None else reach.queues

    def reach(self, key: Key) -> Reach | None:
        """The queues, and the subscriptions where a way leads through ``amq.topic``; None if there is no such exchange.

        An exchange that nothing matches hands on to its alternate, if it has one.
        """
        if key[0] == _DEFAULT:
            queues = self._queues.get(key[1])
            return _NOWHERE if queues is None else Reach(queues)
        reach = self._cache.get(key)
        if reach is None and key[0] in self._exchanges:
            reach, lasts = self._find(*key)
            if lasts:
                self._cache.put(key, reach)
        return reach

    def put_subscription(self, subscription: Subscription) -> bool:
        """False if it replaces one."""
        self._cache.clear()
        return self.subscriptions.put(subscription)

    def drop_subscription(self, subscription: Subscription) -> bool:
        """False if there was none."""
        self._cache.clear()
        return self.subscriptions.drop(subscription.session, subscription.share, subscription.filter)

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

    def _find(self, exchange: bytes, routing_key: bytes, hidden: bool = False) -> tuple[Reach, bool]:
        """Visits each exchange once, so that cycles end and a queue gets one copy.

        The second value: this stays so until a binding or an exchange changes.  A route through the default
        exchange (as somebody's alternate) does not, as it changes with every queue.
        """
        queues: set[QueueId] = set()
        subscriptions: tuple[Subscription, ...] = ()
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
            if source == MQTT_EXCHANGE:
                subscriptions = tuple(self.subscriptions.match(routing_key))
                matched = bool(subscriptions)
            for binding in self._exchanges[source].match(routing_key, hidden):
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
        return Reach(tuple(sorted(queues)), subscriptions), lasts
