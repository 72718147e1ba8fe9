"""The meta shard's state machine: vhosts, users, permissions, exchanges, queue rows, bindings.

``apply`` answers every question of state and is deterministic: the same logged commands give the same rows, whatever
volatile things a node has beside them.  So a logged command sees logged things only; where a volatile thing is in its
way, ``admit`` says so before it is proposed, and what slips in between is dropped when it is applied.

Volatile commands (``is_volatile``) are applied by the front itself, at once, and leave no rows.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.core import declarations, membership
from broker.core.outcomes import Outcome, Refused
from broker.core.permissions import Action, NamedCommand, Principal, refused_access, rights_needed
from broker.core.resources import Resource, exchange_resource, queue_resource
from broker.core.topology_changes import CHANGES, vhost_not_found
from broker.core.topology_commands import (
    Bind,
    CreateClientSession,
    DeclareExchange,
    DeclareQueue,
    DeleteClientSession,
    DeleteExchange,
    DeleteQueue,
    DropSubscriptions,
    PasswordHash,
    PutSubscriptions,
    TopologyCommand,
    Unbind,
)
from broker.core.topology_restoring import replace_rows
from broker.core.topology_rows import ClientSessionRow, ClusterRow, ExchangeRow, NodeRow, QueueRow, ShardRow
from broker.core.topology_tables import TopologyTables
from broker.model.names import (
    ClientId,
    ClientSessionId,
    ExchangeName,
    PeerId,
    QueueId,
    QueueName,
    SessionId,
    ShardId,
    UserName,
    VhostName,
)
from broker.model.refusals import Refusal
from routing.bindings import Binding
from routing.router import DEFAULT_EXCHANGE, Router
from routing.subscriptions import Subscription, SubscriptionTable

ADMINISTRATOR = "administrator"
"""A user's tag, as in RabbitMQ."""


