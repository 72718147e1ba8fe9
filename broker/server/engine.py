"""The engine: one round serves everybody whose bytes came, with one core step and one flush.

    sockets, streams -> adapters -> core sessions -> step -> replies -> adapters -> sockets, streams

Nothing in a round waits; ``rounds.py`` waits between them.  An exception out of an adapter or the core is
a bug of ours and ends the broker: what peers do wrong is handled inside adapters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Generic

import structlog

from broker.model.replies import Authenticated, CloseConnection, Reply
from broker.server.admission import Admission
from broker.server.buffers import Buffers, holders
from broker.server.connection import UNKNOWN, Connection, Opened, Peer
from broker.server.core import Core, SessionT, Syncs
from broker.server.deadlines import Deadlines
from broker.server.pump import FlowState, Pump
from broker.server.stream import StreamTransport
from broker.server.transport import Transport
from kernel.poller import Poller
from protocols.adapter import Frame

log = structlog.get_logger()

LOOK_INTERVAL_S = 10.0
LATE_S = 0.001
"""By which deadlines may pass unseen while those who watch are brought one thing after the other."""
STEPS_MAX = 8
"""Of the core, in one round: what an adapter asks for when it is answered (a login, then the vhost, then the session)
need not wait for the next one."""
UNFINISHED_PROGRESS_MIN = 10 << 10
"""Bytes by which an unfinished frame or message must grow between two looks: 1 KiB a second.  What is begun
holds memory, and a byte now and then would pass for a sign of life."""
DISK_ALARMS = {
    None: None,
    "no space": "low on disk",
    "poisoned": "the disk failed",
    "journal full": "the log is behind",
}
"""By the journal's pressure; in RabbitMQ's words where it has any."""


class Engine(Generic[SessionT]):
    """All connections of a node, and the core they share."""

    def __init__(
        self,
        core: Core[SessionT],
        syncs: Syncs,
        *,
        now_ms: Callable[[], int],
        admission: Admission,
        buffers: Buffers,
        poller: Poller | None = None,
    ) -> None:
        """``now_ms`` is wall time; without a ``poller`` there are streams only."""
        self.core = core
        self.syncs = syncs
        self.admission = admission
        self.buffers = buffers
        self.poller = poller
        self.deadlines = Deadlines[Connection[SessionT]]()
        self.connections: dict[int, Connection[SessionT]] = {}
        self.due = False
        """A round has something to do that nobody else will tell of."""
        self.wake: Callable[[], None] = lambda: None
        """Ends the wait between rounds, if there is one."""
        self.wanted_reads: list[Callable[[], object]] = []
        """What the core waits for from disk, until somebody takes it."""
        self.look_at = math.inf
        """When unfinished input is looked at next."""
        self._streams: dict[int, StreamTransport] = {}
        self._now_ms = now_ms
        self._pump = Pump()
        self._tokens = itertools.count()
        self._sessions: dict[SessionT, Connection[SessionT]] = {}
        self._opened: list[Connection[SessionT]] = []
        self._inbox: list[tuple[int, list[Frame] | None]] = []
        self._writing: list[tuple[int, int]] = []
        self._synced = 0
        """What the core was told of.  It is told in the first round of what ended before there were rounds."""
        self._look_late_at = -math.inf
        self._memory_short = False
        self._journal_spoke = True
        self._watched: dict[int, Callable[[], bool]] = {}
        self._watched_again: dict[int, None] = {}
        self._watched_only = False
        """Nothing came in this round but for those who watch."""
        self._stirred = False
        """One of them was brought something that more is likely to follow."""

    # ---- between rounds

    def open(self, peer: Peer, opened: Opened, opener: Callable[[int], Transport]) -> Connection[SessionT]:
        """Takes in a connection that was admitted; ``opener`` makes its transport, given its token.

        OSError: the system has no room for it.
        """
        token = next(self._tokens)
        transport = opener(token)
        if isinstance(transport, StreamTransport):
            self._streams[token] = transport
        session = self.core.open_session()
        connection = Connection(token, peer, opened.adapter, session, transport)
        self.connections[token] = self._sessions[session] = connection
        # Its first deadline is the adapter's, and will be known once a round has taken what it has ready.
        self._opened.append(connection)
        self.ring()
        return connection

    def watch(self, fd: int, receive_ready: Callable[[], bool], writes: bool = False) -> int:
        """Has it told, within a round, each time that more can be read from ``fd``, and with ``writes`` each time that
        more can be written after not all could; at once if anything can.  It says whether more is likely to follow
        soon.

        The poller's token for it.
        """
        assert self.poller is not None
        token = self.poller.watch(fd, writes)
        self._watched[token] = receive_ready
        return token

    def watch_again(self, token: int) -> None:
        """More can be read from it than was: it is told in the next round too."""
        self._watched_again[token] = None
        self.ring()

    def unwatch(self, token: int) -> None:
        """It is told no more."""
        assert self.poller is not None
        del self._watched[token]
        self.poller.unwatch(token)

    def receive_journal(self) -> bool:
        """The journal has something to say."""
        self._journal_spoke = True
        return True

    def receive_frames(self, token: int, frames: list[Frame] | None) -> None:
        """What a stream gave, as the poller's rounds have it: frames, or None for its end."""
        self._inbox.append((token, frames))
        self.ring()

    def receive_written(self, token: int, left: int, now: float) -> None:
        """Blocked output got on; ``left`` bytes are left."""
        connection = self.connections.get(token)
        if connection is not None:
            self._pump.receive_unblocked(connection.flow, left, now)
            self._schedule(connection)

    def receive_writing(self, token: int, left: int) -> None:
        """A stream was given output in this round, and will say when it is written."""
        self._writing.append((token, left))

    def ring(self) -> None:
        """A round is due."""
        self.due = True
        self.wake()

    def say_goodbye(self, detail: str, now: float) -> None:
        """Has every adapter end its connection in its protocol's way."""
        for connection in list(self.connections.values()):
            if connection.flow.state is FlowState.OPEN:
                connection.adapter.receive_replies([CloseConnection(detail)], now)
                self._take(connection, now)
        self.ring()

    def abandon(self, now: float) -> None:
        """Ends every connection, whatever is left to be written."""
        for connection in list(self.connections.values()):
            self._end(connection, now)
        self.ring()

    # ---- a round

    def round(self, now: float) -> bool:
        """Does all there is to do.  False: nothing came that more is likely to follow soon."""
        asked, self.due = self.due, False
        self.core.begin_round(now)
        touched = self._receive(now)
        self._receive_synced()
        # What was rung for up to here is for this round, but for what watchers left unread.
        asked, self.due = asked or self.due, bool(self._watched_again)
        if self._watched_only and not (asked or touched or self._has_more(now)):
            return self._stirred
        self._receive_timeouts(touched, now)
        if now >= self.look_at or (self.connections and self.look_at == math.inf):
            self._look_at_inputs(now)
        for connection in touched:
            self._take(connection, now)
        self._step(now)
        self._flush(now)
        self._ask_full(touched)
        if self._memory_short or self.buffers.exceeded:
            self._ration()
        self._obey()
        return True

    def core_deadline(self, now: float) -> float | None:
        """When the core wants a step although nothing came."""
        return self.core.next_deadline(now, self._now_ms())

    def _receive_synced(self) -> None:
        core = self.core
        synced = self.syncs.synced
        if synced != self._synced:
            self._synced = synced
            core.receive_synced(synced)
        if self._journal_spoke or self.poller is None:
            self._journal_spoke = False
            alarm = DISK_ALARMS[self.syncs.pressure]
            self.due |= alarm != core.disk_alarm
            core.disk_alarm = alarm

    def _has_more(self, now: float) -> bool:
        """Something is due beside what was received."""
        if self._writing or self.core.pending:
            return True
        if now < self._look_late_at:
            return False
        self._look_late_at = now + LATE_S
        core_deadline = self.core_deadline(now)
        looks = now >= self.look_at or (self.connections and self.look_at == math.inf)
        return bool(looks or self.deadlines.next <= now or (core_deadline is not None and core_deadline <= now))

    def _receive(self, now: float) -> dict[Connection[SessionT], None]:
        """Hands adapters what came, whom it also gives back."""
        self._stirred = False
        touched: dict[Connection[SessionT], None] = dict.fromkeys(self._opened)
        self._opened.clear()
        received, self._inbox = self._inbox, []
        if self._watched_again:
            received += [(token, None) for token in self._watched_again]
            self._watched_again.clear()
        self._watched_only = True
        if self.poller is not None:
            received += self.poller.round()
            unblocked = self.poller.take_unblocked()
            for token, left in unblocked:
                self.receive_written(token, left, now)
            self._watched_only = not unblocked
        self._hand_out(received, touched, now)
        if self._opened and self.poller is not None:
            # Who connects mostly speaks at once: what was said to those just accepted is there already.
            touched.update(dict.fromkeys(self._opened))
            self._opened.clear()
            self._hand_out(self.poller.round(), touched, now)
        return touched

    def _hand_out(
        self, received: list[tuple[int, list[Frame] | None]], touched: dict[Connection[SessionT], None], now: float
    ) -> None:
        connections = self.connections
        for token, frames in received:
            connection = connections.get(token)
            if token in self._watched:
                self._stirred |= self._watched[token]()
                continue
            self._watched_only = False
            if connection is None:
                continue  # ended in this round, or watched no more
            elif frames is None:
                self._end(connection, now)
            elif connection.flow.state is FlowState.OPEN:
                connection.adapter.receive_frames(frames, now)
                touched[connection] = None

    def _receive_timeouts(self, touched: dict[Connection[SessionT], None], now: float) -> None:
        for connection in self.deadlines.take_due(now):
            flow = connection.flow
            if flow.deadline <= now:
                if flow.state is FlowState.OPEN:
                    log.info("peer takes no output", peer=connection.peer.address, left=flow.left)
                self._end(connection, now)
                continue
            if flow.state is FlowState.OPEN and connection.adapter_deadline <= now:
                if flow.paused:
                    # It isn't read, so it can't be blamed for silence.
                    connection.adapter.receive_frames((), now)
                connection.adapter.receive_timeout(now)
                connection.adapter_deadline = UNKNOWN
                touched[connection] = None
            else:
                self._schedule(connection)

    def _look_at_inputs(self, now: float) -> None:
        """Ends those who begin something and don't get on with it."""
        self.look_at = now + LOOK_INTERVAL_S if self.connections else math.inf
        least = UNFINISHED_PROGRESS_MIN
        slow = [] if self.poller is None else self.poller.slow_inputs(least)
        slow += [token for token, stream in self._streams.items() if stream.is_slow(least)]
        for token in slow:
            connection = self.connections[token]
            log.info("peer doesn't finish what it began", peer=connection.peer.address)
            self._end(connection, now)

    def _take(self, connection: Connection[SessionT], now: float) -> bool:
        """Does what an adapter wants done; says whether the core has got commands."""
        flow = connection.flow
        if flow.state is not FlowState.OPEN:
            return False
        ready = connection.adapter.take_ready()
        if ready.commands:
            connection.session.submit(ready.commands)
        if ready.output:
            connection.transport.send(ready.output)
            self._pump.queue(flow, sum(map(len, ready.output)))
        if ready.closing:
            self._hang_up(connection, now)
            return True
        if ready.resumed:
            connection.transport.wake()
        deadline = math.inf if ready.deadline is None else ready.deadline
        if deadline != connection.adapter_deadline:
            connection.adapter_deadline = deadline
            self._schedule(connection)
        return bool(ready.commands)

    def _step(self, now: float) -> None:
        core = self.core
        now_ms = self._now_ms()
        for _ in range(STEPS_MAX):
            core.step(now, now_ms)
            if not self._answer(now):
                break
        else:
            self.due = True
        self.wanted_reads += core.take_wanted_reads()

    def _answer(self, now: float) -> bool:
        """Hands adapters what the core says; whether one of them has asked for more."""
        asked = False
        for session in self.core.take_busy():
            connection = self._sessions[session]
            replies = session.take_replies()
            connection.adapter.receive_replies(replies, now)
            self._pump.receive_deliveries(connection.flow)
            if not connection.proven:
                self._prove(connection, replies)
            if self._take(connection, now):
                asked = True
        return asked

    def _prove(self, connection: Connection[SessionT], replies: Sequence[Reply]) -> None:
        if any(type(reply) is Authenticated for reply in replies):
            connection.proven = True
            self.admission.prove(connection.peer.address)
            connection.session.receive_protocol(connection.adapter.protocol)

    def _flush(self, now: float) -> None:
        blocked = self._writing
        self._writing = []
        if self.poller is not None:
            blocked += self.poller.flush()
        for token, left in blocked:
            connection = self.connections.get(token)
            if connection is not None:
                self._pump.receive_blocked(connection.flow, left, now)
                self._schedule(connection)
        for flow in self._pump.receive_flushed(now):
            self._schedule(self.connections[flow.token])

    def _ask_full(self, touched: dict[Connection[SessionT], None]) -> None:
        """A session may come to be full by what it was given, and stop being so by any step."""
        pump = self._pump
        for connection in touched:
            if connection.flow.state is FlowState.OPEN and connection.session.full:
                pump.receive_full(connection.flow, True)
        for flow in list(pump.held_by_core):
            pump.receive_full(flow, self.connections[flow.token].session.full)

    def _ration(self) -> None:
        """Has those wait who hold the buffers, or go on once there is room."""
        short = self._memory_short = self.buffers.exceeded
        open = {t: c for t, c in self.connections.items() if c.flow.state is FlowState.OPEN}
        sizes = {token: (c.transport.input_size, c.flow.left) for token, c in open.items()} if short else {}
        waiting = set(holders(sizes))
        for token, connection in open.items():
            self._pump.receive_memory(connection.flow, token in waiting)

    def _obey(self) -> None:
        orders = self._pump.settle()
        connections = self.connections
        for flow in orders.pause:
            connections[flow.token].transport.pause()
        for flow in orders.resume:
            connections[flow.token].transport.resume()
        if orders.drained:
            for flow in orders.drained:
                connections[flow.token].session.receive_drained()
            self.due = self.due or self.core.pending

    # ---- the end of a connection

    def _hang_up(self, connection: Connection[SessionT], now: float) -> None:
        """Its adapter has said its last words."""
        self._close_session(connection)
        connection.transport.hang_up()
        self._pump.hang_up(connection.flow, now)
        self._schedule(connection)

    def _end(self, connection: Connection[SessionT], now: float) -> None:
        """The peer is gone, or has to go."""
        flow = connection.flow
        if flow.state is FlowState.OPEN:
            connection.adapter.receive_end(now)
            commands = connection.adapter.take_ready().commands
            if commands:
                connection.session.submit(commands)
            self._close_session(connection)
        self._pump.close(flow)
        connection.transport.close()
        self.deadlines.set(connection, math.inf)
        del self.connections[flow.token]
        self._streams.pop(flow.token, None)
        self.admission.leave(connection.peer.address, connection.proven)

    def _close_session(self, connection: Connection[SessionT]) -> None:
        self.core.close_session(connection.session)
        del self._sessions[connection.session]
        self.due = True  # what it held goes to others

    def _schedule(self, connection: Connection[SessionT]) -> None:
        flow = connection.flow
        adapter_deadline = connection.adapter_deadline if flow.state is FlowState.OPEN else math.inf
        self.deadlines.set(connection, min(adapter_deadline, flow.deadline))
