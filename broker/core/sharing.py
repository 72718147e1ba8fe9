"""Shared subscriptions: the sessions that take turns for a filter (MQTT 5 section 4.8.2).

A group is a share name and a filter.  Its members are the sessions that are connected; where none is, those that wait
for their clients, so that nothing is lost.  Turns go round: a message stays with the member whose turn it was.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from broker.core.client_directory import FarClient
from broker.core.client_session import ClientSession
from broker.model.names import ClientSessionId
from routing.subscriptions import Subscription

if TYPE_CHECKING:
    from broker.core.publishing import Clients


def members_of(
    subscriptions: Iterable[Subscription],
    clients: Clients,
    served: Container[ClientSessionId],
    sticky: bool = False,
) -> list[tuple[ClientSessionId, int, tuple[int, int]]]:
    """Each member's session, its QoS, and its turn of how many.

    A session gets one copy of a message: in the first group that it is in, and none as a member if it is ``served``
    already, though it takes its turn.  ``sticky``: no turns, all goes to the member that has been there longest.
    """
    groups: dict[tuple[str | None, str], list[tuple[ClientSession | FarClient, int]]] = {}
    for subscription in subscriptions:
        client = clients.get(subscription.session)
        if client is not None:
            groups.setdefault((subscription.share, subscription.filter), []).append((client, subscription.qos))
    taken: set[ClientSessionId] = set()
    out = []
    for group in groups.values():
        connected = [member for member in group if member[0].connected]
        members = connected or [member for member in group if member[0].durable]
        free = [member for member in members if member[0].id not in taken]
        if sticky:
            free = free[:1]
        for turn, (client, qos) in enumerate(free):
            taken.add(client.id)
            if client.id not in served:
                out.append((client.id, qos, (turn, len(free))))
    return out
