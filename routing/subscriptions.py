"""MQTT subscriptions: topic filters of sessions, matched on levels beside a topic exchange's bindings.

A session has one subscription for each filter and share name; subscribing again replaces it.  One to ``$queue/<name>``
matches no message: its session consumes from that queue.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from broker.model.names import ClientSessionId, QueueName
from kernel import TopicTrie, filter_levels, queue_of_topic
from routing.topic import name_levels

MQTT_EXCHANGE = b"amq.topic"
"""Where MQTT publishes, and what its filters match on; RabbitMQ's default too."""


def queue_of_filter(filter: str) -> QueueName | None:
    """The queue that a subscription with this filter consumes from; None: it is to topics."""
    name = queue_of_topic(filter.encode())
    return None if name is None else QueueName(name.decode())


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """One filter of one session.  ``share``: the name of the group that takes turns; ``id`` 0: none."""

    session: ClientSessionId
    filter: str
    share: str | None
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    id: int = 0

    @property
    def queue(self) -> QueueName | None:
        """What it consumes from; None: it is to topics."""
        return queue_of_filter(self.filter)


SubscriptionKey: TypeAlias = tuple[ClientSessionId, str | None, str]


class SubscriptionTable:
    """The subscriptions of a vhost."""

    def __init__(self) -> None:
        self._trie = TopicTrie()
        self._by_key: dict[SubscriptionKey, int] = {}
        self._by_number: dict[int, Subscription] = {}
        self._by_session: dict[ClientSessionId, int | dict[int, None]] = {}
        """Their numbers: most sessions have one subscription, and a dict takes 232 bytes."""
        self._next_number = 0
        self.shared_count = 0

    def put(self, subscription: Subscription) -> bool:
        """False if the session had that filter and share before: it is replaced."""
        key = (subscription.session, subscription.share, subscription.filter)
        number = self._by_key.get(key)
        if number is not None:
            self._by_number[number] = subscription
            return False
        number = self._next_number
        self._next_number += 1
        self._by_key[key] = number
        self._by_number[number] = subscription
        self._add_to_session(subscription.session, number)
        self.shared_count += subscription.share is not None
        if subscription.queue is None:
            self._trie.insert(filter_levels(subscription.filter.encode()), number)
        return True

    def drop(self, session: ClientSessionId, share: str | None, filter: str) -> bool:
        """False if there was none."""
        number = self._by_key.pop((session, share, filter), None)
        if number is None:
            return False
        del self._by_number[number]
        self.shared_count -= share is not None
        self._take_from_session(session, number)
        if queue_of_filter(filter) is None:
            self._trie.remove(filter_levels(filter.encode()), number)
        return True

    def find(self, session: ClientSessionId, share: str | None, filter: str) -> Subscription | None:
        number = self._by_key.get((session, share, filter))
        return None if number is None else self._by_number[number]

    def of_session(self, session: ClientSessionId) -> list[Subscription]:
        """In the order in which they were made."""
        numbers = self._by_session.get(session, ())
        return [self._by_number[number] for number in ((numbers,) if isinstance(numbers, int) else numbers)]

    def _add_to_session(self, session: ClientSessionId, number: int) -> None:
        numbers = self._by_session.get(session)
        if numbers is None:
            self._by_session[session] = number
        elif isinstance(numbers, int):
            self._by_session[session] = {numbers: None, number: None}
        else:
            numbers[number] = None

    def _take_from_session(self, session: ClientSessionId, number: int) -> None:
        numbers = self._by_session[session]
        if isinstance(numbers, dict):
            del numbers[number]
            if numbers:
                return
        del self._by_session[session]

    def match(self, routing_key: bytes) -> list[Subscription]:
        """Those a message with this key goes to, in the order in which they were made.

        A wildcard at the first level stands for no name that begins with ``$`` (MQTT 4.7.2).
        """
        if not self._by_number:
            return []
        numbers = self._trie.match(name_levels(routing_key), leading_wildcards=not routing_key.startswith(b"$"))
        return [self._by_number[number] for number in numbers]

    def __len__(self) -> int:
        return len(self._by_number)
