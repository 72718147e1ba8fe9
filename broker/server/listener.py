"""Listeners: accept connections, within limits, and hand them to the engine."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Generic

import msgspec
import structlog
import trio

from broker.server.connection import Opened, Peer
from broker.server.core import SessionT
from broker.server.engine import Engine
from broker.server.transport import PolledSocket

log = structlog.get_logger()

BACKLOG = 4096
"""Connections that the system keeps for us; it has its own limit too (net.core.somaxconn)."""
ACCEPT_COUNT_MAX = 64
"""Accepted in a row: with more, a storm of connections would delay those who are there."""
OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
ADDRESSES_MAX = 1024
"""Of which it is remembered whether they are this machine's own."""
RETRY_S = 0.1
"""As trio's serve_listeners: until then somebody may have gone."""
PEER_GONE = {
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENONET,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EPROTO,
    errno.ETIMEDOUT,
}
"""accept(2): errors of the connection that was to be accepted, or of a firewall; not of the listener."""

Accept = Callable[[int], tuple[int, str, int]]
"""``Poller.accept``."""
Protocol = Callable[[Peer, float], Opened]
"""Makes the adapter of a new connection, at a time."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where to listen, and what is spoken there."""

    name: str
    """The protocol's, for people."""
    host: str
    port: int
    """0: any that is free."""
    protocol: Protocol


class AddressUnavailable(Exception):
    """A listener can't have its address; says which, and why."""


def listen(endpoint: Endpoint) -> socket.socket:
    """A listening socket.  Raises AddressUnavailable."""
    try:
        infos = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, number, _, address = infos[0]
        listening = socket.socket(family, kind, number)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise AddressUnavailable(f"{endpoint.name} on {endpoint.host}:{endpoint.port}: {error.strerror}") from error
    return listening


class Listener(Generic[SessionT]):
    """One listening socket."""

    def __init__(
        self, endpoint: Endpoint, listening: socket.socket, engine: Engine[SessionT], accept: Accept | None = None
    ) -> None:
        """``accept``: the poller's, but in tests."""
        assert engine.poller is not None
        self.endpoint = endpoint
        self._listening = listening
        self._engine = engine
        self._poller = engine.poller
        self._accept_next = accept or engine.poller.accept
        self._token = 0
        """The poller's, once it listens."""
        self._open = True
        self._left = trio.Event()
        """Somebody waits who was not accepted in a round."""
        self._pause_s = 0.0

    async def run(self) -> None:
        """Accepts until it is cancelled; closes the socket then.

        Within the engine's rounds: they wait at the poller, and who connects ends that wait.
        """
        with self._listening:
            self._token = self._engine.watch(self._listening.fileno(), self._receive_readable)
            try:
                while True:
                    await self._left.wait()
                    await trio.sleep(self._pause_s)
                    self._left = trio.Event()
                    self._accept()
            finally:
                self._open = False
                # The poller has the socket too, and it would go on taking connections into its backlog.
                with contextlib.suppress(OSError):
                    self._listening.shutdown(socket.SHUT_RDWR)

    def _receive_readable(self) -> bool:
        """Who comes while others wait is accepted after them."""
        if self._open and not self._left.is_set():
            self._accept()
        return False

    def _accept(self) -> None:
        pause_s = self._accept_all()
        if pause_s is not None:
            self._pause_s = pause_s
            self._left.set()

    def _accept_all(self) -> float | None:
        """Accepts who waits; after how many seconds to go on, if somebody is left."""
        for _ in range(ACCEPT_COUNT_MAX):
            try:
                fd, host, port = self._accept_next(self._token)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in PEER_GONE:
                    continue
                if error.errno not in OUT_OF_DESCRIPTORS:
                    raise
                log.warning("no connection can be accepted", protocol=self.endpoint.name, reason=error.strerror)
                return RETRY_S
            self._admit(fd, Peer(host, port, is_loopback(host)))
        return 0.0

    def _admit(self, fd: int, peer: Peer) -> None:
        admission = self._engine.admission
        if not admission.admit(peer.address):
            # At once, so that the client knows; in the backlog it would wait for its own timeout.
            os.close(fd)
            log.warning("connection refused: too many", protocol=self.endpoint.name, peer=peer.address)
            return
        opened = self.endpoint.protocol(peer, trio.current_time())
        try:
            self._engine.open(peer, opened, lambda token: PolledSocket(self._poller, token, fd, opened.decoder))
        except OSError as error:
            # No room in the epoll.
            admission.leave(peer.address, proven=False)
            log.info("connection lost at once", peer=peer.address, reason=error.strerror)


@lru_cache(maxsize=ADDRESSES_MAX)
def is_loopback(host: str) -> bool:
    """Of an address as the poller gives it."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
