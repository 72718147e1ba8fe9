"""The topology's tables: what there is, what is found from where, and which rows changed.

They ask no questions: whoever changes them has asked.  Logged and volatile things lie in the same tables, so that a
name is taken once; only what is logged leaves rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from broker.core.permissions import Permissions
from broker.core.topology_rows import (
    ROW_TYPES,
    BindingRow,
    ClientSessionRow,
    ClusterRow,
    ConnectedRow,
    CounterRow,
    ExchangeRow,
    NameRow,
    NodeRow,
    PermissionRow,
    QueueRow,
    Row,
    ShardRow,
    SubscriptionRow,
    UserRow,
    VhostRow,
    decode_row,
    encode_row,
)
from broker.core.users import Users
from broker.core.volatile_rows import VolatileRows
from broker.model.names import (
    ClientId,
    ClientSessionId,
    ExchangeName,
    PeerId,
    QueueId,
    QueueName,
    SessionId,
    ShardId,
    VhostName,
)
from routing.bindings import Binding
from routing.router import Router
from routing.subscriptions import Subscription

VOLATILE_ID_FIRST = 1 << 63
"""Volatile things count from here, by themselves: replicas don't know of them."""


class Vhost:
    """What is in one vhost."""

    def __init__(self, row: VhostRow) -> None:
        self.row = row
        self.exchanges: dict[ExchangeName, ExchangeRow] = {}
        self.queues: dict[QueueName, QueueRow] = {}
        self.sessions: dict[ClientId, ClientSessionRow] = {}
        self.router = Router()

    def is_volatile(self, binding: Binding) -> bool:
        """A binding lives no longer than either of its ends.  Both are there."""
        if self.exchanges[binding.source].volatile:
            return True
        if binding.to_exchange:
            return self.exchanges[ExchangeName(binding.destination)].volatile
        return self.queues[QueueName(binding.destination)].volatile


