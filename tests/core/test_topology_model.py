"""The topology against a slow model; its log and its rows each give the same state again."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.core.outcomes import Applied, Outcome, Refused
from broker.core.topology import Topology
from broker.core.topology_commands import (
    Bind,
    CreateVhost,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteQueue,
    TopologyCommand,
    Unbind,
    decode_command,
    encode_command,
)
from broker.model.names import ExchangeName, QueueName, SessionId, ShardId, VhostName
from broker.model.refusals import Refusal
from broker.model.topology import Arguments, BindingSpec, ExchangeSpec, QueueSpec
from routing.bindings import Binding

VHOST = VhostName("/")
PREDECLARED = {"amq.direct", "amq.fanout", "amq.topic", "amq.rabbitmq.trace"}
Rows = dict[bytes, bytes]
ModelBinding = tuple[str, bool, str, str]


class SlowTopology:
    """One vhost's names and bindings in plain sets.  Answers whether anything changed, or with the refusal."""

    def __init__(self) -> None:
        self.exchanges: dict[str, ExchangeSpec] = {}
        self.queues: dict[str, tuple[QueueSpec, int]] = {}
        self.bindings: set[ModelBinding] = set()

    def apply(self, command: TopologyCommand, *, logged: bool) -> bool | Refusal:
        match command:
            case DeclareExchange(spec=spec):
                return self.declare_exchange(spec, evict=logged and self.volatile(True, spec.name))
            case DeclareQueue(spec=queue_spec, session=session):
                return self.declare_queue(queue_spec, session, evict=logged and self.volatile(False, queue_spec.name))
            case DeleteExchange(name=name, if_unused=if_unused):
                return self.delete_exchange(name, if_unused)
            case DeleteQueue(name=queue, session=session):
                return queue in self.queues and (self.locked(queue, session) or self.forget(False, queue))
            case Bind(spec=binding_spec, session=session) | Unbind(spec=binding_spec, session=session):
                s = binding_spec
                binding = (s.source, s.to_exchange, s.destination, s.routing_key)
                return self.change_binding(binding, session, there=isinstance(command, Bind))
        raise AssertionError(command)

    def volatile(self, to_exchange: bool, name: str) -> bool:
        if to_exchange:
            return name in self.exchanges and not self.exchanges[name].durable
        return name in self.queues and (not self.queues[name][0].durable or self.queues[name][0].exclusive)

    def declare_exchange(self, spec: ExchangeSpec, evict: bool) -> bool | Refusal:
        if evict:
            self.forget(True, spec.name)
        if spec.name in self.exchanges:
            return False if self.exchanges[spec.name] == spec else Refusal.PRECONDITION_FAILED
        self.exchanges[spec.name] = spec
        return True

    def declare_queue(self, spec: QueueSpec, session: int, evict: bool) -> bool | Refusal:
        if evict:
            self.forget(False, spec.name)
        owner = session if spec.exclusive else 0
        if spec.name in self.queues:
            there, there_owner = self.queues[spec.name]
            if (there.exclusive, there_owner) != (spec.exclusive, owner):
                return Refusal.RESOURCE_LOCKED
            return False if there == spec else Refusal.PRECONDITION_FAILED
        self.queues[spec.name] = (spec, owner)
        return True

    def delete_exchange(self, name: str, if_unused: bool) -> bool | Refusal:
        if name not in self.exchanges:
            return False
        if if_unused and any(b[0] == name for b in self.bindings):
            return Refusal.PRECONDITION_FAILED
        return self.forget(True, name)

    def change_binding(self, binding: ModelBinding, session: int, there: bool) -> bool | Refusal:
        source, to_exchange, destination, _ = binding
        if source not in self.exchanges or destination not in (self.exchanges if to_exchange else self.queues):
            return Refusal.NOT_FOUND if there else False
        if not to_exchange and (refused := self.locked(destination, session)):
            return refused
        if (binding in self.bindings) == there:
            return False
        if there:
            self.bindings.add(binding)
        else:
            self.bindings.remove(binding)
            self.reap([source])
        return True

    def locked(self, queue: str, session: int) -> Refusal | None:
        spec, owner = self.queues[queue]
        return Refusal.RESOURCE_LOCKED if spec.exclusive and owner != session else None

    def forget(self, to_exchange: bool, name: str) -> bool:
        gone = {b for b in self.bindings if b[1:3] == (to_exchange, name) or (to_exchange and b[0] == name)}
        self.bindings -= gone
        if to_exchange:
            del self.exchanges[name]
        else:
            del self.queues[name]
        self.reap(b[0] for b in gone)
        return True

    def reap(self, sources: Iterable[str]) -> None:
        """Auto-delete exchanges that lost their last binding."""
        for name in set(sources):
            spec = self.exchanges.get(name)
            if spec is not None and spec.auto_delete and not any(b[0] == name for b in self.bindings):
                self.forget(True, name)


