"""Words between this node and others about replicated shards: each goes to the front's end or the leader's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.core import forward_words as w
from broker.core.announcing import Announcing
from broker.core.consumer import Consumer
from broker.core.front_end import Claim, FrontEnd
from broker.core.leader_end import LeaderEnd, Send
from broker.core.naming import Naming
from broker.core.outcomes import Applied
from broker.core.replicated_shard import ReplicatedShard
from broker.core.shard import Shard
from broker.core.taking_over import TakingOver
from broker.core.visibility import Visibility
from broker.core.volatile_shards import VOLATILE_SHARD_BASE, FarVolatileShard
from broker.model.names import ShardId

if TYPE_CHECKING:
    from broker.core.back import Back


META = ShardId(0)


class Forwarding:
    """One node's."""

    def __init__(
        self,
        back: Back,
        shards: Mapping[ShardId, ReplicatedShard],
        send: Send,
        claims: Callable[[ReplicatedShard], list[Claim]],
        holds: Callable[[Consumer], bool],
    ) -> None:
        self._back = back
        self._shards = shards
        self._send = send
        self.front = FrontEnd(back, send, claims, holds)
        self.leader = LeaderEnd(back, send, back.when_topology)
        if isinstance(back.volatile, ReplicatedShard):
            self.leader.begin(back.volatile)
        for shard in shards.values():
            shard.open_wanted = partial(back.open_wanted, shard)
        self.live: dict[int, int] = {}
        """Peers that can be spoken with, and their incarnations."""
        self._told: set[int] = set()
        """Those of them that know what there is and what is led here."""
        self._unclaimed: dict[ShardId, ReplicatedShard] = {}
        """Led here, and not handing out yet."""
        self._far: dict[ShardId, FarVolatileShard] = {}
        self._own_volatile = back.volatile
        self._visibility = Visibility(self.live)
        self._told_index = 0
        self.announcing = Announcing(back, back.topology.tables, send)
        self.taking_over = TakingOver(back, self.front, send)
        assert isinstance(back.meta_shard, ReplicatedShard)
        self.naming = Naming(back, back.topology.tables, back.meta_shard.sender, self.live)
        self.announcing.changed = self._receive_announced_change
        self.announcing.gone = self.naming.receive_gone
        back.meta.when_visible = self._visibility.when_visible

    # ---- peers

    def receive_peer_up(self, peer: int, incarnation: int) -> None:
        if peer in self.live:
            self.receive_peer_down(peer)
        self.live[peer] = incarnation
        self.naming.free_dead(peer, incarnation)
        self.announcing.receive_peer_up(peer)
        self._send(peer, w.Greeting(META, answer=False))

    def _receive_greeting(self, peer: int, shard: ReplicatedShard, word: w.Greeting) -> None:
        """Two nodes seldom see each other come, or go, at the same time, and what comes from one that isn't up is
        dropped: so each is told again what it may have missed, after it said that it listens."""
        if not word.answer:
            self._send(peer, w.Greeting(META, answer=True))
        elif peer in self._told:
            return
        self._told.add(peer)
        self.announcing.tell(peer)
        self._send(peer, w.Seen(META, self._told_index))
        for led in self._leading():
            self._send(peer, w.Leading(led.id, led.term))

    def receive_peer_down(self, peer: int) -> None:
        self.live.pop(peer, None)
        self._told.discard(peer)
        self.front.receive_peer_down(peer, (*self._shards.values(), *self._far.values()))
        self.leader.receive_peer_down(peer)
        self._visibility.receive_peer_down(peer)
        self.announcing.receive_peer_down(peer)
        self._receive_announced_change()

    def _receive_announced_change(self) -> None:
        self.taking_over.look()
        self.naming.look()

    def receive_outcome(self, outcome: Applied) -> None:
        """Something changed in the topology here."""
        if outcome.name is not None:
            self.naming.receive_reserved(outcome.name)
        self.naming.look()

    def _leading(self) -> list[ReplicatedShard]:
        """What is led here, the volatile shard too."""
        led = [shard for shard in self._shards.values() if shard.leading]
        own = self._own_volatile
        return [*led, own] if isinstance(own, ReplicatedShard) else led

    def step(self, now: float) -> None:
        """Once in a round, when all is taken in."""
        for shard in list(self._unclaimed.values()) if self._unclaimed else ():
            shard.end_claims(now, self.live)
            if shard.hands_out:
                self._unclaimed.pop(shard.id, None)
        if self._back.meta_index > self._told_index:
            self._told_index = self._back.meta_index
            for peer in self.live:
                self._send(peer, w.Seen(META, self._told_index))
        self.announcing.flush()
        self.leader.tell_volatile(self._own_volatile)
        self.leader.relays.flush()
        self.front.flush()

    @property
    def has_words(self) -> bool:
        """A step would send some."""
        return self.front.has_words

    @property
    def seen_index(self) -> int:
        """The newest topology that any live node says it goes by."""
        return self._visibility.seen_index

    @property
    def next_deadline(self) -> float | None:
        """When claims are over."""
        if not self._unclaimed:
            return None
        deadlines = [shard.claim_deadline for shard in self._unclaimed.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # ---- leading

    def begin_leading(self, shard: ReplicatedShard, term: int, now: float) -> None:
        """Its replica here serves."""
        shard.begin_leading(term, self.live, now)
        if not shard.hands_out:
            self._unclaimed[shard.id] = shard
        self.leader.begin(shard)
        self._back.lead(shard)
        self.front.lead_here(shard)
        for peer in self.live:
            self._send(peer, w.Leading(shard.id, term))

    def receive_ceased(self, shard: Shard) -> None:
        """Its replica here serves no more; before anything is said to others that may be led here no more either."""
        if isinstance(shard, ReplicatedShard) and shard.leading:
            self.end_leading(shard)

    def end_leading(self, shard: ReplicatedShard) -> None:
        shard.end_leading()
        self._unclaimed.pop(shard.id, None)
        self._back.end_leading(shard)
        self.leader.end(shard)
        self.front.lose_leader(shard)

    # ---- words

    def receive(self, peer: int, word: w.ForwardWord) -> None:
        """Of a live peer.  What concerns a leader that is none any more comes to nothing: who said it will see."""
        shard = self._find(word.shard)
        if shard is None or peer not in self.live:
            return
        RECEIVING[type(word)](self, peer, shard, word)

    def _find(self, id: ShardId) -> ReplicatedShard | None:
        return self.volatile_shard(id) if id >= VOLATILE_SHARD_BASE else self._shards.get(id)

    def volatile_shard(self, id: ShardId) -> ReplicatedShard:
        """This node's own, or another's."""
        own = self._own_volatile
        assert isinstance(own, ReplicatedShard)
        if id == own.id:
            return own
        shard = self._far.get(id)
        if shard is None:
            shard = self._far[id] = FarVolatileShard(id, own.sender)
        return shard

    def volatile_shard_of_leader(self, shard: ReplicatedShard) -> ReplicatedShard | None:
        """That of the node which leads a shard now; None: nobody is known to."""
        peer = self.front.leader(shard)
        return next((far for far in self._far.values() if peer and self.front.leader(far) == peer), None)

    def _led(self, shard: ReplicatedShard, word: Any) -> bool:
        return shard.leading and shard.term == word.term

    def _leads(self, peer: int, shard: ReplicatedShard, word: Any) -> bool:
        return self.front.is_leader(peer, shard, word.term)

    def _attached(self, peer: int, shard: ReplicatedShard, word: Any) -> bool:
        """What a leader hands out before it took in what is held here, it takes back when it does."""
        return self._leads(peer, shard, word) and shard.reachable

    def _receive_seen(self, peer: int, shard: ReplicatedShard, word: w.Seen) -> None:
        self._visibility.receive_seen(peer, word.index)

    def _receive_announce(self, peer: int, shard: ReplicatedShard, word: w.Announce) -> None:
        self.announcing.receive(peer, word)

    def _receive_announced(self, peer: int, shard: ReplicatedShard, word: w.Announced) -> None:
        self.announcing.receive_acknowledged(peer, word.number)

    def _receive_leading(self, peer: int, shard: ReplicatedShard, word: w.Leading) -> None:
        # Raft's messages go by other connections, and have not said so yet.  The group must know at once: it would want
        # to propose what nobody does who doesn't lead, for ever.
        if shard.leading and shard.kernel.follow(peer, word.term):
            self.end_leading(shard)
        self.front.receive_leading(peer, shard, word)

    def _receive_attach(self, peer: int, shard: ReplicatedShard, word: w.Attach) -> None:
        if self._led(shard, word):
            self.leader.receive_attach((peer, self.live[peer]), shard, word)

    def _receive_attached(self, peer: int, shard: ReplicatedShard, word: w.Attached) -> None:
        self.front.receive_attached(peer, shard, word)
        self.taking_over.receive_attached(shard)

    def _receive_commands(self, peer: int, shard: ReplicatedShard, word: w.Commands) -> None:
        if self._led(shard, word):
            self.leader.receive_commands((peer, self.live[peer]), shard, word.numbered)

    def _receive_applied(self, peer: int, shard: ReplicatedShard, word: w.Applied) -> None:
        # Not before it has answered: what it said in between was rejected may have been missed.
        if self._attached(peer, shard, word):
            shard.receive_applied(word.through, word.rejected)

    def _receive_synced(self, peer: int, shard: ReplicatedShard, word: w.Synced) -> None:
        if self._attached(peer, shard, word):
            shard.receive_rejected(word.rejected)
            shard.receive_synced_through(word.through)

    def _receive_consume(self, peer: int, shard: ReplicatedShard, word: w.Consume) -> None:
        if self._led(shard, word):
            self.leader.receive_consume(peer, shard, word.consumer)

    def _receive_consuming(self, peer: int, shard: ReplicatedShard, word: w.Consuming) -> None:
        if self._attached(peer, shard, word):
            self.front.receive_consuming(shard, word)

    def _receive_allow(self, peer: int, shard: ReplicatedShard, word: w.Allow) -> None:
        if self._led(shard, word):
            self.leader.receive_allow(peer, shard, word.allowances)

    def _receive_cancel(self, peer: int, shard: ReplicatedShard, word: w.Cancel) -> None:
        if self._led(shard, word):
            self.leader.receive_cancel(peer, shard, word.key)

    def _receive_delivered(self, peer: int, shard: ReplicatedShard, word: w.Delivered) -> None:
        if self._attached(peer, shard, word):
            self.front.receive_delivered(shard, word)

    def _receive_ask(self, peer: int, shard: ReplicatedShard, word: w.Ask) -> None:
        if self._led(shard, word):
            self.leader.receive_ask(peer, shard, word)

    def _receive_answer(self, peer: int, shard: ReplicatedShard, word: w.Answer) -> None:
        if self._attached(peer, shard, word):
            self.front.receive_answer(shard, word)

    def _receive_let_go(self, peer: int, shard: ReplicatedShard, word: w.LetGo) -> None:
        if self._led(shard, word):
            self._back.clients.let_go(word.session)

    def _receive_relay_open(self, peer: int, shard: ReplicatedShard, word: w.RelayOpen) -> None:
        if self._led(shard, word):
            self.leader.relays.receive_open(peer, shard, word)

    def _receive_relay_say(self, peer: int, shard: ReplicatedShard, word: w.RelaySay) -> None:
        if self._led(shard, word):
            self.leader.relays.receive_say(peer, word)

    def _receive_relay_drained(self, peer: int, shard: ReplicatedShard, word: w.RelayDrained) -> None:
        if self._led(shard, word):
            self.leader.relays.receive_drained(peer, word)

    def _receive_relay_close(self, peer: int, shard: ReplicatedShard, word: w.RelayClose) -> None:
        if self._led(shard, word):
            self.leader.relays.receive_close(peer, word)

    def _receive_relay_replies(self, peer: int, shard: ReplicatedShard, word: w.RelayReplies) -> None:
        if self._leads(peer, shard, word):
            self.front.relays.receive(word)

    def receive_applied(self, shard: ReplicatedShard, applied: Iterable[tuple[int, int, int]]) -> None:
        """At its leader: (peer, incarnation, through)."""
        self.leader.receive_applied(shard, applied)

    def receive_synced(self, shard: ReplicatedShard, synced: Iterable[tuple[int, int, int]]) -> None:
        """At its leader, whose disk has it: the same."""
        for peer, incarnation, through in synced:
            if (peer, incarnation) == shard.sender:
                shard.receive_synced_through(through)
        self.leader.receive_synced(shard, synced)


RECEIVING: dict[type, Callable[[Forwarding, int, ReplicatedShard, Any], None]] = {
    w.Greeting: Forwarding._receive_greeting,
    w.Seen: Forwarding._receive_seen,
    w.Announce: Forwarding._receive_announce,
    w.Announced: Forwarding._receive_announced,
    w.Leading: Forwarding._receive_leading,
    w.Attach: Forwarding._receive_attach,
    w.Attached: Forwarding._receive_attached,
    w.Commands: Forwarding._receive_commands,
    w.Applied: Forwarding._receive_applied,
    w.Synced: Forwarding._receive_synced,
    w.Consume: Forwarding._receive_consume,
    w.Consuming: Forwarding._receive_consuming,
    w.Allow: Forwarding._receive_allow,
    w.Cancel: Forwarding._receive_cancel,
    w.Delivered: Forwarding._receive_delivered,
    w.Ask: Forwarding._receive_ask,
    w.Answer: Forwarding._receive_answer,
    w.LetGo: Forwarding._receive_let_go,
    w.RelayOpen: Forwarding._receive_relay_open,
    w.RelaySay: Forwarding._receive_relay_say,
    w.RelayDrained: Forwarding._receive_relay_drained,
    w.RelayClose: Forwarding._receive_relay_close,
    w.RelayReplies: Forwarding._receive_relay_replies,
}