class TopologyTables:
    def __init__(self) -> None:
        self.vhosts: dict[VhostName, Vhost] = {}
        self.users = Users()
        self.permissions = Permissions()
        self.queues: dict[QueueId, QueueRow] = {}
        self.sessions: dict[ClientSessionId, ClientSessionRow] = {}
        self.connected: dict[ClientSessionId, dict[int, ConnectedRow]] = {}
        """Of sessions that last and share subscriptions, those whose clients are there, as their leaders say."""
        self.queues_of_session: dict[SessionId, dict[QueueId, None]] = {}
        self.cluster: ClusterRow | None = None
        self.nodes: dict[PeerId, NodeRow] = {}
        self.shards: dict[ShardId, ShardRow] = {}
        self.names: dict[bytes, NameRow] = {}
        """Of volatile things, by the keys of their rows."""
        self.rights_generation = 0
        self._next_id = 1
        self._next_volatile_id = VOLATILE_ID_FIRST
        self._changed: dict[bytes, Row | None] = {}
        self._rows: dict[bytes, Row] = {}
        self.volatile = VolatileRows()

    # Ids and rows

    def take_id(self, proposed: int = 0, *, volatile: bool = False) -> int:
        """``proposed``, or the next one if that may have been given."""
        if volatile:
            taken = max(proposed, self._next_volatile_id)
            self._next_volatile_id = taken + 1
            return taken
        taken = max(proposed, self._next_id)
        assert taken < VOLATILE_ID_FIRST, proposed
        self._next_id = taken + 1
        self._write(CounterRow(self._next_id))
        return taken

    def number_volatile(self, base: int) -> None:
        """Ids of volatile things begin there: a node's own, told from other nodes'."""
        self._next_volatile_id = max(self._next_volatile_id, VOLATILE_ID_FIRST + base)

    def take_changed(self) -> list[tuple[bytes, bytes | None]]:
        """In the order of the keys, which is the same on every replica."""
        changed, self._changed = self._changed, {}
        return [(key, None if row is None else encode_row(row)) for key, row in sorted(changed.items(), key=_key_of)]

    def restore(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """In any order.  Raises ValueError for rows that don't belong together or can't be read."""
        by_kind: dict[type[Row], list[Row]] = {type: [] for type in ROW_TYPES.values()}
        for key, value in rows:
            row = decode_row(key, value)
            by_kind[type(row)].append(row)
        for row in (row for kind in by_kind.values() for row in kind):
            try:
                RESTORES[type(row)](self, row)
            except KeyError as error:
                raise ValueError(f"topology row {row.key()!r} names what is not there: {error}") from error
        self._changed.clear()

    def rows(self) -> Mapping[bytes, Row]:
        """All that is logged, by key."""
        return self._rows

    def _write(self, row: Row) -> None:
        key = row.key()
        self._changed[key] = self._rows[key] = row

    def _erase(self, row: Row) -> None:
        key = row.key()
        self._changed[key] = None
        self._rows.pop(key, None)

    def _put(self, row: Row, volatile: bool) -> None:
        if volatile:
            self.volatile.put(row)
        else:
            self._write(row)

    def _drop(self, row: Row, volatile: bool) -> None:
        if volatile:
            self.volatile.drop(row)
        else:
            self._erase(row)

    # Users and rights

    def put_user(self, row: UserRow) -> None:
        self.users.put(row)
        self._write(row)
        self.rights_generation += 1

    def drop_user(self, row: UserRow) -> None:
        self.users.drop(row.name)
        self._erase(row)
        for permission in self.permissions.of_user(row.name):
            self.drop_permission(permission)

    def put_permission(self, row: PermissionRow) -> None:
        """Raises ValueError for a pattern that is none."""
        self.permissions.put(row)
        self._write(row)
        self.rights_generation += 1

    def drop_permission(self, row: PermissionRow) -> None:
        self.permissions.drop(row.user, row.vhost)
        self._erase(row)
        self.rights_generation += 1

    # Vhosts, exchanges, queues, bindings

    def put_vhost(self, row: VhostRow) -> None:
        self.vhosts[row.name] = Vhost(row)
        self._write(row)
        self.rights_generation += 1

    def drop_vhost(self, vhost: Vhost) -> None:
        for queue in list(vhost.queues.values()):
            self.drop_queue(queue)
        for exchange in list(vhost.exchanges.values()):
            self.drop_exchange(exchange)
        for session in list(vhost.sessions.values()):
            self.drop_session(session)
        for permission in self.permissions.of_vhost(vhost.row.name):
            self.drop_permission(permission)
        for name in [row for row in self.names.values() if row.vhost == vhost.row.name]:
            self.drop_name(name)
        del self.vhosts[vhost.row.name]
        self._erase(vhost.row)
        self.rights_generation += 1

    def put_exchange(self, row: ExchangeRow) -> None:
        vhost = self.vhosts[row.vhost]
        vhost.router.declare_exchange(row.spec.name, row.spec.type, row.alternate)
        vhost.exchanges[row.spec.name] = row
        self._put(row, row.volatile)
        self.rights_generation += 1

    def mark_bound(self, row: ExchangeRow) -> None:
        """A logged exchange was bound from for the first time."""
        bound = msgspec.structs.replace(row, bound=True)
        self.vhosts[row.vhost].exchanges[row.spec.name] = bound
        self._write(bound)

    def drop_exchange(self, row: ExchangeRow) -> list[Binding]:
        """Returns the bindings that went with it."""
        vhost = self.vhosts[row.vhost]
        bindings = vhost.router.bindings
        gone = list(dict.fromkeys((*bindings.of_source(row.spec.name), *bindings.of_exchange(row.spec.name))))
        for binding in gone:
            self.unbind(row.vhost, binding)
        vhost.router.delete_exchange(row.spec.name)
        del vhost.exchanges[row.spec.name]
        self._drop(row, row.volatile)
        self.rights_generation += 1
        return gone

    def put_queue(self, row: QueueRow) -> None:
        vhost = self.vhosts[row.vhost]
        vhost.router.declare_queue(row.spec.name, row.queue_id)
        vhost.queues[row.spec.name] = row
        self.queues[row.queue_id] = row
        if row.spec.exclusive:
            self.queues_of_session.setdefault(row.owner, {})[row.queue_id] = None
        self._put(row, row.volatile)

    def drop_queue(self, row: QueueRow) -> list[Binding]:
        """Returns the bindings that went with it."""
        vhost = self.vhosts[row.vhost]
        gone = list(vhost.router.bindings.of_queue(row.spec.name))
        for binding in gone:
            self.unbind(row.vhost, binding)
        vhost.router.delete_queue(row.spec.name)
        del vhost.queues[row.spec.name]
        del self.queues[row.queue_id]
        if row.spec.exclusive:
            owned = self.queues_of_session[row.owner]
            del owned[row.queue_id]
            if not owned:
                del self.queues_of_session[row.owner]
        self._drop(row, row.volatile)
        return gone

    # Clients' sessions

    def put_session(self, row: ClientSessionRow) -> None:
        self.vhosts[row.vhost].sessions[row.client_id] = row
        self.sessions[row.session_id] = row
        self._put(row, not row.durable)

    def drop_session(self, row: ClientSessionRow) -> None:
        """And its subscriptions."""
        vhost = self.vhosts[row.vhost]
        for subscription in vhost.router.subscriptions.of_session(row.session_id):
            self.drop_subscription(row.vhost, subscription)
        for connected in list(self.connected.get(row.session_id, {}).values()):
            self.drop_connected(connected)
        del vhost.sessions[row.client_id]
        del self.sessions[row.session_id]
        self._drop(row, not row.durable)

    def put_connected(self, row: ConnectedRow) -> None:
        self.sessions[row.session]
        self.connected.setdefault(row.session, {})[row.node] = row
        self._put(row, volatile=True)

    def drop_connected(self, row: ConnectedRow) -> None:
        rows = self.connected[row.session]
        del rows[row.node]
        if not rows:
            del self.connected[row.session]
        self._drop(row, volatile=True)

    def put_subscription(self, vhost: VhostName, subscription: Subscription) -> None:
        durable = self.sessions[subscription.session].durable
        self.vhosts[vhost].router.put_subscription(subscription)
        self._put(SubscriptionRow(vhost, subscription), not durable)

    def drop_subscription(self, vhost: VhostName, subscription: Subscription) -> bool:
        """False if there was none."""
        dropped = self.vhosts[vhost].router.drop_subscription(subscription)
        if dropped:
            self._drop(SubscriptionRow(vhost, subscription), not self.sessions[subscription.session].durable)
        return dropped

    def bind(self, vhost_name: VhostName, binding: Binding) -> bool:
        vhost = self.vhosts[vhost_name]
        volatile = vhost.is_volatile(binding)
        added = vhost.router.bind(binding)
        if added:
            self._put(BindingRow(vhost_name, binding), volatile)
        return added

    def unbind(self, vhost_name: VhostName, binding: Binding) -> bool:
        vhost = self.vhosts[vhost_name]
        removed = vhost.router.unbind(binding)
        if removed:
            self._drop(BindingRow(vhost_name, binding), vhost.is_volatile(binding))
        return removed

    # Nodes and shards

    def put_cluster(self, row: ClusterRow) -> None:
        self.cluster = row
        self._write(row)

    def put_node(self, row: NodeRow) -> None:
        self.nodes[row.peer] = row
        self._write(row)

    def drop_node(self, row: NodeRow) -> None:
        del self.nodes[row.peer]
        self._erase(row)

    def put_name(self, row: NameRow) -> None:
        """Raises KeyError if there is no such vhost."""
        self.vhosts[row.vhost]
        self.names[row.thing] = row
        self._write(row)

    def drop_name(self, row: NameRow) -> None:
        del self.names[row.thing]
        self._erase(row)

    def put_shard(self, row: ShardRow) -> None:
        """Raises KeyError if it names a node that isn't there."""
        for peer in row.replicas:
            self.nodes[peer]
        self.shards[row.shard] = row
        self._write(row)


def _key_of(changed: tuple[bytes, Row | None]) -> bytes:
    return changed[0]


def _restore_counter(tables: TopologyTables, row: CounterRow) -> None:
    tables._next_id = row.next_id
    tables._write(row)


RESTORES: dict[type[Row], Callable[[TopologyTables, Any], object]] = {
    CounterRow: _restore_counter,
    VhostRow: TopologyTables.put_vhost,
    UserRow: TopologyTables.put_user,
    PermissionRow: TopologyTables.put_permission,
    ExchangeRow: TopologyTables.put_exchange,
    QueueRow: TopologyTables.put_queue,
    BindingRow: lambda tables, row: tables.bind(row.vhost, row.binding),
    ClientSessionRow: TopologyTables.put_session,
    ConnectedRow: TopologyTables.put_connected,
    SubscriptionRow: lambda tables, row: tables.put_subscription(row.vhost, row.subscription),
    ClusterRow: TopologyTables.put_cluster,
    NodeRow: TopologyTables.put_node,
    ShardRow: TopologyTables.put_shard,
    NameRow: TopologyTables.put_name,
}
