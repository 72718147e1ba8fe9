"""One function for each topology command: asks its questions of the tables, then changes them.

A logged command must leave the same rows whatever volatile things there are: it looks past them or drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from broker.core import declarations, membership
from broker.core.outcomes import Applied, Outcome, Refused
from broker.core.resources import exchange_resource, queue_resource
from broker.core.topology_commands import (
    Bind,
    CreateClientSession,
    CreateVhost,
    DeclareExchange,
    DeclareQueue,
    DeleteClientSession,
    DeleteExchange,
    DeletePermission,
    DeleteQueue,
    DeleteUser,
    DeleteVhost,
    DropNode,
    DropSubscriptions,
    FoundCluster,
    FreeName,
    FreeNames,
    MarkLeaving,
    PutNode,
    PutPermission,
    PutShard,
    PutSubscriptions,
    PutUser,
    ReserveName,
    TopologyCommand,
    Touch,
    Unbind,
)
from broker.core.topology_rows import (
    ClientSessionRow,
    ExchangeRow,
    NameRow,
    PermissionRow,
    QueueRow,
    UserRow,
    VhostRow,
)
from broker.core.topology_tables import TopologyTables, Vhost
from broker.core.volatile_rows import OWN
from broker.model.names import NO_SESSION, ClientSessionId, ExchangeName, QueueId, QueueName, UserName, VhostName
from broker.model.refusals import Refusal
from broker.model.topology import ExchangeSpec
from routing.bindings import Binding
from routing.router import DEFAULT_EXCHANGE

PREDECLARED = (
    ExchangeSpec(ExchangeName("amq.direct"), "direct", durable=True),
    ExchangeSpec(ExchangeName("amq.fanout"), "fanout", durable=True),
    ExchangeSpec(ExchangeName("amq.topic"), "topic", durable=True),
    ExchangeSpec(ExchangeName("amq.rabbitmq.trace"), "topic", durable=True, internal=True),
)
"""What a vhost begins with, beside the default exchange."""


def vhost_not_found(vhost: VhostName) -> Refused:
    return Refused(Refusal.VHOST_NOT_FOUND, f"vhost {vhost} not found")


def _user_not_found(user: UserName) -> Refused:
    return Refused(Refusal.NOT_FOUND, f"no user '{user}'")


def create_vhost(tables: TopologyTables, command: CreateVhost, now_ms: int) -> Outcome:
    if command.name in tables.vhosts:
        return Applied(changed=False)
    if refused := declarations.check_name_size("vhost", command.name):
        return refused
    tables.put_vhost(VhostRow(command.name, now_ms, tables.take_id(), command.retained_shard))
    for spec in PREDECLARED:
        tables.put_exchange(ExchangeRow(command.name, spec, tables.take_id(), now_ms))
    return Applied(changed=True)


def delete_vhost(tables: TopologyTables, command: DeleteVhost, now_ms: int) -> Outcome:
    vhost = tables.vhosts.get(command.name)
    if vhost is None:
        return vhost_not_found(command.name)
    queues = sorted(vhost.queues.values(), key=lambda row: row.queue_id)
    sessions = sorted(vhost.sessions.values(), key=lambda row: row.session_id)
    tables.drop_vhost(vhost)
    return Applied(changed=True, queues_dropped=tuple(queues), sessions_dropped=tuple(sessions))


def put_user(tables: TopologyTables, command: PutUser, now_ms: int) -> Outcome:
    if refused := declarations.check_name_size("user", command.name):
        return refused
    there = tables.users.find(command.name)
    created_ms = now_ms if there is None else there.created_ms
    tables.put_user(UserRow(command.name, command.password, command.tags, created_ms))
    return Applied(changed=True)


def delete_user(tables: TopologyTables, command: DeleteUser, now_ms: int) -> Outcome:
    row = tables.users.find(command.name)
    if row is None:
        return _user_not_found(command.name)
    tables.drop_user(row)
    return Applied(changed=True)


def put_permission(tables: TopologyTables, command: PutPermission, now_ms: int) -> Outcome:
    if tables.users.find(command.user) is None:
        return _user_not_found(command.user)
    if command.vhost not in tables.vhosts:
        return vhost_not_found(command.vhost)
    row = PermissionRow(command.user, command.vhost, command.configure, command.write, command.read)
    try:
        tables.put_permission(row)
    except ValueError as error:
        return declarations.precondition_failed(f"invalid pattern in a permission: {error}")
    return Applied(changed=True)


def delete_permission(tables: TopologyTables, command: DeletePermission, now_ms: int) -> Outcome:
    row = tables.permissions.find(command.user, command.vhost)
    if row is None:
        return Refused(Refusal.NOT_FOUND, f"no permission of user '{command.user}' in vhost '{command.vhost}'")
    tables.drop_permission(row)
    return Applied(changed=True)


def declare_exchange(tables: TopologyTables, command: DeclareExchange, now_ms: int) -> Outcome:
    vhost = tables.vhosts.get(command.vhost)
    if vhost is None:
        return vhost_not_found(command.vhost)
    if refused := declarations.check_exchange_declaration(command):
        return refused
    new = ExchangeRow(command.vhost, command.spec, 0, now_ms)
    there = vhost.exchanges.get(command.spec.name)
    follow_ups: tuple[TopologyCommand, ...] = ()
    if there is not None and there.volatile and not new.volatile:
        follow_ups = reap(tables, vhost, tables.drop_exchange(there))
    elif there is not None:
        return declarations.check_same_exchange(command, there) or Applied(changed=False)
    elif refused := declarations.check_new_exchange(command):
        return refused
    exchange_id = tables.take_id(volatile=new.volatile)
    tables.put_exchange(ExchangeRow(command.vhost, command.spec, exchange_id, now_ms))
    return Applied(changed=True, follow_ups=follow_ups)


def delete_exchange(tables: TopologyTables, command: DeleteExchange, now_ms: int) -> Outcome:
    vhost = tables.vhosts.get(command.vhost)
    if vhost is None:
        return vhost_not_found(command.vhost)
    if refused := declarations.check_exchange_deletion(command):
        return refused
    row = vhost.exchanges.get(command.name)
    if row is None or command.exchange_id not in (None, row.exchange_id):
        return Applied(changed=False)
    if command.if_unused and any(
        row.volatile or not vhost.is_volatile(binding) for binding in vhost.router.bindings.of_source(command.name)
    ):
        return declarations.in_use(row)
    removed = tables.drop_exchange(row)
    return Applied(changed=True, follow_ups=reap(tables, vhost, removed))


def bind(tables: TopologyTables, command: Bind, now_ms: int) -> Outcome:
    vhost = tables.vhosts.get(command.vhost)
    if vhost is None:
        return vhost_not_found(command.vhost)
    if refused := _check_ends(vhost, command):
        return refused
    binding = Binding.of(command.spec)
    added = tables.bind(command.vhost, binding)
    source = vhost.exchanges[binding.source]
    if not source.bound and not vhost.is_volatile(binding):
        tables.mark_bound(source)
    return Applied(changed=added)


def unbind(tables: TopologyTables, command: Unbind, now_ms: int) -> Outcome:
    """One that isn't there is unbound already."""
    vhost = tables.vhosts.get(command.vhost)
    if vhost is None:
        return vhost_not_found(command.vhost)
    refused = _check_ends(vhost, command)
    if refused is not None:
        return Applied(changed=False) if refused.refusal is Refusal.NOT_FOUND else refused
    binding = Binding.of(command.spec)
    if not tables.unbind(command.vhost, binding):
        return Applied(changed=False)
    return Applied(changed=True, follow_ups=reap(tables, vhost, (binding,)))


