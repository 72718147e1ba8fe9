"""Who may do what: one table, one function that is asked on every path to data.

A user has at most one permission in a vhost: three patterns for the names it may configure, write and read.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from broker.core.declarations import ALTERNATE_EXCHANGE
from broker.core.outcomes import Refused
from broker.core.resources import Resource, ResourceKind, exchange_resource, queue_resource
from broker.core.topology_commands import (
    Bind,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteQueue,
    Unbind,
)
from broker.core.topology_rows import PermissionRow
from broker.model.names import UserName, VhostName
from broker.model.refusals import Refusal
from kernel import NamePattern
from routing.router import DEFAULT_EXCHANGE

DEFAULT_EXCHANGE_ALIAS = "amq.default"
"""What a pattern has to match for the default exchange, as in RabbitMQ."""
NOTHING = "^$"
"""What an empty pattern means, as in RabbitMQ."""


class Action(enum.Enum):
    CONFIGURE = "configure"
    WRITE = "write"
    READ = "read"


class Principal(msgspec.Struct, frozen=True, gc=False):
    """Whoever is logged in."""

    user: UserName


Right: TypeAlias = tuple[Action, Resource]
NamedCommand: TypeAlias = DeclareExchange | DeleteExchange | DeclareQueue | DeleteQueue | Bind | Unbind
"""Those that clients give."""


class Permissions:
    """All permissions, compiled."""

    def __init__(self) -> None:
        self._patterns: dict[tuple[UserName, VhostName], dict[Action, NamePattern]] = {}
        self._rows: dict[tuple[UserName, VhostName], PermissionRow] = {}

    def put(self, row: PermissionRow) -> None:
        """Raises ValueError, saying what is wrong, if a pattern is none; then nothing is changed."""
        patterns = {action: NamePattern(getattr(row, action.value) or NOTHING) for action in Action}
        self._patterns[row.user, row.vhost] = patterns
        self._rows[row.user, row.vhost] = row

    def drop(self, user: UserName, vhost: VhostName) -> None:
        del self._patterns[user, vhost]
        del self._rows[user, vhost]

    def find(self, user: UserName, vhost: VhostName) -> PermissionRow | None:
        return self._rows.get((user, vhost))

    def of_user(self, user: UserName) -> list[PermissionRow]:
        return [row for row in self._rows.values() if row.user == user]

    def of_vhost(self, vhost: VhostName) -> list[PermissionRow]:
        return [row for row in self._rows.values() if row.vhost == vhost]

    def may_enter(self, principal: Principal, vhost: VhostName) -> bool:
        """A permission, whatever it says, opens the vhost."""
        return (principal.user, vhost) in self._rows

    def authorize(self, principal: Principal, action: Action, resource: Resource) -> bool:
        """Nothing said is no."""
        patterns = self._patterns.get((principal.user, resource.vhost))
        return patterns is not None and patterns[action].matches(_name_of(resource))


def refused_access(principal: Principal, action: Action, resource: Resource) -> Refused:
    shown = Resource(resource.kind, resource.vhost, _name_of(resource))
    detail = f"{action.value} access to {shown} refused for user '{principal.user}'"
    return Refused(Refusal.ACCESS_REFUSED, detail)


def rights_needed(command: NamedCommand) -> list[Right]:
    """amqp-0-9-1's table of what each operation needs, in the order in which they are asked."""
    match command:
        case DeclareExchange(vhost=vhost, spec=spec):
            exchange = exchange_resource(vhost, spec.name)
            alternate = spec.arguments.get(ALTERNATE_EXCHANGE)
            rights = [(Action.CONFIGURE, exchange)]
            if isinstance(alternate, str):
                rights += [(Action.READ, exchange), (Action.WRITE, exchange_resource(vhost, alternate))]
        case DeclareQueue(vhost=vhost, spec=spec):
            queue = queue_resource(vhost, spec.name)
            dead_letter = spec.arguments.get("x-dead-letter-exchange")
            rights = [(Action.CONFIGURE, queue)]
            if isinstance(dead_letter, str):
                rights += [(Action.READ, queue), (Action.WRITE, exchange_resource(vhost, dead_letter))]
        case DeleteExchange(vhost=vhost, name=name):
            rights = [(Action.CONFIGURE, exchange_resource(vhost, name))]
        case DeleteQueue(vhost=vhost, name=queue_name):
            rights = [(Action.CONFIGURE, queue_resource(vhost, queue_name))]
        case Bind(vhost=vhost, spec=binding) | Unbind(vhost=vhost, spec=binding):
            end = exchange_resource if binding.to_exchange else queue_resource
            rights = [
                (Action.WRITE, end(vhost, binding.destination)),
                (Action.READ, exchange_resource(vhost, binding.source)),
            ]
    return rights


def _name_of(resource: Resource) -> str:
    is_default = resource.name == DEFAULT_EXCHANGE and resource.kind is ResourceKind.EXCHANGE
    return DEFAULT_EXCHANGE_ALIAS if is_default else resource.name
