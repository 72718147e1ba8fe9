"""``python -m bench.round_cost [connections]``: what a round costs for each connection, adapter and core left out.

Every connection has one small message in each round, and is sent 22 bytes.  Times are of the thread's CPU, so that
other work on the machine doesn't count; the system calls of both directions do.
"""

from __future__ import annotations

import socket
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import kernel
from broker.model import commands as c
from broker.model import replies as r
from broker.server.admission import Admission, ConnectionLimits
from broker.server.buffers import Buffers
from broker.server.connection import Opened, Peer
from broker.server.engine import Engine
from broker.server.transport import PolledSocket
from kernel import AmqpDecoder, Counters
from kernel.poller import Poller
from protocols.adapter import Frame, Output, Ready

ROUNDS = 300
ANSWER = bytes(22)
MESSAGE = (
    b"\x01\x00\x01\x00\x00\x00\x0a\x00\x3c\x00\x28\x00\x00\x00\x01q\x00\xce"
    b"\x02\x00\x01\x00\x00\x00\x0e\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\xce"
    b"\x03\x00\x01\x00\x00\x00\x100123456789abcdef\xce"
)
HANDSHAKE = (
    b"AMQP\x00\x00\x09\x01"
    b"\x01\x00\x00\x00\x00\x00\x18\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x00\x05en_US\xce"
    b"\x01\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x1f\x07\xff\x00\x02\x00\x00\x00\x00\xce"
    b"\x01\x00\x00\x00\x00\x00\x08\x00\x0a\x00\x28\x01/\x00\x00\xce"
)


class IdleAdapter:
    """Answers whatever comes."""

    protocol = "idle"

    def __init__(self) -> None:
        self.output: list[Output] = []
        self.commands: list[c.Command] = []

    def receive_data(self, data: bytes, now: float) -> None: ...

    def receive_frames(self, frames: Sequence[Frame], now: float) -> None:
        self.commands.append(c.CloseSession())

    def receive_replies(self, replies: Sequence[r.Reply], now: float) -> None:
        self.output.append(ANSWER)

    def receive_timeout(self, now: float) -> None: ...

    def receive_end(self, now: float) -> None: ...

    def take_ready(self) -> Ready:
        ready = Ready(self.output, self.commands)
        self.output, self.commands = [], []
        return ready


class IdleSession:
    """Has a reply to every submit."""

    full = False

    def __init__(self, busy: list[IdleSession]) -> None:
        self._busy = busy

    def receive_protocol(self, name: str) -> None: ...

    def submit(self, commands: Sequence[c.Command]) -> None:
        self._busy.append(self)

    def take_replies(self) -> Sequence[r.Reply]:
        return ()

    def receive_drained(self) -> None: ...


class IdleCore:
    """A core with nothing to do, and a journal with nothing to write."""

    disk_alarm: str | None = None
    pending = False
    holding = False
    submitted = 0
    synced = 0
    pressure: str | None = None

    def __init__(self) -> None:
        self._busy: list[IdleSession] = []

    def open_session(self) -> IdleSession:
        return IdleSession(self._busy)

    def close_session(self, session: IdleSession) -> None: ...

    def begin_round(self, now: float) -> None: ...

    def step(self, now: float, now_ms: int) -> None: ...

    def receive_synced(self, write: int) -> None: ...

    def take_busy(self) -> Sequence[IdleSession]:
        busy = list(self._busy)
        self._busy.clear()
        return busy

    def take_wanted_reads(self) -> Sequence[Callable[[], object]]:
        return ()

    def next_deadline(self, now: float, now_ms: int) -> float | None:
        return None


def connect(engine: Engine[IdleSession], poller: Poller, listening: socket.socket) -> socket.socket:
    """A client of a connection that is past its handshake."""
    client = socket.create_connection(listening.getsockname())
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted, _ = listening.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    decoder = AmqpDecoder()
    decoder.receive_data(HANDSHAKE)
    while decoder.stopped:
        decoder.resume()
    opened = Opened(IdleAdapter(), decoder)
    peer = Peer("127.0.0.1", 1, True)
    connection = engine.open(peer, opened, lambda token: PolledSocket(poller, token, accepted.detach(), decoder))
    connection.proven = True
    return client


def main() -> None:
    if kernel.BUILD_PROFILE != "release":
        sys.exit("a debug kernel measures nothing: make build")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    buffers, core = Buffers(), IdleCore()
    poller = Poller(Counters(), buffers.input, buffers.output)
    admission = Admission(ConnectionLimits())
    engine = Engine(core, core, now_ms=lambda: 0, admission=admission, buffers=buffers, poller=poller)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        clients = [connect(engine, poller, listening) for _ in range(count)]
    engine.round(0.0)
    us: list[float] = []
    for number in range(ROUNDS):
        for client in clients:
            client.send(MESSAGE)
        began_ns = time.thread_time_ns()
        engine.round(float(number))
        us.append((time.thread_time_ns() - began_ns) / 1000 / count)
        for client in clients:
            assert client.recv(100) == ANSWER
    for client in clients:
        client.close()
    print(f"{count} connections, us for each and round: median {statistics.median(us):.1f}, least {min(us):.1f}")


if __name__ == "__main__":
    main()
