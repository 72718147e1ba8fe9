"""All clients' sessions that are led here: found by client id, ended in their time, with their wills.

A session is durable or its connection's.  What a durable one must remember is proposed to its shard's log before
anybody acts on it (``client_states.py``); the other's lies in memory.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from broker.core import client_states as s
from broker.core.client_session import ClientSession, settings_of
from broker.core.meta import Answer
from broker.core.outbox import CLIENT_OUTBOX_BASE
from broker.core.outcomes import Outcome
from broker.core.permissions import Principal
from broker.core.queue import Queue
from broker.core.shard import Shard
from broker.core.topology_commands import (
    CreateClientSession,
    DeleteClientSession,
    DropSubscriptions,
    PutSubscriptions,
)
from broker.core.topology_rows import ClientSessionRow, ConnectedRow
from broker.core.transaction_states import is_transaction_row
from broker.model.client_sessions import NEVER, Will
from broker.model.commands import Outcome as Settled
from broker.model.names import ClientId, ClientSessionId, ExchangeName, QueueId, QueueName, UserName, VhostName
from kernel import MessageRun, decode_record_batch, encode_record_batch
from routing.subscriptions import MQTT_EXCHANGE, Subscription

if TYPE_CHECKING:
    from broker.core.attachment import Attachment
    from broker.core.back import Back

TRANSIENT_LENGTH_MAX = 65_536
"""QoS 0 messages kept for a client that doesn't read; what is older is dropped."""
QUEUE_LENGTH_MAX = 1000
"""QoS 1 and 2 messages kept for a client, until it says otherwise when it attaches."""

ClientKey = tuple[VhostName, ClientId]