class Topology:
    """One for a node.  Rows come out after each apply and go in at the start; all else is questions."""

    def __init__(self) -> None:
        self._tables = TopologyTables()

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[bytes, bytes]]) -> Topology:
        """The logged part, from its rows in any order.  Raises ValueError, naming the row, if it can't be."""
        topology = cls()
        topology._tables.restore(rows)
        return topology

    @property
    def tables(self) -> TopologyTables:
        """For whoever tells other nodes of what is volatile."""
        return self._tables

    def replace(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """The logged part becomes what these say; what is volatile stays as far as it can."""
        replace_rows(self._tables, rows)

    def apply(self, command: TopologyCommand, now_ms: int) -> Outcome:
        """``now_ms`` is the wave's time; for a volatile command, the node's."""
        return CHANGES[type(command)](self._tables, command, now_ms)

    def rows_changed(self) -> list[tuple[bytes, bytes | None]]:
        """What the rows became since this was last asked (None: gone), by key."""
        return self._tables.take_changed()

    # What a front asks before it proposes

    def is_volatile(self, command: TopologyCommand) -> bool:
        """Is it applied at once, and not logged?  What names nothing that is there goes the way of the log."""
        match command:
            case DeclareExchange():
                return not command.spec.durable
            case DeclareQueue():
                return not command.spec.durable or command.spec.exclusive
            case DeleteExchange():
                return self._is_volatile_exchange(command.vhost, command.name)
            case DeleteQueue():
                return self._is_volatile_queue(command.vhost, command.name)
            case Bind() | Unbind():
                spec = command.spec
                if self._is_volatile_exchange(command.vhost, spec.source):
                    return True
                if spec.to_exchange:
                    return self._is_volatile_exchange(command.vhost, ExchangeName(spec.destination))
                return self._is_volatile_queue(command.vhost, QueueName(spec.destination))
            case CreateClientSession() | DeleteClientSession() | PutSubscriptions() | DropSubscriptions():
                return not command.durable
            case _:
                return False

    def admit(self, command: TopologyCommand) -> Refused | None:
        """Is a volatile thing in the way of this logged command, or a node that does not know its kind?

        Apply would not see it.
        """
        if refused := membership.check_version(self._tables, command):
            return refused
        match command:
            case DeclareExchange() if not self.is_volatile(command):
                exchange = self._exchange(command.vhost, command.spec.name)
                if exchange is not None and exchange.volatile:
                    return declarations.check_same_exchange(command, exchange)
            case DeclareQueue() if not self.is_volatile(command):
                queue = self._queue(command.vhost, command.spec.name)
                if queue is not None and queue.volatile:
                    return declarations.check_same_queue(command, queue)
            case DeleteExchange() if command.if_unused:
                exchange = self._exchange(command.vhost, command.name)
                router = self.router(command.vhost)
                if exchange is not None and router is not None and router.bindings.has_source(command.name):
                    return declarations.in_use(exchange)
        return None

    def unfinished(self) -> list[TopologyCommand]:
        """For a new leader: follow-ups that the old one may have died with.  Proposing them twice does no harm."""
        return [
            DeleteExchange(row.vhost, row.spec.name, True, row.exchange_id)
            for name in sorted(self._tables.vhosts)
            for _, row in sorted(self._tables.vhosts[name].exchanges.items())
            if row.spec.auto_delete and row.bound and self.admit(DeleteExchange(name, row.spec.name, True)) is None
        ]

    # Who may

    def has_user(self, user: UserName) -> bool:
        return self._tables.users.find(user) is not None

    def is_administrator(self, user: UserName) -> bool:
        row = self._tables.users.find(user)
        return row is not None and ADMINISTRATOR in row.tags

    def authenticate(self, user: UserName, password: bytes, loopback: bool) -> bool:
        """Is it the user it says?  Takes 1 ms unless this password of this user was right before."""
        return self._tables.users.authenticate(user, password, loopback)

    def scram_keys(self, user: UserName, loopback: bool) -> PasswordHash | None:
        """What a user who may log in is asked by; None: there is no such."""
        return self._tables.users.scram_keys(user, loopback)

    def confirm_scram(self, user: UserName, keys: PasswordHash) -> bool:
        """It has proved to have the password of these keys: is it the user it says?"""
        return self._tables.users.confirm_scram(user, keys)

    def open_vhost(self, principal: Principal, vhost: VhostName) -> Refused | None:
        if vhost not in self._tables.vhosts:
            return vhost_not_found(vhost)
        if not self._tables.permissions.may_enter(principal, vhost):
            detail = f"access to vhost '{vhost}' refused for user '{principal.user}'"
            return Refused(Refusal.VHOST_ACCESS_REFUSED, detail)
        return None

    def authorize(self, principal: Principal, action: Action, resource: Resource) -> Refused | None:
        if self._tables.permissions.authorize(principal, action, resource):
            return None
        return refused_access(principal, action, resource)

    def authorize_any(self, principal: Principal, resource: Resource) -> Refused | None:
        """A passive declaration tells that something is there: to whoever may do anything at all with it."""
        if any(self._tables.permissions.authorize(principal, action, resource) for action in Action):
            return None
        return refused_access(principal, Action.CONFIGURE, resource)

    def authorize_command(self, principal: Principal, command: NamedCommand) -> Refused | None:
        """All that a declaration, deletion or binding needs."""
        refusals = (self.authorize(principal, *right) for right in rights_needed(command))
        return next((refused for refused in refusals if refused is not None), None)

    def admit_publish(self, principal: Principal, vhost: VhostName, exchange: ExchangeName) -> Refused | None:
        """May it publish there?  The answer holds until ``rights_generation`` changes."""
        resource = exchange_resource(vhost, exchange)
        if refused := self.authorize(principal, Action.WRITE, resource):
            return refused
        if exchange == DEFAULT_EXCHANGE:
            return None
        row = self._exchange(vhost, exchange)
        if row is None:
            return declarations.not_found(resource)
        if row.spec.internal:
            return Refused(Refusal.ACCESS_REFUSED, f"cannot publish to internal {resource}")
        return None

    @property
    def rights_generation(self) -> int:
        """Another number whenever authorize, open_vhost or admit_publish may answer otherwise."""
        return self._tables.rights_generation

    # What there is

    def find_exchange(self, vhost: VhostName, name: ExchangeName) -> ExchangeRow | Refused:
        """A passive declaration.  The default exchange can't be declared, not even so."""
        if name == DEFAULT_EXCHANGE:
            return declarations.DEFAULT_REFUSED
        return self._exchange(vhost, name) or declarations.not_found(exchange_resource(vhost, name))

    def find_queue(self, vhost: VhostName, name: QueueName, session: SessionId) -> QueueRow | Refused:
        """For all that names a queue to use it: it is there, and not another session's own."""
        row = self._queue(vhost, name)
        if row is None:
            return declarations.not_found(queue_resource(vhost, name))
        return declarations.check_owner(row, session) or row

    def queue(self, queue_id: QueueId) -> QueueRow | None:
        return self._tables.queues.get(queue_id)

    def queues(self) -> list[QueueRow]:
        """All, in the order of their ids."""
        return [row for _, row in sorted(self._tables.queues.items())]

    def queues_of_session(self, session: SessionId) -> list[QueueRow]:
        """The exclusive queues that go with it."""
        owned = self._tables.queues_of_session.get(session, {})
        return [self._tables.queues[queue_id] for queue_id in sorted(owned)]

    def session(self, session: ClientSessionId) -> ClientSessionRow | None:
        return self._tables.sessions.get(session)

    def sessions(self) -> list[ClientSessionRow]:
        """All, in the order of their ids."""
        return [row for _, row in sorted(self._tables.sessions.items())]

    def take_volatile_id(self) -> QueueId:
        """For a queue that has no row."""
        return QueueId(self._tables.take_id(volatile=True))

    def subscription_table(self, vhost: VhostName) -> SubscriptionTable:
        """Of a vhost that is there; to look at, not to change."""
        return self._tables.vhosts[vhost].router.subscriptions

    def subscriptions(self, row: ClientSessionRow) -> list[Subscription]:
        """A session's."""
        return self.subscription_table(row.vhost).of_session(row.session_id)

    def find_session(self, vhost: VhostName, client_id: ClientId) -> ClientSessionRow | None:
        there = self._tables.vhosts.get(vhost)
        return None if there is None else there.sessions.get(client_id)

    def vhosts(self) -> list[VhostName]:
        return sorted(self._tables.vhosts)

    def exchanges(self, vhost: VhostName) -> list[ExchangeRow]:
        """By name; none if there is no such vhost.  The default exchange has no row."""
        there = self._tables.vhosts.get(vhost)
        return [] if there is None else [row for _, row in sorted(there.exchanges.items())]

    def bindings(self, vhost: VhostName) -> list[Binding]:
        """In no order that means anything; none if there is no such vhost."""
        there = self._tables.vhosts.get(vhost)
        return [] if there is None else list(there.router.bindings)

    def vhost_id(self, vhost: VhostName) -> int:
        """Of a vhost that is there."""
        return self._tables.vhosts[vhost].row.vhost_id

    def retained_shard(self, vhost: VhostName) -> ShardId:
        """Of a vhost that is there: where its retained messages are."""
        return self._tables.vhosts[vhost].row.retained_shard

    def router(self, vhost: VhostName) -> Router | None:
        """To route with, not to change.  None if the vhost is gone."""
        there = self._tables.vhosts.get(vhost)
        return None if there is None else there.router

    # The cluster

    def cluster(self) -> ClusterRow | None:
        """None: this store belongs to a node alone, none was founded yet."""
        return self._tables.cluster

    def nodes(self) -> list[NodeRow]:
        """All, in the order of their peer ids."""
        return [row for _, row in sorted(self._tables.nodes.items())]

    def node(self, peer: PeerId) -> NodeRow | None:
        return self._tables.nodes.get(peer)

    def cluster_version(self) -> int:
        """What every node understands."""
        return membership.cluster_version(self._tables)

    def shard_rows(self) -> list[ShardRow]:
        """In the order of their numbers; none before a cluster is founded."""
        return [row for _, row in sorted(self._tables.shards.items())]

    def shard_row(self, shard: ShardId) -> ShardRow | None:
        return self._tables.shards.get(shard)

    def volatile_owned(self, command: DeleteExchange | Bind | Unbind) -> int | None:
        """The id of the volatile thing with whose node the command's change goes; None: it is logged, or comes to
        nothing.  A binding goes with its destination if that is volatile."""
        if isinstance(command, DeleteExchange):
            source, destination = self._exchange(command.vhost, command.name), None
        else:
            spec = command.spec
            source = self._exchange(command.vhost, spec.source)
            destination = (
                self._exchange(command.vhost, ExchangeName(spec.destination))
                if spec.to_exchange
                else self._queue(command.vhost, QueueName(spec.destination))
            )
            if destination is None:
                return None
        if isinstance(destination, QueueRow) and destination.volatile:
            return destination.queue_id
        if isinstance(destination, ExchangeRow) and destination.volatile:
            return destination.exchange_id
        return source.exchange_id if source is not None and source.volatile else None

    def _exchange(self, vhost: VhostName, name: ExchangeName) -> ExchangeRow | None:
        there = self._tables.vhosts.get(vhost)
        return None if there is None else there.exchanges.get(name)

    def _queue(self, vhost: VhostName, name: QueueName) -> QueueRow | None:
        there = self._tables.vhosts.get(vhost)
        return None if there is None else there.queues.get(name)

    def _is_volatile_exchange(self, vhost: VhostName, name: ExchangeName) -> bool:
        row = self._exchange(vhost, name)
        return row is not None and row.volatile

    def _is_volatile_queue(self, vhost: VhostName, name: QueueName) -> bool:
        row = self._queue(vhost, name)
        return row is not None and row.volatile
