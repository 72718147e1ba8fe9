"""MQTT's filters and AMQP's bindings over the same names, against a slow matcher of each grammar."""

from __future__ import annotations

import re

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from broker.model.names import ClientSessionId, ExchangeName, QueueId, QueueName, RoutingKey
from broker.model.topology import BindingSpec
from kernel import ORIGIN_MQTT, MessageRun
from routing.bindings import Binding
from routing.router import Router
from routing.subscriptions import Subscription

TOPICS = ExchangeName("amq.topic")
WORDS = {
    "": "",
    "a": "a",
    "b": "b",
    "é": "é",
    "$s": "$s",
    "x.y": "x%2Ey",
    "p%2Fq": "p/q",
    "100%": "100%",
}
"""Levels as MQTT writes them, and the same as AMQP does (docs/conversions.md)."""
LEVELS = st.sampled_from(sorted(WORDS))
NAMES = st.lists(LEVELS, min_size=1, max_size=4)
FILTERS = st.builds(
    lambda levels, end: "/".join([*levels, *end]),
    st.lists(LEVELS | st.just("+"), max_size=3),
    st.just(["#"]) | st.just(["+"]) | LEVELS.map(lambda level: [level]),
).filter(bool)
BINDING_KEYS = st.lists(LEVELS.map(WORDS.__getitem__) | st.sampled_from("*#"), min_size=1, max_size=4).map(".".join)
QUEUES = ("q1", "q2", "q3")
SESSIONS = st.integers(1, 3).map(ClientSessionId)
SHARES = st.sampled_from([None, None, "g", "h"])


def filter_matches(filter: str, levels: list[str]) -> bool:
    """MQTT 5, 4.7."""
    wanted = filter.split("/")
    if levels[0].startswith("$") and wanted[0] in ("+", "#"):
        return False  # [MQTT-4.7.2-1]
    if wanted[-1] == "#":
        wanted.pop()
        if len(levels) < len(wanted):
            return False
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(want in ("+", level) for want, level in zip(wanted, levels, strict=True))


def binding_matches(binding_key: str, words: list[str], hidden: bool) -> bool:
    """Each word of the key is written with a dot before it, so that ``#`` can be any such words."""
    wanted = binding_key.split(".")
    if hidden and wanted[0] in ("*", "#"):
        return False
    wildcards = {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}
    pattern = "".join(wildcards.get(word, r"\." + re.escape(word)) for word in wanted)
    return re.fullmatch(pattern, "".join(f".{word}" for word in words)) is not None


class SubscriptionsAgainstSlowMatchers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.router = Router()
        self.router.declare_exchange(TOPICS, "topic")
        for id, queue in enumerate(QUEUES, 1):
            self.router.declare_queue(QueueName(queue), QueueId(id))
        self.subscriptions: dict[tuple[int, str | None, str], Subscription] = {}
        self.bindings: set[tuple[str, str]] = set()

    @rule(session=SESSIONS, share=SHARES, filter=FILTERS, qos=st.integers(0, 2))
    def subscribe(self, session: ClientSessionId, share: str | None, filter: str, qos: int) -> None:
        subscription = Subscription(session, filter, share, qos)
        key = (session, share, filter)
        assert self.router.put_subscription(subscription) == (key not in self.subscriptions)
        self.subscriptions[key] = subscription

    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        if self.subscriptions:
            key = data.draw(st.sampled_from(sorted(self.subscriptions, key=repr)))
            subscription = self.subscriptions.pop(key)
            assert self.router.drop_subscription(subscription)
            assert not self.router.drop_subscription(subscription)

    @rule(queue=st.sampled_from(QUEUES), key=BINDING_KEYS)
    def bind(self, queue: str, key: str) -> None:
        assert self.router.bind(self.binding(queue, key)) == ((queue, key) not in self.bindings)
        self.bindings.add((queue, key))

    @rule(data=st.data())
    def unbind(self, data: st.DataObject) -> None:
        if self.bindings:
            queue, key = data.draw(st.sampled_from(sorted(self.bindings)))
            assert self.router.unbind(self.binding(queue, key))
            self.bindings.discard((queue, key))

    @staticmethod
    def binding(queue: str, key: str) -> Binding:
        return Binding.of(BindingSpec(TOPICS, queue, RoutingKey(key), False, {}))

    @rule(levels=NAMES)
    def publish_by_mqtt(self, levels: list[str]) -> None:
        topic = "/".join(levels)
        if topic:
            self.check(levels, MessageRun.of(0, [(b"amq.topic", topic.encode(), b"", b"", 0, None)], ORIGIN_MQTT), True)

    @rule(levels=NAMES)
    def publish_by_amqp(self, levels: list[str]) -> None:
        """``$`` is nothing special to AMQP's bindings, and to MQTT's filters it is whoever publishes."""
        key = ".".join(WORDS[level] for level in levels)
        self.check(levels, MessageRun.of(0, [(b"amq.topic", key.encode(), b"", b"", 0, None)]), False)

    def check(self, levels: list[str], run: MessageRun, by_mqtt: bool) -> None:
        (key,) = run.keys()
        reach = self.router.reach(key)
        assert reach is not None
        hidden = by_mqtt and levels[0].startswith("$")
        words = [WORDS[level] for level in levels]
        queues = {QUEUES.index(queue) + 1 for queue, key in self.bindings if binding_matches(key, words, hidden)}
        assert reach.queues == tuple(sorted(queues))
        matching = [each for each in self.subscriptions.values() if filter_matches(each.filter, levels)]
        assert sorted(reach.subscriptions, key=repr) == sorted(matching, key=repr)
        for session in {subscription.session for subscription in self.subscriptions.values()}:
            own = [each for each in self.subscriptions.values() if each.session == session]
            table = self.router.subscriptions.of_session(session)
            assert sorted(table, key=repr) == sorted(own, key=repr)


TestSubscriptionsAgainstSlowMatchers = pytest.mark.slow(SubscriptionsAgainstSlowMatchers.TestCase)
