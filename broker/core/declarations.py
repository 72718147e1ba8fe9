"""May this be declared, and is it what is already there?  The texts are RabbitMQ 4.3's, which clients match on."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from broker.core.outcomes import Refused
from broker.core.resources import Resource, exchange_resource, queue_resource
from broker.core.topology_commands import DeclareExchange, DeclareQueue, DeleteExchange
from broker.core.topology_rows import ExchangeRow, QueueRow
from broker.model.names import NAME_SIZE_MAX, NO_SESSION, QueueName, SessionId, VhostName
from broker.model.queue_settings import COMPARED, InvalidArgument, read_queue_arguments, type_name
from broker.model.refusals import Refusal
from broker.model.topology import Arguments, QueueSpec
from routing.exchange import EXCHANGE_TYPES
from routing.router import DEFAULT_EXCHANGE

RESERVED_PREFIX = "amq."
ALTERNATE_EXCHANGE = "alternate-exchange"
DEFAULT_REFUSED = Refused(Refusal.ACCESS_REFUSED, "operation not permitted on the default exchange")


def generated_queue_name(entropy: bytes) -> QueueName:
    """RabbitMQ's shape of a server-named queue; 16 random bytes make it unique."""
    return QueueName("amq.gen-" + base64.urlsafe_b64encode(entropy).decode().rstrip("="))


def not_found(resource: Resource) -> Refused:
    return Refused(Refusal.NOT_FOUND, f"no {resource}")


def precondition_failed(detail: str) -> Refused:
    return Refused(Refusal.PRECONDITION_FAILED, detail)


def check_exchange_declaration(command: DeclareExchange) -> Refused | None:
    """What can be said whether or not it exists."""
    spec = command.spec
    if spec.name == DEFAULT_EXCHANGE:
        return DEFAULT_REFUSED
    if spec.type not in EXCHANGE_TYPES:
        return precondition_failed(f"unknown exchange type '{spec.type}'")
    alternate = spec.arguments.get(ALTERNATE_EXCHANGE, "")
    if not isinstance(alternate, str):
        what = f"arg '{ALTERNATE_EXCHANGE}' in {exchange_resource(command.vhost, spec.name)}"
        return precondition_failed(f"invalid type '{type_name(alternate)}' for {what}")
    return None


def check_new_exchange(command: DeclareExchange) -> Refused | None:
    return _check_name("exchange", command.spec.name)


def check_exchange_deletion(command: DeleteExchange) -> Refused | None:
    """What can be said whether or not it exists."""
    if command.name == DEFAULT_EXCHANGE:
        return DEFAULT_REFUSED
    if command.name.startswith(RESERVED_PREFIX):
        resource = exchange_resource(command.vhost, command.name)
        return Refused(Refusal.ACCESS_REFUSED, f"deletion of system {resource} not allowed")
    return None


def in_use(row: ExchangeRow) -> Refused:
    return precondition_failed(f"{exchange_resource(row.vhost, row.spec.name)} in use")


def check_same_exchange(command: DeclareExchange, row: ExchangeRow) -> Refused | None:
    """Is what is declared what is there?"""
    there, asked = row.spec, command.spec
    resource = exchange_resource(command.vhost, asked.name)
    for field in ("type", "durable", "auto_delete", "internal"):
        if getattr(there, field) != getattr(asked, field):
            return _inequivalent(field, resource, _quoted(getattr(asked, field)), _quoted(getattr(there, field)))
    return _check_same_arguments((ALTERNATE_EXCHANGE,), resource, asked.arguments, there.arguments)


def check_queue_declaration(command: DeclareQueue) -> Refused | None:
    """What can be said whether or not it exists."""
    spec = command.spec
    resource = queue_resource(command.vhost, spec.name)
    if not command.generated and (refused := _check_name("queue", spec.name)):
        return refused
    settings = read_queue_arguments(spec.arguments)
    if isinstance(settings, InvalidArgument):
        return precondition_failed(f"invalid arg '{settings.name}' for {resource}: {settings.reason}")
    if spec.arguments.get("x-queue-type") == "quorum":
        if not spec.durable:
            return precondition_failed(f"invalid property 'non-durable' for {resource}")
        if spec.exclusive:
            return precondition_failed(f"invalid property 'exclusive-owner' for {resource}")
    return None


