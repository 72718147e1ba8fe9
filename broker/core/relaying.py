"""A client whose session another node leads: its commands go there, and what that node says comes back.

Client sessions live where their shard is led, with their windows and ids in its log.  The client stays connected where
it is; when the leader changes it is asked to come again, and finds its session at the next one (MQTT's own way).  One
that was not answered yet waits for the next leader instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from broker.core import forward_words as w
from broker.core.permissions import Principal
from broker.core.replicated_shard import ReplicatedShard
from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ClientId, ClientSessionId, SessionId, ShardId, UserName, VhostName

if TYPE_CHECKING:
    from broker.core.back import Back
    from broker.core.leader_end import Send
    from broker.core.session import Session

PROTOCOL = "mqtt"
"""Only its clients have sessions."""
RELAYED = (
    cs.AttachSession,
    cs.DetachSession,
    cs.Subscribe,
    cs.Unsubscribe,
    cs.PublishOnce,
    cs.Release,
    cs.Acknowledge,
)


class RelayedFront(Protocol):
    """A session here whose client's session is elsewhere."""

    def receive_relayed(self, reply: r.Reply) -> None: ...

    def lose_client_leader(self) -> None: ...

    def end_relay(self, said: Sequence[c.Command]) -> None: ...


class Relay:
    """The front's end."""

    __slots__ = (
        "_client_id",
        "_ends",
        "_said",
        "answered",
        "front",
        "held",
        "no_local",
        "number",
        "open",
        "shard",
        "user",
        "vhost",
    )

    def __init__(
        self,
        ends: RelayFronts,
        front: RelayedFront,
        shard: ReplicatedShard,
        number: int,
        user: UserName,
        vhost: VhostName,
    ) -> None:
        self._ends = ends
        self.front = front
        self.shard = shard
        self.number = number
        self.user = user
        self.vhost = vhost
        self.open = False
        self.answered = False
        """The client may know that its session is taken up."""
        self.held: list[c.Command] = []
        """Said before there was a leader to hear it."""
        self._said: list[c.Command] = []
        """To a leader that has not answered."""
        self.no_local: ClientSessionId | None = None
        """The client's session, if it has subscriptions that want nothing of its own."""
        self._client_id: ClientId | None = None

    @property
    def held_count(self) -> int:
        """Commands that are kept here."""
        return len(self.held) + len(self._said)

    def say(self, command: c.Command) -> None:
        self.held.append(command)
        self._ends.due[self] = None

    def take_held(self) -> list[c.Command]:
        """To be said to the leader; until it answers they may have to be said to another."""
        said, self.held = self.held, []
        if not self.answered:
            self._said += said
        return said

    def begin_again(self, number: int) -> None:
        """The leader is lost, and has not answered: the next one is told all of it."""
        self.number, self.open = number, False
        self.held, self._said = self._said + self.held, []
        self._ends.due[self] = None

    def receive_answer(self) -> None:
        self.answered = True
        self._said = []

    def receive_reply(self, reply: w.RelayedReply) -> None:
        """Subscriptions that the client is told of are known here."""
        if isinstance(reply, cs.SessionAttached):
            self._client_id = reply.client_id
        elif not isinstance(reply, cs.Subscribed | cs.Unsubscribed):
            return
        if self._client_id is not None:
            self.no_local = self._ends.no_local(self.vhost, self._client_id)

    def receive_drained(self) -> None:
        """What was delivered has left."""
        if self.open:
            self._ends.send(self, lambda shard, term: w.RelayDrained(shard, term, self.number))

    def close(self) -> None:
        """The connection is gone."""
        self._ends.close(self)


class RelayFronts:
    """Part of the front's end: all relays of this node's sessions."""

    def __init__(self, back: Back, send: Send, leaders: dict[ShardId, tuple[int, int]]) -> None:
        self._back = back
        self._send = send
        self._leaders = leaders
        self._numbers = itertools.count(1)
        self._relays: dict[int, Relay] = {}
        self.due: dict[Relay, None] = {}

    def begin(self, front: RelayedFront, shard: ReplicatedShard, user: UserName, vhost: VhostName) -> Relay:
        relay = Relay(self, front, shard, next(self._numbers), user, vhost)
        self._relays[relay.number] = relay
        return relay

    def send(self, relay: Relay, word: Any) -> None:
        leader = self._leaders.get(relay.shard.id)
        if leader is not None:
            self._send(leader[0], word(relay.shard.id, leader[1]))

    def flush(self) -> None:
        """What was said in a round goes, where there is a leader."""
        for relay in list(self.due):
            if not relay.shard.reachable:
                continue
            del self.due[relay]
            if relay.shard.leading:  # meanwhile
                del self._relays[relay.number]
                relay.front.end_relay(relay.held)
                continue
            number = relay.number
            if not relay.open:
                relay.open = True
                self.send(relay, lambda s, t, n=number, y=relay: w.RelayOpen(s, t, n, y.user, y.vhost))
            said = relay.take_held()
            if said:
                self.send(relay, lambda s, t, n=number, y=said: w.RelaySay(s, t, n, y))

    def receive(self, word: w.RelayReplies) -> None:
        relay = self._relays.get(word.number)
        if relay is None:
            return
        relay.receive_answer()
        for reply in word.replies:
            relay.receive_reply(reply)
            if isinstance(reply, w.RelayedDeliveries):
                grants = reply.grants[0] if reply.one else reply.grants
                relay.front.receive_relayed(cs.DeliverPublishes(reply.deliveries, reply.packet_ids, grants))
            else:
                relay.front.receive_relayed(reply)

    def no_local(self, vhost: VhostName, client_id: ClientId) -> ClientSessionId | None:
        """The client's session, if it has such a subscription."""
        topology = self._back.topology
        row = topology.find_session(vhost, client_id)
        if row is not None and any(each.no_local for each in topology.subscriptions(row)):
            return row.session_id
        return None

    def lose_leader(self, shard: ReplicatedShard) -> None:
        for relay in [relay for relay in self._relays.values() if relay.shard is shard and relay.open]:
            del self._relays[relay.number]
            if relay.answered:
                self.due.pop(relay, None)
                relay.front.lose_client_leader()
            else:
                relay.begin_again(next(self._numbers))
                self._relays[relay.number] = relay

    def close(self, relay: Relay) -> None:
        if self._relays.pop(relay.number, None) is not None and relay.open:
            number = relay.number
            self.flush()
            self.send(relay, lambda s, t: w.RelayClose(s, t, number))
        self.due.pop(relay, None)