NO_ARGUMENTS: Arguments = {}
EXCHANGES = st.sampled_from(["x", "y", "z"]).map(ExchangeName)
QUEUES = st.sampled_from(["a", "b", "c"]).map(QueueName)
SESSIONS = st.sampled_from([SessionId(1), SessionId(2)])
QUEUE_SPECS = st.builds(
    QueueSpec,
    name=QUEUES,
    durable=st.booleans(),
    exclusive=st.sampled_from([False, False, True]),
    auto_delete=st.sampled_from([False, False, True]),
    arguments=st.sampled_from([NO_ARGUMENTS, NO_ARGUMENTS, {"x-max-length": 5}]),
)
EXCHANGE_SPECS = st.builds(
    ExchangeSpec,
    name=EXCHANGES,
    type=st.sampled_from(["direct", "direct", "fanout"]),
    durable=st.booleans(),
    auto_delete=st.booleans(),
)
TO_QUEUES = st.builds(BindingSpec, source=EXCHANGES, destination=QUEUES, routing_key=st.sampled_from(["", "k"]))
TO_EXCHANGES = st.builds(
    BindingSpec, source=EXCHANGES, destination=EXCHANGES, routing_key=st.just(""), to_exchange=st.just(True)
)
BINDS = st.builds(Bind, st.just(VHOST), TO_QUEUES | TO_EXCHANGES, SESSIONS)
COMMANDS = st.one_of(
    st.builds(DeclareQueue, st.just(VHOST), QUEUE_SPECS, st.just(ShardId(1)), session=SESSIONS),
    st.builds(DeclareExchange, st.just(VHOST), EXCHANGE_SPECS),
    BINDS,
    BINDS,
    st.builds(Unbind, st.just(VHOST), TO_QUEUES | TO_EXCHANGES, SESSIONS),
    st.builds(DeleteQueue, st.just(VHOST), QUEUES, session=SESSIONS),
    st.builds(DeleteExchange, st.just(VHOST), EXCHANGES, st.booleans()),
)


def keep(rows: Rows, topology: Topology) -> None:
    """As a checkpoint does."""
    for key, value in topology.rows_changed():
        if value is None:
            del rows[key]
        else:
            rows[key] = value


def shape(outcome: Outcome) -> bool | Refusal:
    return outcome.refusal if isinstance(outcome, Refused) else outcome.changed


class TopologyAgainstModel(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.topology = Topology()
        self.slow = SlowTopology()
        self.log: list[bytes] = []
        self.rows: Rows = {}
        self.submit(CreateVhost(VHOST))

    def submit(self, command: TopologyCommand) -> Outcome:
        """As a front does, and the leader after it; follow-ups at once."""
        logged = not self.topology.is_volatile(command)
        if logged:
            self.log.append(encode_command(command))
        outcome = self.topology.apply(command, len(self.log))
        keep(self.rows, self.topology)
        if isinstance(outcome, Applied):
            for follow_up in outcome.follow_ups:
                self.submit(follow_up)
        return outcome

    @rule(command=COMMANDS, races=st.booleans())
    def apply(self, command: TopologyCommand, races: bool) -> None:
        """``races``: it was admitted before the volatile thing that is in its way came."""
        races = races and not isinstance(command, DeleteExchange)  # then both differ, and should
        logged = not self.topology.is_volatile(command)
        refused = None if races or not logged else self.topology.admit(command)
        if refused is not None:
            assert self.slow.apply(command, logged=False) == refused.refusal
            return
        expected = self.slow.apply(command, logged=logged)
        assert shape(self.submit(command)) == expected

    @invariant()
    def both_hold_the_same(self) -> None:
        topology, slow = self.topology, self.slow
        exchanges = {row.spec.name: row.spec for row in topology.exchanges(VHOST)}
        assert {name: spec for name, spec in exchanges.items() if name not in PREDECLARED} == slow.exchanges
        assert {row.spec.name: (row.spec, row.owner) for row in topology.queues()} == slow.queues
        bindings = [(b.source, b.to_exchange, b.destination, b.routing_key) for b in topology.bindings(VHOST)]
        assert sorted(bindings) == sorted(slow.bindings)
        for session in (1, 2):
            owned = {row.spec.name for row in topology.queues_of_session(SessionId(session))}
            assert owned == {name for name, (_, owner) in slow.queues.items() if owner == session}
        assert topology.unfinished() == [], "every follow-up was submitted"

    @invariant()
    def the_log_alone_gives_the_same_rows(self) -> None:
        """Whatever volatile things there were here that are not there."""
        replica, rows = Topology(), Rows()
        for now_ms, data in enumerate(self.log, 1):
            replica.apply(decode_command(data), now_ms)
            keep(rows, replica)
        assert rows == self.rows

    @invariant()
    def the_rows_alone_give_the_logged_part(self) -> None:
        restored = Topology.from_rows(reversed(self.rows.items()))
        assert restored.rows_changed() == []
        assert restored.queues() == [row for row in self.topology.queues() if not row.volatile]
        assert restored.exchanges(VHOST) == [row for row in self.topology.exchanges(VHOST) if not row.volatile]
        logged = [b for b in self.topology.bindings(VHOST) if not self.is_volatile(b)]
        assert sorted(restored.bindings(VHOST), key=repr) == sorted(logged, key=repr)

    def is_volatile(self, binding: Binding) -> bool:
        slow = self.slow
        return slow.volatile(True, binding.source) or slow.volatile(binding.to_exchange, binding.destination)


TestTopologyAgainstModel = pytest.mark.slow(TopologyAgainstModel.TestCase)
