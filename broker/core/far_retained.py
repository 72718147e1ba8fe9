"""Retained messages that another node leads: a new subscription's are asked for by pages, and given to its session.

A page is asked for when the session's queues have room, and again of whoever leads next if nobody answers; where it
goes on is a topic, so that any leader knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.client_session import ClientSession
from broker.core.forward_words import AskedReply, LookUpRetained, RetainedPage
from broker.core.replicated_shard import ReplicatedShard
from broker.core.retained import PACE_MS, QUEUED_MAX, send_to
from broker.model.names import NO_SESSION

if TYPE_CHECKING:
    from broker.core.back import Back


class FarLookup:
    """One new subscription's.  It has an id among this node's volatile queues, to be looked at in time."""

    def __init__(self, back: Back, client: ClientSession, filter: str, qos: int) -> None:
        self._back = back
        self._client = client
        self._filter = filter
        self._qos = qos
        self._place: bytes | None = b""
        self._asking = False
        self._id = back.topology.take_volatile_id()
        back.volatile.queues[self._id] = self
        back.volatile.dirty[self._id] = None

    def dispatch(self, now_ms: int) -> None:
        if self._asking:
            return
        if self._place is None or self._client.attachment is None:
            del self._back.volatile.queues[self._id]
        elif self._client.queued > QUEUED_MAX:
            self._back.schedule(now_ms + PACE_MS, self._back.volatile, self._id)
        else:
            self._ask(self._place)

    def _ask(self, place: bytes) -> None:
        self._asking = True
        row = self._client.row
        forwarding = self._back.forwarding
        assert forwarding is not None
        shard = self._back.logged_shard(self._back.topology.retained_shard(row.vhost))
        assert isinstance(shard, ReplicatedShard)
        command = LookUpRetained(self._filter, place)
        forwarding.front.ask(shard, NO_SESSION, row.user, row.vhost, command, self._receive)

    def _receive(self, reply: AskedReply, got: list[tuple[int, int, int]]) -> None:
        self._asking = False
        self._back.volatile.dirty[self._id] = None
        self._place = None
        if isinstance(reply, RetainedPage):  # its vhost is still there
            self._place = reply.place
            if self._client.attachment is not None:
                for messages in reply.runs:
                    send_to(self._client, messages, self._qos)