class RelayGuests:
    """The leader's end: a session here for each client that is connected elsewhere."""

    def __init__(self, back: Back, send: Send) -> None:
        self._back = back
        self._send = send
        self._sessions: dict[tuple[int, int], tuple[ReplicatedShard, Session]] = {}
        self._keys: dict[Session, tuple[int, int]] = {}
        self._busy: dict[Session, None] = {}
        self._ids = itertools.count(1)

    def receive_open(self, peer: int, shard: ReplicatedShard, word: w.RelayOpen) -> None:
        id = SessionId(self._back.number_base + RELAY_ID_BASE + next(self._ids))
        session = self._back.make_session(id, self._busy)
        session.principal = Principal(word.user)
        session.submit([c.OpenVhost(word.vhost)])
        refused = [reply for reply in session.take_replies() if isinstance(reply, r.Refuse)]
        if refused:
            self._send(peer, w.RelayReplies(shard.id, shard.term, word.number, refused))
            return
        session.receive_protocol(PROTOCOL)
        self._sessions[peer, word.number] = (shard, session)
        self._keys[session] = (peer, word.number)

    def receive_say(self, peer: int, word: w.RelaySay) -> None:
        found = self._sessions.get((peer, word.number))
        if found is not None:
            found[1].submit(word.commands)

    def receive_drained(self, peer: int, word: w.RelayDrained) -> None:
        found = self._sessions.get((peer, word.number))
        if found is not None:
            found[1].receive_drained()

    def receive_close(self, peer: int, word: w.RelayClose) -> None:
        self._close((peer, word.number))

    def _close(self, key: tuple[int, int]) -> None:
        found = self._sessions.pop(key, None)
        if found is not None:
            found[1].close()
            self._busy.pop(found[1], None)
            del self._keys[found[1]]

    def receive_peer_down(self, peer: int) -> None:
        for key in [key for key in self._sessions if key[0] == peer]:
            self._close(key)

    def end(self, shard: ReplicatedShard) -> None:
        """It is led here no more; its sessions were told so."""
        self.flush()
        for key in [key for key, (of, _) in self._sessions.items() if of is shard]:
            self._close(key)

    def flush(self) -> None:
        """What the sessions have to say goes to their clients' nodes."""
        if not self._busy:
            return
        busy = list(self._busy)
        self._busy.clear()
        for session in busy:
            key = self._keys.get(session)
            if key is None:
                continue
            shard = self._sessions[key][0]
            replies = [_relayed(reply) for reply in session.take_replies()]
            if replies:
                self._send(key[0], w.RelayReplies(shard.id, shard.term, key[1], replies))


RELAY_ID_BASE = 1 << 32
"""Of such sessions' ids within their node's: far above those of connections."""


def _relayed(reply: Any) -> w.RelayedReply:
    if not isinstance(reply, cs.DeliverPublishes):
        relayed: w.RelayedReply = reply
        return relayed
    one = not isinstance(reply.grants, Sequence)
    grants: list[Any] = [reply.grants] if one else list(reply.grants)  # type: ignore[arg-type]
    return w.RelayedDeliveries(reply.deliveries, reply.packet_ids, grants, one)


def shard_of_client(
    back: Back, vhost: VhostName, client_id: ClientId, command: cs.AttachSession
) -> ReplicatedShard | None:
    """Where the client's session is, or is to be, if that is not here; None: here.

    A session that goes with its connection is here, unless one that lasts is there to be ended first.
    """
    if back.forwarding is None:
        return None
    row = back.topology.find_session(vhost, client_id)
    if row is not None and row.durable:
        shard = back.logged_shard(row.shard)
    elif command.expiry_s and not any(each.leading for each in back.logged):
        shard = back.logged_shard(back.next_shard())
    else:
        return None
    assert isinstance(shard, ReplicatedShard)
    return None if shard.leading else shard