def declare_queue(tables: TopologyTables, command: DeclareQueue, now_ms: int) -> Outcome:
    vhost = tables.vhosts.get(command.vhost)
    if vhost is None:
        return vhost_not_found(command.vhost)
    if refused := declarations.check_queue_declaration(command):
        return refused
    spec = command.spec
    owner = command.session if spec.exclusive else NO_SESSION
    new = QueueRow(command.vhost, spec, command.queue_id, command.shard, now_ms, owner)
    there = vhost.queues.get(spec.name)
    dropped: tuple[QueueRow, ...] = ()
    follow_ups: tuple[TopologyCommand, ...] = ()
    if there is not None and there.volatile and not new.volatile:
        follow_ups = reap(tables, vhost, tables.drop_queue(there))
        dropped = (there,)
    elif there is not None:
        return declarations.check_same_queue(command, there) or Applied(changed=False, queue=there)
    queue_id = QueueId(tables.take_id(command.queue_id, volatile=new.volatile))
    row = QueueRow(command.vhost, spec, queue_id, command.shard, now_ms, owner)
    tables.put_queue(row)
    return Applied(changed=True, queue=row, queues_dropped=dropped, follow_ups=follow_ups)


def delete_queue(tables: TopologyTables, command: DeleteQueue, now_ms: int) -> Outcome:
    vhost = tables.vhosts.get(command.vhost)
    if vhost is None:
        return vhost_not_found(command.vhost)
    row = vhost.queues.get(command.name)
    if row is None or command.queue_id not in (None, row.queue_id):
        return Applied(changed=False)
    if refused := declarations.check_owner(row, command.session):
        return refused
    removed = tables.drop_queue(row)
    return Applied(changed=True, queue=row, follow_ups=reap(tables, vhost, removed))


