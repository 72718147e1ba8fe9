"""HTTP of a node that serves nobody yet: who asks is told what it waits for.

The engine has no core to make rounds for then, so each connection is a task, for one exchange or a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from broker.server.connection import Peer
from broker.server.listener import Endpoint, is_loopback, listen

CONNECTIONS_MAX = 64
"""At once; who comes beyond is hung up on."""
CONNECTION_S = 10.0
READ_SIZE_MAX = 64 << 10
DELAY_S = 0.3
"""A node that is back in its cluster at once needs none of this."""


async def receive_visitors(endpoints: Sequence[Endpoint]) -> None:
    """Until it is cancelled; their addresses are free then.  Raises listener.AddressUnavailable."""
    await trio.sleep(DELAY_S)
    seats = trio.Semaphore(CONNECTIONS_MAX)
    async with trio.open_nursery() as nursery:
        for endpoint in endpoints:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listen(endpoint)))
            nursery.start_soon(trio.serve_listeners, partial(_receive, endpoint, seats), [listener])


async def _receive(endpoint: Endpoint, seats: trio.Semaphore, stream: trio.SocketStream) -> None:
    try:
        seats.acquire_nowait()
    except trio.WouldBlock:
        return
    try:
        host, port = stream.socket.getpeername()[:2]
        with trio.move_on_after(CONNECTION_S):
            await answer(endpoint, Peer(host, port, is_loopback(host)), stream)
    except (trio.BrokenResourceError, OSError):
        pass  # it went, and that is its own affair
    finally:
        seats.release()
        await trio.aclose_forcefully(stream)


async def answer(endpoint: Endpoint, peer: Peer, stream: trio.abc.Stream) -> None:
    """What one connection asks, until either side has enough.  Raises trio.BrokenResourceError."""
    adapter = endpoint.protocol(peer, trio.current_time()).adapter
    while data := await stream.receive_some(READ_SIZE_MAX):
        adapter.receive_data(bytes(data), trio.current_time())
        ready = adapter.take_ready()
        if ready.output:
            await stream.send_all(b"".join(map(bytes, ready.output)))
        if ready.closing:
            return
