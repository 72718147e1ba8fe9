"""One connection: its adapter, its core session and its transport.  The same for sockets and streams."""

from __future__ import annotations

from typing import Generic

import msgspec

from broker.server.core import SessionT
from broker.server.deadlines import Timed
from broker.server.pump import Flow
from broker.server.transport import Transport
from protocols.adapter import Adapter, Decoder

UNKNOWN = 0.0
"""A deadline that is none."""


class Peer(msgspec.Struct, frozen=True):
    """Whom a connection is with."""

    address: str
    """Without the port."""
    port: int
    loopback: bool


class Opened(msgspec.Struct, frozen=True):
    """What a listener's protocol makes of a new connection."""

    adapter: Adapter
    decoder: Decoder
    """The adapter's own: the poller reads with it."""


class Connection(Timed, Generic[SessionT]):
    """What the engine keeps of one connection.  Its deadline is the earlier one of adapter and flow."""

    __slots__ = ("adapter", "adapter_deadline", "flow", "peer", "proven", "session", "transport")

    def __init__(self, token: int, peer: Peer, adapter: Adapter, session: SessionT, transport: Transport) -> None:
        super().__init__()
        self.peer = peer
        self.adapter = adapter
        self.session = session
        self.transport = transport
        self.flow = Flow(token)
        self.adapter_deadline = UNKNOWN
        self.proven = False
        """Its user is who it says."""