def create_session(tables: TopologyTables, command: CreateClientSession, now_ms: int) -> Outcome:
    """Whoever asks has found none, or deleted it; one that got in between is in the way."""
    vhost = tables.vhosts.get(command.vhost)
    if vhost is None:
        return vhost_not_found(command.vhost)
    there = vhost.sessions.get(command.client_id)
    if there is not None and (there.durable or not command.durable):
        return Refused(Refusal.CLIENT_ID_TAKEN, f"there is a session '{command.client_id}'")
    dropped = () if there is None else (there,)
    for row in dropped:
        tables.drop_session(row)
    volatile = not command.durable
    row = ClientSessionRow(
        command.vhost,
        command.client_id,
        ClientSessionId(tables.take_id(volatile=volatile)),
        QueueId(tables.take_id(volatile=volatile)),
        command.shard,
        command.user,
        command.durable,
    )
    tables.put_session(row)
    return Applied(changed=True, session=row, sessions_dropped=dropped)


def delete_session(tables: TopologyTables, command: DeleteClientSession, now_ms: int) -> Outcome:
    row = tables.sessions.get(command.session_id)
    if row is None:
        return Applied(changed=False)
    tables.drop_session(row)
    return Applied(changed=True, sessions_dropped=(row,))


def put_subscriptions(tables: TopologyTables, command: PutSubscriptions, now_ms: int) -> Outcome:
    """Of a session that is gone: nothing."""
    there = [each for each in command.subscriptions if each.session in tables.sessions]
    for subscription in there:
        tables.put_subscription(command.vhost, subscription)
    return Applied(changed=bool(there))


def drop_subscriptions(tables: TopologyTables, command: DropSubscriptions, now_ms: int) -> Outcome:
    there = [each for each in command.subscriptions if each.session in tables.sessions]
    dropped = [tables.drop_subscription(command.vhost, subscription) for subscription in there]
    return Applied(changed=any(dropped))


