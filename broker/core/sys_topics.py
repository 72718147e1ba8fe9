"""``$SYS/broker/...``: the broker's figures as MQTT dashboards read them, under Mosquitto's names.

Every ten seconds what has changed goes to whoever subscribes to it; a new subscription is sent all at once.  Nothing of
it is stored, and only administrators may subscribe (``subscribing.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from broker.core.client_session import ClientSession
from broker.core.retained import send_to
from broker.model.client_sessions import SubscriptionSpec
from kernel import FLAG_REPLAYED, ORIGIN_MQTT, MessageRun, TopicTrie, filter_levels, routing_key_of_topic
from routing.subscriptions import MQTT_EXCHANGE
from routing.topic import name_levels

if TYPE_CHECKING:
    from broker.core.back import Back

PREFIX = "$SYS"
INTERVAL_MS = 10_000
SPANS_MIN = (1, 5, 15)
"""Of the averages under ``load/``: events a minute, weighted as the load average of a Unix system is."""

Figures = Callable[[], Mapping[str, int]]
"""The server's: bytes read and written, bytes of the store."""


class SysTopics:
    """Part of the back."""

    def __init__(self, back: Back, version: str, figures: Figures) -> None:
        self._back = back
        self._version = version
        self._figures = figures
        self._began_ms = 0
        self._due_ms = 0
        self._values: dict[str, str] = {}
        self._totals: dict[str, int] = {}
        self._loads: dict[tuple[str, int], float] = {}
        self._most_clients = 0

    @property
    def next_deadline_ms(self) -> int | None:
        return self._due_ms or None

    def receive_time(self, now_ms: int) -> None:
        if not self._began_ms:
            self._began_ms = now_ms
        if now_ms >= self._due_ms:
            self._due_ms = now_ms + INTERVAL_MS
            self._update(now_ms)

    def replay(self, client: ClientSession, spec: SubscriptionSpec) -> None:
        """All that a new subscription matches."""
        trie = TopicTrie()
        trie.insert(filter_levels(spec.filter.encode()), 0)
        wanted = [topic for topic in self._values if trie.match(_levels(topic), leading_wildcards=False)]
        if wanted:
            send_to(client, self._run(wanted, FLAG_REPLAYED), spec.qos)

    def _update(self, now_ms: int) -> None:
        values = self._read(now_ms)
        changed = [topic for topic, value in values.items() if self._values.get(topic) != value]
        self._values = values
        topology = self._back.topology
        for vhost in topology.vhosts():
            table = topology.subscription_table(vhost)
            wanted: dict[ClientSession, tuple[int, list[str]]] = {}
            for topic in changed if len(table) else ():
                for subscription in table.match(b".".join(_levels(topic))):
                    client = self._back.clients.sessions.get(subscription.session)
                    if client is not None and subscription.share is None:
                        qos, topics = wanted.get(client, (0, []))
                        wanted[client] = (max(qos, subscription.qos), [*topics, topic])
            for client, (qos, topics) in wanted.items():
                send_to(client, self._run(dict.fromkeys(topics), 0), qos)

    def _run(self, topics: Iterable[str], flags: int) -> MessageRun:
        rows = [(MQTT_EXCHANGE, topic.encode(), b"", self._values[topic].encode(), flags, None) for topic in topics]
        return MessageRun.of(0, rows, ORIGIN_MQTT)

    def _read(self, now_ms: int) -> dict[str, str]:
        sessions = self._back.clients.sessions.values()
        connected = sum(client.attachment is not None for client in sessions)
        self._most_clients = max(self._most_clients, connected)
        traffic, figures = self._back.total_traffic(), self._figures()
        tables = [self._back.topology.subscription_table(vhost) for vhost in self._back.topology.vhosts()]
        totals = {
            "messages/received": traffic.received,
            "messages/sent": traffic.sent,
            "publish/messages/received": traffic.received,
            "publish/messages/sent": traffic.sent,
            "publish/messages/dropped": traffic.dropped,
            "publish/bytes/received": traffic.received_size,
            "publish/bytes/sent": traffic.sent_size,
            "bytes/received": figures.get("poller_read_bytes", 0),
            "bytes/sent": figures.get("poller_written_bytes", 0),
            "connections": traffic.attached,
        }
        now = {
            "version": f"dragoman version {self._version}",
            "uptime": f"{(now_ms - self._began_ms) // 1000} seconds",
            "clients/total": len(sessions),
            "clients/connected": connected,
            "clients/active": connected,
            "clients/disconnected": len(sessions) - connected,
            "clients/inactive": len(sessions) - connected,
            "clients/maximum": self._most_clients,
            "clients/expired": traffic.expired,
            "retained messages/count": self._back.retained.count,
            "subscriptions/count": sum(map(len, tables)),
            "shared_subscriptions/count": sum(table.shared_count for table in tables),
            "store/messages/count": sum(client.queue.ready_count for client in sessions if client.queue is not None),
            "store/messages/bytes": self._back.stored_size(),
        }
        loads = self._average(totals)
        values = {name: value for name, value in totals.items() if name != "connections"} | now | loads
        return {f"{PREFIX}/broker/{name}": str(value) for name, value in values.items()}

    def _average(self, totals: dict[str, int]) -> dict[str, str]:
        """Moves the averages on by one interval."""
        out = {}
        interval_min = INTERVAL_MS / 60_000
        for name, total in totals.items():
            rate = (total - self._totals.get(name, total)) / interval_min
            for span in SPANS_MIN:
                kept = math.exp(-interval_min / span)
                load = self._loads.get((name, span), 0.0) * kept + rate * (1 - kept)
                self._loads[name, span] = load
                out[f"load/{name}/{span}min"] = f"{load:.2f}"
        self._totals = totals
        return out


def _levels(topic: str) -> list[bytes]:
    return name_levels(routing_key_of_topic(topic.encode()))
