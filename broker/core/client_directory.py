"""Where what is published for a client session goes, wherever the session is led."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.client_session import ClientSession
from broker.core.replicated_shard import ReplicatedShard
from broker.core.shard import Shard
from broker.core.topology_rows import ClientSessionRow
from broker.model.names import ClientSessionId

if TYPE_CHECKING:
    from broker.core.back import Back


class FarClient:
    """A session that another node leads.

    One that ends with its connection is connected; of one that lasts its leader says so, if it shares subscriptions.
    """

    def __init__(self, row: ClientSessionRow, shard: Shard, transient: Shard | None, connected: bool) -> None:
        self.id = row.session_id
        self.durable = row.durable
        self.connected = connected
        self.shard = shard
        self.queue_id = row.queue_id
        """Of QoS 1 and 2."""
        self.transient = transient
        """Where its queue of QoS 0 is, whose id is the session's own; None: nobody leads it at present."""


class ClientDirectory:
    """By session id."""

    def __init__(self, back: Back) -> None:
        self._back = back

    def get(self, session: ClientSessionId) -> ClientSession | FarClient | None:
        client = self._back.clients.sessions.get(session)
        if client is not None or self._back.forwarding is None:
            return client
        row = self._back.topology.session(session)
        if row is None:
            return None
        if not row.durable:
            shard = self._back.volatile_shard(row.queue_id)
            return FarClient(row, shard, shard, True)
        logged = self._back.logged_shard(row.shard)
        assert isinstance(logged, ReplicatedShard)
        transient = self._back.forwarding.volatile_shard_of_leader(logged)
        return FarClient(row, logged, transient, session in self._back.topology.tables.connected)
