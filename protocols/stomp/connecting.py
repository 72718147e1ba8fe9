"""From CONNECT to CONNECTED: what a client asks for, and what it is told."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from broker.model.names import CONTROL_CHARACTER, UserName, VhostName
from protocols.stomp import heartbeats
from protocols.stomp.headers import Headers
from protocols.stomp.refusals import BAD_CONNECT
from protocols.stomp.settings import StompSettings
from protocols.stomp.version import SUPPORTED, Version, negotiated
from protocols.stomp.violation import ProtocolViolation

BasicAuth: TypeAlias = tuple[str, bytes]
"""User and password of the HTTP request that a WebSocket began with."""


class Agreement(msgspec.Struct, frozen=True):
    """What holds for the connection; ``user`` None: CONNECT names nobody."""

    version: Version
    heartbeats: heartbeats.Negotiated
    vhost: VhostName
    user: UserName | None
    password: bytes

    def __repr__(self) -> str:
        """A password is never shown."""
        return f"Agreement({self.version.text}, {self.vhost!r}, {self.user!r})"


def agree(headers: Headers, settings: StompSettings, basic_auth: BasicAuth | None) -> Agreement:
    """Raises ProtocolViolation."""
    version = negotiated(headers.get("accept-version"))
    if version is None:
        raise ProtocolViolation("Version mismatch", f"Supported versions are {SUPPORTED}")
    user, password = _login(headers, basic_auth)
    vhost = headers.get("host") or settings.vhost
    for name in (user, vhost):
        if name is not None and CONTROL_CHARACTER.search(name):
            raise ProtocolViolation(BAD_CONNECT, "a control character in login or host")
    return Agreement(
        version=version,
        heartbeats=heartbeats.negotiated(headers.get(heartbeats.HEADER), settings.heartbeat_min_ms),
        vhost=VhostName(vhost),
        user=None if user is None else UserName(user),
        password=password,
    )


def _login(headers: Headers, basic_auth: BasicAuth | None) -> tuple[str | None, bytes]:
    """CONNECT's own login counts before that of the HTTP request."""
    user, password = headers.get("login", ""), headers.get("passcode", "").encode()
    if user or password:
        return user, password
    return basic_auth if basic_auth is not None else (None, b"")


def connected(agreement: Agreement, settings: StompSettings, session: str) -> list[tuple[bytes, bytes]]:
    """CONNECTED's headers."""
    headers = {
        "version": agreement.version.text,
        "session": session,
        "server": f"{settings.product}/{settings.version}",
        heartbeats.HEADER: agreement.heartbeats.text,
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]
