"""Clients' sessions against a slow model: whatever comes and goes, each client is sent what the model says.

Limits are not reached: queues hold all of it, and there are packet ids for all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.model import client_sessions as cs
from kernel import PacketIds
from tests.core.clients import PUBACK, PUBCOMP, PUBREC, Client
from tests.core.node import Node

DAY_S = 86_400
BRIEF_S = 10
FILTERS = ("t/+", "t/a", "t/#")
TOPICS = ("t/a", "t/b", "t")
SHARE, SHARED_FILTER, SHARED_TOPIC = "g", "s/#", "s/x"
CLIENTS = st.sampled_from(["c0", "c1", "c2"])
WAITS_MS = st.sampled_from([4_000, 7_000])
"""No sum of them is ``BRIEF_S``, so that the model need not say what happens at that very moment."""


def matches(filter: str, topic: str) -> bool:
    return {"t/+": topic in ("t/a", "t/b"), "t/a": topic == "t/a", "t/#": topic.startswith("t")}[filter]


class Slow:
    """A session as the specification has it."""

    def __init__(self, durable: bool) -> None:
        self.durable = durable
        self.expiry_s = 0
        self.client: Client | None = None
        self.detached_ms = 0
        self.filters: dict[str, int] = {}
        self.shares = False
        self.again: list[tuple[int, str]] = []
        """What was sent, not acknowledged, and is to be sent again first: packet ids and bodies."""
        self.due: list[str] = []
        """New, at QoS 1 or 2."""
        self.due_once: list[str] = []
        """At QoS 0."""
        self.unacknowledged: list[tuple[int, str]] = []
        self.owed: list[int] = []
        """Packet ids for which PUBREL was or is to be sent."""
        self.last_id = 0

    def lose(self, now_ms: int) -> None:
        self.client = None
        self.detached_ms = now_ms
        self.again = self.unacknowledged + self.again
        self.unacknowledged = []
        self.due_once = []

    def lasts(self, now_ms: int) -> bool:
        if self.client is not None:
            return True
        return self.durable and self.expiry_s > 0 and now_ms < self.detached_ms + self.expiry_s * 1000


class ClientsAgainstModel(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.node = Node(Path(self.directory.name))
        self.starts = 1
        self.sessions: dict[str, Slow] = {}
        self.shared: dict[str, list[Slow]] = {}
        """What was published to those who share and is not seen: whose turn it may have been."""
        self.count = 0
        self.connect_publisher()

    def teardown(self) -> None:
        self.node.journal.abandon()
        self.directory.cleanup()

    def connect_publisher(self) -> None:
        self.publisher = Client(self.node, "p")
        self.publisher.attach(clean=False, expiry_s=DAY_S)

    @property
    def now_ms(self) -> int:
        return self.node.wall_ms

    def attached(self) -> Iterator[tuple[Slow, Client]]:
        for session in self.sessions.values():
            if session.client is not None:
                yield session, session.client

    def find(self, name: str) -> tuple[Slow, Client] | None:
        session = self.sessions.get(name)
        return None if session is None or session.client is None else (session, session.client)

    def forget(self, name: str) -> None:
        """The session is over, and so is what only it would have been sent."""
        session = self.sessions.pop(name)
        session.client = None
        self.shared = {body: turns for body, turns in self.shared.items() if session not in turns}

    # ---- coming and going

    @rule(name=CLIENTS, clean=st.booleans(), expiry_s=st.sampled_from([0, BRIEF_S, DAY_S, cs.NEVER]))
    def attach(self, name: str, clean: bool, expiry_s: int) -> None:
        """Also while another connection has the session: that one is told so."""
        session = self.sessions.get(name)
        before = None if session is None else session.client
        goes_on = session is not None and session.durable and not clean and session.lasts(self.now_ms)
        if session is not None and before is not None:
            session.lose(self.now_ms)
            goes_on = goes_on and session.expiry_s > 0
        client = Client(self.node, name)
        assert client.attach(clean, expiry_s) == goes_on
        if before is not None:
            assert any(isinstance(reply, cs.SessionTaken) for reply in before.run())
            before.lose()
        if not goes_on:
            if session is not None:
                self.forget(name)
            self.sessions[name] = Slow(expiry_s > 0)
        session = self.sessions[name]
        session.client, session.expiry_s = client, expiry_s
        due = [reply.packet_ids.to_list() for reply in client.replies if isinstance(reply, cs.ReleaseDue)]
        assert due == ([session.owed] if session.owed else [])

    @rule(name=CLIENTS, goodbye=st.booleans(), expiry_s=st.sampled_from([None, None, 0, DAY_S]))
    def lose(self, name: str, goodbye: bool, expiry_s: int | None) -> None:
        found = self.find(name)
        if found is None:
            return
        session, client = found
        if goodbye:
            client.detach(expiry_s=expiry_s if session.expiry_s else None)
            if expiry_s is not None and session.expiry_s:
                session.expiry_s = expiry_s
        else:
            client.lose()
        session.lose(self.now_ms)
        if not session.lasts(self.now_ms):
            self.forget(name)

    @rule()
    def crash(self) -> None:
        self.node.journal.abandon()
        self.starts += 1
        self.node = Node(Path(self.directory.name), self.starts, wall_ms=self.now_ms)
        for name, session in list(self.sessions.items()):
            if session.client is not None:
                session.lose(self.now_ms)
            if not session.lasts(self.now_ms):
                self.forget(name)
        self.connect_publisher()

    @rule(ms=WAITS_MS)
    def wait(self, ms: int) -> None:
        self.node.wait(ms)
        for name, session in list(self.sessions.items()):
            if not session.lasts(self.now_ms):
                self.forget(name)
        left = {row.client_id for row in self.node.broker.back.topology.sessions()}
        assert left - {"p"} == set(self.sessions)

    # ---- subscribing

    @rule(name=CLIENTS, filter=st.sampled_from(FILTERS), qos=st.integers(0, 2))
    def subscribe(self, name: str, filter: str, qos: int) -> None:
        found = self.find(name)
        if found is not None:
            found[1].subscribe(filter, qos)
            found[0].filters[filter] = qos

    @rule(name=CLIENTS)
    def share(self, name: str) -> None:
        found = self.find(name)
        if found is not None:
            found[1].subscribe(SHARED_FILTER, 2, share=SHARE)
            found[0].shares = True

    @rule(name=CLIENTS, filter=st.sampled_from([*FILTERS, SHARED_FILTER]))
    def unsubscribe(self, name: str, filter: str) -> None:
        found = self.find(name)
        if found is None:
            return
        session, client = found
        shared = filter == SHARED_FILTER
        there = session.shares if shared else filter in session.filters
        replies = client.ask(cs.Unsubscribe([(SHARE if shared else None, filter)]))
        assert [reply.found for reply in replies if isinstance(reply, cs.Unsubscribed)] == [[there]]
        if shared:
            session.shares = False
        else:
            session.filters.pop(filter, None)

    # ---- publishing

    def bodies(self, prefix: str, count: int) -> list[str]:
        self.count += count
        return [f"{prefix}{number:06}" for number in range(self.count - count, self.count)]

    @rule(topic=st.sampled_from(TOPICS), qos=st.integers(0, 2), count=st.integers(1, 3), again=st.booleans())
    def publish(self, topic: str, qos: int, count: int, again: bool) -> None:
        bodies = self.bodies("m", count)
        self.send(topic, qos, bodies, again)
        for session in self.sessions.values():
            granted = max((asked for filter, asked in session.filters.items() if matches(filter, topic)), default=None)
            if granted is None:
                continue
            if min(granted, qos):
                session.due += bodies
            elif session.client is not None:
                session.due_once += bodies

    @rule(qos=st.integers(1, 2), count=st.integers(1, 3))
    def publish_to_those_who_share(self, qos: int, count: int) -> None:
        bodies = self.bodies("s", count)
        members = [session for session in self.sessions.values() if session.shares]
        connected = [session for session in members if session.client is not None]
        if members:
            self.shared.update({body: connected or members for body in bodies})
        self.send(SHARED_TOPIC, qos, bodies, False)

    def send(self, topic: str, qos: int, bodies: list[str], again: bool) -> None:
        """At QoS 2 one by one, perhaps twice before it is released."""
        if qos < 2:
            self.publisher.publish(*bodies, topic=topic, qos=qos)
            return
        for packet_id, body in enumerate(bodies, 1):
            for _ in range(1 + again):
                self.publisher.publish_once(body, packet_id, topic)
        self.publisher.ask(cs.Release(PacketIds.of(range(1, len(bodies) + 1))))

    # ---- acknowledging

    @rule(name=CLIENTS, kinds=st.lists(st.sampled_from([PUBACK, PUBREC]), min_size=1, max_size=5))
    def acknowledge(self, name: str, kinds: list[int]) -> None:
        found = self.find(name)
        if found is None:
            return
        session, client = found
        for kind, (packet_id, _) in zip(kinds, list(session.unacknowledged), strict=False):
            replies = client.acknowledge(packet_id, kind=kind)
            due = [reply.packet_ids.to_list() for reply in replies if isinstance(reply, cs.ReleaseDue)]
            assert due == ([[packet_id]] if kind == PUBREC else [])
            if kind == PUBREC:
                session.owed.append(packet_id)
            del session.unacknowledged[0]

    @rule(name=CLIENTS)
    def complete(self, name: str) -> None:
        found = self.find(name)
        if found is not None and found[0].owed:
            found[1].acknowledge(found[0].owed.pop(0), kind=PUBCOMP)

    # ---- what is to be seen

    @invariant()
    def each_is_sent_what_the_model_says(self) -> None:
        for session, client in self.attached():
            sent = client.take_sent()
            assert [body for packet_id, body in sent if packet_id is None] == session.due_once
            numbered = [(packet_id, body) for packet_id, body in sent if packet_id is not None]
            self.check_numbered(session, numbered)
            session.due_once = []
        for body, turns in self.shared.items():
            assert any(session.client is None for session in turns), f"{body} is nobody's"

    def check_numbered(self, session: Slow, numbered: list[tuple[int, str]]) -> None:
        again, new = numbered[: len(session.again)], numbered[len(session.again) :]
        assert again == session.again
        assert [body for _, body in new if body.startswith("m")] == session.due
        shared = [body for _, body in new if body.startswith("s")]
        assert shared == sorted(shared)
        for body in shared:
            assert session in self.shared.pop(body)
        ids = [packet_id for packet_id, _ in new]
        assert ids == sorted(set(ids))
        assert not ids or ids[0] > session.last_id
        session.last_id = ids[-1] if ids else session.last_id
        session.unacknowledged += numbered
        session.again, session.due = [], []


ClientsAgainstModel.TestCase.settings = settings(max_examples=40, stateful_step_count=40)  # each on a disk of its own
TestClientsAgainstModel = pytest.mark.slow(ClientsAgainstModel.TestCase)