class Clients:
    """Part of the back."""

    def __init__(self, back: Back) -> None:
        self._back = back
        self.sessions: dict[ClientSessionId, ClientSession] = {}
        self._by_key: dict[ClientKey, ClientSession] = {}
        self._states: dict[Shard, s.ClientStates] = {shard: _states_of(shard) for shard in back.logged}
        self._sending_wills: set[ClientSessionId] = set()
        """That they are sent is proposed, and not applied yet."""
        self._attaching: dict[ClientKey, deque[Callable[[], None]]] = {}
        self._timers: list[tuple[int, int, ClientSessionId]] = []
        self._timer_turn = itertools.count()

    @property
    def now_ms(self) -> int:
        return self._back.now_ms

    # ---- finding

    def find(self, key: ClientKey) -> ClientSession | None:
        return self._by_key.get(key)

    def state(self, client: ClientSession) -> s.ClientState | None:
        """What the log says of a durable session; None: it was never attached."""
        return self._states[client.shard].states.get(client.id)

    def has_expired(self, client: ClientSession) -> bool:
        """Its time is over, and it is on its way out."""
        if client.over:
            return True
        state = self.state(client) if client.durable else None
        return state is not None and not state.attached and 0 < state.expires_at_ms <= self._back.now_ms

    def find_afar(self, key: ClientKey) -> ClientSessionRow | None:
        """One of another node that goes with its connection."""
        row = self._back.topology.find_session(*key)
        if row is None or row.durable or self._back.forwarding is None or row.session_id in self.sessions:
            return None
        return row

    def let_go(self, session: ClientSessionId) -> None:
        """The client of a volatile session came to another node."""
        client = self.sessions.get(session)
        if client is None or client.durable:
            return
        if client.attachment is None:  # it is only coming
            self.delete(client)
            return
        taken = client.attachment.front
        self.detach(client, send_will=True)
        taken.lose_client()

    def announce(self, client: ClientSession) -> None:
        """Other nodes are told whether the client of a session that lasts can have its turn among others."""
        tables = self._back.topology.tables
        if self._back.forwarding is None or not client.durable:
            return
        row = ConnectedRow(client.id, self._back.number_base)
        there = row.node in tables.connected.get(client.id, {})
        wanted = client.shares and client.connected
        if wanted and not there:
            tables.put_connected(row)
        elif there and not wanted:
            tables.drop_connected(row)

    # ---- one after the other

    def take_turn(self, key: ClientKey, begin: Callable[[], None]) -> None:
        """Begins once whoever attaches to that session at present is done."""
        waiting = self._attaching.get(key)
        if waiting is None:
            self._attaching[key] = deque()
            begin()
        else:
            waiting.append(begin)

    def end_turn(self, key: ClientKey) -> None:
        waiting = self._attaching[key]
        if waiting:
            waiting.popleft()()
        else:
            del self._attaching[key]

    # ---- coming and going

    def create_command(self, key: ClientKey, user: UserName, durable: bool) -> CreateClientSession:
        shard = self._back.next_led_shard() if durable else self._back.next_shard()
        return CreateClientSession(*key, user, shard, durable)

    def receive_created(self, row: ClientSessionRow) -> None:
        """A session that is new.  Only where its shard is led is it anybody's."""
        if not row.durable:
            self.lead(row)
        elif self._back.logged_shard(row.shard).leading:
            self._take_up(row)

    def lead(self, row: ClientSessionRow) -> ClientSession:
        """A session that is new, or found at the start."""
        shard = self._back.logged_shard(row.shard) if row.durable else self._back.volatile
        client = ClientSession(row, shard, QUEUE_LENGTH_MAX, self)
        if client.durable:
            client.open_queue()
        self.sessions[row.session_id] = self._by_key[row.vhost, row.client_id] = client
        return client

    def _queue(self, shard: Shard, row: ClientSessionRow, queue_id: QueueId, length_max: int) -> Queue:
        name = QueueName(row.client_id)
        queue = Queue(self, shard.kernel, queue_id, row.vhost, name, settings_of(length_max), 0)
        shard.queues[queue_id] = queue
        shard.dirty[queue_id] = None
        self._back.queues[queue_id] = (shard, queue)
        return queue

    def schedule_queue(self, queue: Queue, deadline_ms: int) -> None:
        self._back.schedule_queue(queue, deadline_ms)

    def receive_unused(self, queue: Queue) -> None:
        """It lasts as long as its session."""

    def receive_dropped(self, queue: Queue, count: int) -> None:
        self._back.traffic.dropped += count

    def make_queue(self, client: ClientSession) -> Queue:
        """Of QoS 1 and 2."""
        shard, row = client.shard, client.row
        if not shard.kernel.has_queue(row.queue_id):
            shard.create_queue(row.queue_id)
        queue = self._queue(shard, row, row.queue_id, client.length_max)
        if client.attachment is not None:
            client.attachment.serve(queue)
        return queue

    @property
    def transient_ids(self) -> set[int]:
        """Of queues that no row tells of: they are there while their clients are connected."""
        return {client.transient.id for client in self.sessions.values() if client.transient is not None}

    def make_transient(self, client: ClientSession) -> Queue:
        """Of QoS 0, for as long as the client is attached."""
        volatile = self._back.volatile
        queue_id = QueueId(client.id)  # no other queue's, and known to other nodes
        volatile.create_queue(queue_id)
        queue = self._queue(volatile, client.row, queue_id, TRANSIENT_LENGTH_MAX)
        assert client.attachment is not None
        client.attachment.serve_transient(queue)
        return queue

    def open_queue(self, queue_id: int) -> None:
        """Something comes for this queue from another node; nothing happens if it is nobody's."""
        client = self.sessions.get(ClientSessionId(queue_id))
        if client is not None and client.attachment is not None:
            client.open_transient()
            return
        session = ClientSessionId(queue_id - 1)  # ids of a session and its queue are given together
        client = self.sessions.get(session)
        if client is not None and client.row.queue_id == queue_id:
            client.open_queue()

    def _close(self, shard: Shard, queue: Queue) -> None:
        queue.closing = True
        del self._back.queues[queue.id]
        shard.queues.pop(queue.id, None)
        shard.drop_queue(queue.id)

    def detach(self, client: ClientSession, send_will: bool, expiry_s: int | None = None) -> None:
        """The connection is gone, or another takes its place."""
        attachment = client.attachment
        assert attachment is not None
        client.attachment = None
        if client.queue is not None and attachment.persistent is not None:
            client.queue.remove_consumer(attachment.persistent, self._back.now_ms)
        self._leave_queues(client, attachment)
        self.announce(client)
        if client.transient is not None:
            self._close(self._back.volatile, client.transient)
            client.transient = None
        self._back.forget_routes(client.row.vhost)
        if client.durable:
            state = self.state(client)
            if send_will and state is not None and state.will is not None and not state.will_delay_s:
                self._send_logged_will(client, state.will)
            client.propose(s.Detached(client.id, send_will, expiry_s))
            lasts_s = state.expiry_s if expiry_s is None and state is not None else expiry_s
            client.over = lasts_s == 0
            return
        if send_will and client.will is not None:
            self.send_will(client, client.will.messages)
        self.delete(client)

    def _leave_queues(self, client: ClientSession, attachment: Attachment) -> None:
        """What it was sent and did not acknowledge comes back: to the session's queue, and to those it shared."""
        for queue_id, first, last in client.come_back():
            self._back.settle(queue_id, first, last, Settled.REQUEUED)
        attachment.stop_all()

    def end(self, client: ClientSession, answer: Answer) -> None:
        """A durable session that nobody is attached to ends before its time, and its will is sent; then answers."""
        state = self.state(client)
        if state is not None and state.will is not None and (state.attached or state.will_at_ms):
            self._send_logged_will(client, state.will)
        self.delete(client, answer)

    def delete(self, client: ClientSession, answer: Answer | None = None) -> None:
        """The session ends; what it is owed goes with it."""
        row = client.row
        self._back.submit(DeleteClientSession(row.vhost, row.client_id, row.session_id, row.durable), answer)

    def drop_subscription(self, client: ClientSession, subscription: Subscription) -> None:
        """What it consumed from is gone."""

        def answer(outcome: Outcome) -> None:
            self._receive_subscriptions(client)
            again = None if client.attachment is None else client.attachment.subscription_read(subscription.filter)
            if again is not None:  # the queue was made anew and subscribed to, all before this was applied
                put = PutSubscriptions(client.row.vhost, (again,), client.durable)
                self._back.submit(put, lambda outcome: self._receive_subscriptions(client))

        self._back.submit(DropSubscriptions(client.row.vhost, (subscription,), client.durable), answer)

    def _receive_subscriptions(self, client: ClientSession) -> None:
        """They changed, if the session did not go meanwhile with its vhost."""
        if self._back.topology.find_session(client.row.vhost, client.row.client_id) is not None:
            client.receive_subscriptions(self._back.topology.subscriptions(client.row))
            self.announce(client)

    def receive_deleted(self, row: ClientSessionRow) -> None:
        """Its row is gone."""
        client = self.sessions.pop(row.session_id, None)
        if client is None:
            return
        if self._by_key.get((row.vhost, row.client_id)) is client:
            del self._by_key[row.vhost, row.client_id]
        attachment = client.attachment
        if attachment is not None:  # its vhost was deleted; or a session that lasts was made at another node
            client.attachment = None
            if client.will is not None and row.vhost in self._back.topology.vhosts():
                self.send_will(client, client.will.messages)
            self._leave_queues(client, attachment)
            attachment.front.lose_client()
        if client.transient is not None:
            self._close(self._back.volatile, client.transient)
        if client.queue is not None:
            self._close(client.shard, client.queue)
        if client.durable:
            client.propose(s.Ended(client.id))

    # ---- wills

    def send_will(self, client: ClientSession, messages: MessageRun) -> None:
        """If its user still may."""
        if self._may_publish(client):
            self._back.publish(client.row.vhost, messages)

    def _may_publish(self, client: ClientSession) -> bool:
        exchange = ExchangeName(MQTT_EXCHANGE.decode())
        principal = Principal(client.row.user)
        return self._back.topology.admit_publish(principal, client.row.vhost, exchange) is None

    def _send_logged_will(self, client: ClientSession, will: bytes) -> None:
        """With its mark in the log, so that it is sent once."""
        if client.id in self._sending_wills:
            return
        self._sending_wills.add(client.id)
        _, messages, _ = decode_record_batch(will)
        sent = s.WillSent(client.id)
        if not self._may_publish(client):
            client.propose(sent)
            return
        outbox = self._back.outbox(client.shard, client.row.vhost, CLIENT_OUTBOX_BASE)
        client.accept(messages, outbox, sent)

    # ---- the log

    def receive_commands(self, shard: Shard, commands: Iterable[tuple[int, int, bytes]]) -> None:
        """What was committed in a session's shard."""
        states = self._states[shard]
        for _, time_ms, data in commands:
            command = s.decode_client_command(data)
            states.apply(command, time_ms)
            if isinstance(command, s.WillSent):
                self._sending_wills.discard(command.session)
            elif isinstance(command, s.Detached) and shard.leading:
                self._watch(command.session, states)
        for key, value in states.rows_changed():
            shard.kernel.put_row(key, value)

    def restore(self, shard: Shard) -> None:
        """Its state was replaced."""
        self._states[shard] = _states_of(shard)

    def begin(self) -> None:
        """Leads what the topology says is here."""
        for shard in self._back.logged:
            self.lead_shard(shard)

    def end_shard(self, shard: Shard) -> None:
        """Another node leads it, or will: clients of its sessions are to come again."""
        for client in [client for client in self.sessions.values() if client.shard is shard]:
            client.lost = True
            self._sending_wills.discard(client.id)
            del self.sessions[client.id]
            self._by_key.pop((client.row.vhost, client.row.client_id), None)
            if client.queue is not None:
                self._back.queues.pop(client.queue.id, None)
            attachment, client.attachment = client.attachment, None
            self.announce(client)
            if attachment is not None:
                if client.transient is not None:
                    self._close(self._back.volatile, client.transient)
                self._leave_queues(client, attachment)
                attachment.front.lose_client_leader()

    def lead_shard(self, shard: Shard) -> None:
        """The sessions of a shard that is led here from now on: every client is gone, since when nobody knows."""
        rows = self._rows_of(shard)
        for row in rows:
            client = self._take_up(row)
            if self.state(client) is None:
                client.over = True  # died before anybody was attached
                self.delete(client)
        if self._back.forwarding is None:
            self._forget_ended(shard, {row.session_id for row in rows})

    def _rows_of(self, shard: Shard) -> list[ClientSessionRow]:
        return [row for row in self._back.topology.sessions() if row.durable and row.shard == shard.id]

    def _take_up(self, row: ClientSessionRow) -> ClientSession:
        """One that may have been led elsewhere before."""
        client = self.lead(row)
        states = self._states[client.shard]
        state = states.states.get(client.id)
        client.receive_subscriptions(self._back.topology.subscriptions(row))
        if state is None:
            return client
        client.restore_ids(states.ids[client.id])
        client.bound_queue(state.queue_length_max)
        if state.attached:
            client.propose(s.Detached(client.id, True, None))
        else:
            self._watch(client.id, states)
        return client

    def receive_topology(self, shard: Shard) -> None:
        """When the shard began to be led here this node may not have known all rows of its sessions: it does now."""
        rows = self._rows_of(shard)
        for row in rows:
            client = self.sessions.get(row.session_id)
            if client is not None:
                client.receive_subscriptions(self._back.topology.subscriptions(row))
        self._forget_ended(shard, {row.session_id for row in rows})

    def _forget_ended(self, shard: Shard, known: set[ClientSessionId]) -> None:
        for session in self._states[shard].states.keys() - known:
            shard.decide(s.encode_client_command(s.Ended(session)))

    # ---- time

    def _watch(self, session: ClientSessionId, states: s.ClientStates) -> None:
        state = states.states.get(session)
        if state is None or state.attached:
            return
        for at_ms in (state.will_at_ms, state.expires_at_ms):
            if at_ms:
                heapq.heappush(self._timers, (at_ms, next(self._timer_turn), session))

    @property
    def next_deadline_ms(self) -> int | None:
        return self._timers[0][0] if self._timers else None

    def receive_time(self, now_ms: int) -> None:
        """Wills and sessions whose time has come."""
        due = []
        while self._timers and self._timers[0][0] <= now_ms:
            due.append(heapq.heappop(self._timers)[2])
        for session in dict.fromkeys(due):
            client = self.sessions.get(session)
            if client is not None:
                self._end_in_time(client, now_ms)

    def _end_in_time(self, client: ClientSession, now_ms: int) -> None:
        state = self.state(client)
        key = (client.row.vhost, client.row.client_id)
        if state is None or state.attached or client.attachment is not None or key in self._attaching:
            return
        if state.will is not None and 0 < state.will_at_ms <= now_ms:
            self._send_logged_will(client, state.will)
        if state.expiry_s != NEVER and 0 < state.expires_at_ms <= now_ms:
            self._back.traffic.expired += 1
            self.delete(client)


def _states_of(shard: Shard) -> s.ClientStates:
    return s.ClientStates(row for row in shard.kernel.rows() if not is_transaction_row(row[0]))


def will_of(will: Will | None) -> tuple[bytes | None, int]:
    """As the log keeps it."""
    return (None, 0) if will is None else (encode_record_batch(will.messages, 0), will.delay_s)