def check_same_queue(command: DeclareQueue, row: QueueRow) -> Refused | None:
    """Is what is declared what is there?"""
    there, asked = row.spec, command.spec
    owner = command.session if asked.exclusive else NO_SESSION
    if there.exclusive != asked.exclusive or row.owner != owner:
        return locked(row)
    resource = queue_resource(command.vhost, asked.name)
    for field in ("durable", "auto_delete"):
        if getattr(there, field) != getattr(asked, field):
            return _inequivalent(field, resource, _quoted(getattr(asked, field)), _quoted(getattr(there, field)))
    return _check_same_arguments(COMPARED, resource, _with_type(asked), _with_type(there))


def check_owner(row: QueueRow, session: SessionId) -> Refused | None:
    """An exclusive queue is for the session that declared it."""
    return locked(row) if row.spec.exclusive and row.owner != session else None


def locked(row: QueueRow) -> Refused:
    resource = queue_resource(row.vhost, row.spec.name)
    return Refused(
        Refusal.RESOURCE_LOCKED,
        f"cannot obtain exclusive access to locked {resource}. It could be originally declared on another connection "
        "or the exclusive property value does not match that of the original declaration.",
    )


def in_exclusive_use(vhost: VhostName, name: QueueName) -> Refused:
    """Of a queue that another consumer has for itself, or that others consume from already."""
    return Refused(Refusal.ACCESS_REFUSED, f"{queue_resource(vhost, name)} in exclusive use")


def not_to_get(vhost: VhostName, name: QueueName) -> Refused:
    """Of a queue with a single active consumer: whoever gets is none."""
    resource = queue_resource(vhost, name)
    return Refused(
        Refusal.RESOURCE_LOCKED, f"cannot get from {resource}: what it holds is for its single active consumer"
    )


def check_name_size(kind: str, name: str) -> Refused | None:
    """``name`` is to be somebody's or something's: it has one to 255 bytes."""
    if 0 < len(name.encode()) <= NAME_SIZE_MAX:
        return None
    return precondition_failed(f"{kind} name is empty or longer than {NAME_SIZE_MAX} bytes")


def _check_name(kind: str, name: str) -> Refused | None:
    if name.startswith(RESERVED_PREFIX):
        detail = f"{kind} name '{name}' contains reserved prefix '{RESERVED_PREFIX}*'"
        return Refused(Refusal.ACCESS_REFUSED, detail)
    return check_name_size(kind, name)


def _with_type(spec: QueueSpec) -> Arguments:
    """RabbitMQ fills in the default type before it compares."""
    return {"x-queue-type": "classic", **spec.arguments}


def _check_same_arguments(
    names: Iterable[str], resource: Resource, asked: Arguments, there: Arguments
) -> Refused | None:
    for name in names:
        if name not in asked and name not in there:
            continue
        if name in asked and name in there:
            if type(asked[name]) is type(there[name]) and asked[name] == there[name]:
                continue
            return _inequivalent(name, resource, _quoted(asked[name]), _quoted(there[name]))
        return _inequivalent(name, resource, _described(asked, name), _described(there, name))
    return None


def _inequivalent(name: str, resource: Resource, asked: str, there: str) -> Refused:
    return precondition_failed(f"inequivalent arg '{name}' for {resource}: received {asked} but current is {there}")


def _quoted(value: Any) -> str:
    return f"'{str(value).lower()}'" if isinstance(value, bool) else f"'{value}'"


def _described(arguments: Arguments, name: str) -> str:
    if name not in arguments:
        return "none"
    return f"the value {_quoted(arguments[name])} of type '{type_name(arguments[name])}'"