def reap(tables: TopologyTables, vhost: Vhost, removed: Iterable[Binding]) -> tuple[TopologyCommand, ...]:
    """After these bindings went: drops volatile auto-delete exchanges that nothing is bound from any more.

    For logged ones that is a decision of the leader's, because volatile bindings count too: returned, to be proposed.
    A volatile one of another node is that node's to drop.
    """
    due: dict[ExchangeName, TopologyCommand] = {}
    waiting = [binding.source for binding in removed]
    while waiting:
        row = vhost.exchanges.get(waiting.pop())
        if row is None or not row.spec.auto_delete or vhost.router.bindings.has_source(row.spec.name):
            continue
        if row.volatile:
            if tables.volatile.find(OWN, row.key()) is not None:
                waiting += [binding.source for binding in tables.drop_exchange(row)]
        else:
            due[row.spec.name] = DeleteExchange(row.vhost, row.spec.name, True, row.exchange_id)
    return tuple(due[name] for name in sorted(due))


def _check_ends(vhost: Vhost, command: Bind | Unbind) -> Refused | None:
    """Both ends are there, and may be bound by whoever asks."""
    spec = command.spec
    if spec.source == DEFAULT_EXCHANGE or (spec.to_exchange and spec.destination == DEFAULT_EXCHANGE):
        return declarations.DEFAULT_REFUSED
    if spec.source not in vhost.exchanges:
        return declarations.not_found(exchange_resource(command.vhost, spec.source))
    if spec.to_exchange:
        if spec.destination in vhost.exchanges:
            return None
        return declarations.not_found(exchange_resource(command.vhost, spec.destination))
    row = vhost.queues.get(QueueName(spec.destination))
    if row is None:
        return declarations.not_found(queue_resource(command.vhost, spec.destination))
    return declarations.check_owner(row, command.session)


def reserve_name(tables: TopologyTables, command: ReserveName, now_ms: int) -> Outcome:
    if command.vhost not in tables.vhosts:
        return vhost_not_found(command.vhost)
    there = tables.names.get(command.thing)
    row = NameRow(command.vhost, command.thing, command.peer, command.incarnation)
    if there == row:
        return Applied(changed=False)
    if there is not None and there.peer != row.peer and (there.peer, there.incarnation) != command.over:
        return Refused(Refusal.RESOURCE_LOCKED, "another node has the name")
    tables.put_name(row)
    return Applied(changed=True, name=row)


def free_name(tables: TopologyTables, command: FreeName, now_ms: int) -> Outcome:
    row = tables.names.get(command.thing)
    if row is None or (row.peer, row.incarnation) != (command.peer, command.incarnation):
        return Applied(changed=False)
    tables.drop_name(row)
    return Applied(changed=True)


def free_names(tables: TopologyTables, command: FreeNames, now_ms: int) -> Outcome:
    of_peer = [row for row in tables.names.values() if row.peer == command.peer]
    old = [row for row in of_peer if row.incarnation < command.incarnation]
    for row in old:
        tables.drop_name(row)
    return Applied(changed=bool(old))


def touch(tables: TopologyTables, command: Touch, now_ms: int) -> Outcome:
    return Applied(changed=False)


CHANGES: dict[type[TopologyCommand], Callable[[TopologyTables, Any, int], Outcome]] = {
    CreateVhost: create_vhost,
    DeleteVhost: delete_vhost,
    PutUser: put_user,
    DeleteUser: delete_user,
    PutPermission: put_permission,
    DeletePermission: delete_permission,
    DeclareExchange: declare_exchange,
    DeleteExchange: delete_exchange,
    Bind: bind,
    Unbind: unbind,
    DeclareQueue: declare_queue,
    DeleteQueue: delete_queue,
    CreateClientSession: create_session,
    DeleteClientSession: delete_session,
    PutSubscriptions: put_subscriptions,
    DropSubscriptions: drop_subscriptions,
    FoundCluster: membership.found_cluster,
    PutNode: membership.put_node,
    MarkLeaving: membership.mark_leaving,
    DropNode: membership.drop_node,
    PutShard: membership.put_shard,
    ReserveName: reserve_name,
    FreeName: free_name,
    FreeNames: free_names,
    Touch: touch,
}
