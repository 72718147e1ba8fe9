"""Volatile things of this node are told to the others, which route to them; theirs are known here likewise.

They belong to their connection's node, and to nobody when it is gone (log-and-shards.md section 6).  What a client
waits for is answered when every live node knows it (section 11).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import structlog

from broker.core import forward_words as w
from broker.core.replicated_shard import ReplicatedShard
from broker.core.shard import Shard
from broker.core.topology_changes import reap
from broker.core.topology_restoring import DROPS
from broker.core.topology_rows import (
    BindingRow,
    ClientSessionRow,
    ExchangeRow,
    QueueRow,
    Row,
    SubscriptionRow,
    decode_row,
    encode_row,
)
from broker.core.topology_tables import RESTORES, TopologyTables
from broker.core.volatile_rows import OWN
from broker.model.names import ShardId, VhostName
from routing.bindings import Binding

if TYPE_CHECKING:
    from broker.core.back import Back
    from broker.core.leader_end import Send

log = structlog.get_logger()

ROWS_MAX = 1024
"""Told in one word."""
NO_SHARD = ShardId(0)
NAMED = (b"q", b"x")
"""What the keys of exchanges' and queues' rows begin with."""


class Announcing:
    """One node's."""

    def __init__(self, back: Back, tables: TopologyTables, send: Send) -> None:
        self._back = back
        self._tables = tables
        self._send = send
        self._told: dict[int, int] = {}
        """To each live peer: the last word that it has acknowledged."""
        self._listening: set[int] = set()
        """Those of them that were told all there is."""
        self._number = 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._unplaced: dict[int, dict[bytes, Row]] = {}
        """Of others, what has no place here yet: its name is taken, or what it hangs on is another's and unknown."""
        self._doubtful: dict[int, dict[bytes, None]] = {}
        """Of others that tell anew all there is, what they have not told again yet."""
        self._removed: dict[VhostName, list[Binding]] = {}
        self.changed: Callable[[], None] = lambda: None
        """Told when others' things became others."""
        self.gone: Callable[[bytes], None] = lambda key: None
        """Told of this node's exchanges and queues that are not there any more, by their rows' keys."""
        back.meta.when_announced = self.when_announced

    # ---- ours

    def flush(self) -> None:
        """Tells what changed in a round; whatever is there: a word is numbered for all peers alike."""
        changed = self._tables.volatile.take_changed()
        if not changed:
            return
        if any(self._unplaced.values()):
            self._place_again()
            self._back.forget_all_routes()
        for key, row in changed:
            if row is None and key[:1] in NAMED:
                self.gone(key)
        for begin in range(0, len(changed), ROWS_MAX):
            self._number += 1
            word = self._word(changed[begin : begin + ROWS_MAX])
            for peer in self._listening:
                self._send(peer, word)

    def _word(self, rows: Iterable[tuple[bytes, Row | None]], whole: bool = False, more: bool = False) -> w.Announce:
        encoded = [(key, None if row is None else encode_row(row)) for key, row in rows]
        return w.Announce(NO_SHARD, self._number, self._back.meta_index, whole, more, encoded)

    def when_announced(self, finish: Callable[[], None]) -> None:
        """Finishes once all live nodes know what is there now."""
        self.flush()
        self._waiting.append((self._number, finish))
        self._go_on()

    def receive_peer_up(self, peer: int) -> None:
        """It is waited for from here on."""
        self._told[peer] = 0

    def tell(self, peer: int) -> None:
        """It listens, and knows nothing, or what it was told before."""
        self.flush()
        self._listening.add(peer)
        rows = self._tables.volatile.of(OWN)
        parts = [rows[begin : begin + ROWS_MAX] for begin in range(0, len(rows), ROWS_MAX)] or [[]]
        for number, part in enumerate(parts, 1):
            told = [(row.key(), row) for row in part]
            self._send(peer, self._word(told, whole=number == 1, more=number < len(parts)))

    def receive_acknowledged(self, peer: int, number: int) -> None:
        if peer in self._told:
            self._told[peer] = max(self._told[peer], number)
            self._go_on()

    def _go_on(self) -> None:
        told = min(self._told.values(), default=self._number)
        while self._waiting and self._waiting[0][0] <= told:
            self._waiting.popleft()[1]()

    # ---- theirs

    def receive(self, peer: int, word: w.Announce) -> None:
        """In order; what hangs on logged things that are not here yet waits for them."""
        self._back.when_topology(word.meta_index, lambda: self._take(peer, word))

    def _take(self, peer: int, word: w.Announce) -> None:
        if peer not in self._told:
            return
        volatile = self._tables.volatile
        if word.whole:
            self._unplaced.pop(peer, None)
            self._doubtful[peer] = {row.key(): None for row in volatile.of(peer)}
        doubtful = self._doubtful.get(peer, {})
        for key, value in word.rows:
            doubtful.pop(key, None)
            self._take_row(peer, key, None if value is None else decode_row(key, value))
        if not word.more:
            for key in reversed(self._doubtful.pop(peer, {})):
                self._take_row(peer, key, None)
        self._end_change()
        if not word.more:
            self._send(peer, w.Announced(NO_SHARD, word.number))

    def _take_row(self, peer: int, key: bytes, row: Row | None) -> None:
        unplaced = self._unplaced.setdefault(peer, {})
        unplaced.pop(key, None)
        there = self._tables.volatile.find(peer, key)
        if there is not None and there == row:
            return  # told again: who consumes there goes on
        if there is not None:
            self._drop(there)
        if row is not None and not self._put(peer, row):
            unplaced[key] = row

    def _end_change(self) -> None:
        """What had no place may have one now, and exchanges may go with their last bindings."""
        removed, self._removed = self._removed, {}
        for name, bindings in removed.items():
            vhost = self._tables.vhosts.get(name)
            if vhost is None:
                continue
            for command in reap(self._tables, vhost, bindings):
                meta = self._back.meta_shard
                if meta.leading or not self._reaches(meta):  # more than one may ask for it, and does no harm
                    self._back.submit(command)
        self._place_again()
        self._back.forget_all_routes()
        self.changed()

    def _reaches(self, meta: Shard) -> bool:
        """There is a leader that sees to it by itself."""
        return isinstance(meta, ReplicatedShard) and meta.reachable

    def _place_again(self) -> None:
        again = any(self._unplaced.values())
        while again:
            again = False
            for peer, rows in self._unplaced.items():
                for key, row in list(rows.items()):
                    if self._put(peer, row):
                        rows.pop(key, None)
                        again = True

    def _put(self, peer: int, row: Row) -> bool:
        """False: there is something else of its name, or what it hangs on is not there."""
        there = self._taken_by(row)
        if there is not None and not self._give_way(row, there):
            return False
        volatile = self._tables.volatile
        volatile.owner = peer
        try:
            RESTORES[type(row)](self._tables, row)
        except KeyError:
            return False
        finally:
            volatile.owner = OWN
        if isinstance(row, QueueRow):
            self._back.receive_foreign_queue(row)
        return True

    def _taken_by(self, row: Row) -> Row | None:
        """What has its name."""
        vhost = self._tables.vhosts.get(getattr(row, "vhost", None))  # type: ignore[arg-type]
        if vhost is None:
            return None
        if isinstance(row, QueueRow):
            return vhost.queues.get(row.spec.name)
        if isinstance(row, ExchangeRow):
            return vhost.exchanges.get(row.spec.name)
        return vhost.sessions.get(row.client_id) if isinstance(row, ClientSessionRow) else None

    def _give_way(self, row: Row, there: Row) -> bool:
        """Of one client's sessions at two nodes the one with the higher id stays, as every node finds."""
        if not isinstance(row, ClientSessionRow) or not isinstance(there, ClientSessionRow):
            log.warning("a name is taken on two nodes", name=row.key().decode(errors="replace"))
            return False
        if there.durable or there.session_id > row.session_id:
            return False
        volatile = self._tables.volatile
        owner = volatile.owner_of(there.key())
        if owner == OWN:
            self._back.clients.let_go(there.session_id)
        else:
            subscriptions = self._tables.vhosts[there.vhost].router.subscriptions.of_session(there.session_id)
            rows: list[Row] = [there, *(SubscriptionRow(there.vhost, each) for each in subscriptions)]
            self._drop(there)
            self._unplaced.setdefault(owner, {}).update({each.key(): each for each in rows})
        return self._taken_by(row) is None

    def _drop(self, row: Row) -> None:
        if isinstance(row, QueueRow | ClientSessionRow):
            self._back.receive_foreign_gone(row.queue_id)
        if isinstance(row, SubscriptionRow) and row.subscription.session not in self._tables.sessions:
            return
        drop: Callable[[TopologyTables, Any], object] = DROPS[type(row)]
        gone = drop(self._tables, row)
        if isinstance(row, BindingRow):
            self._removed.setdefault(row.vhost, []).append(row.binding)
        elif isinstance(row, QueueRow | ExchangeRow):
            assert isinstance(gone, list)
            self._removed.setdefault(row.vhost, []).extend(gone)

    def receive_peer_down(self, peer: int) -> None:
        self._listening.discard(peer)
        if self._told.pop(peer, None) is None:
            return
        self._forget(peer)
        self._end_change()
        self._go_on()

    def _forget(self, peer: int) -> None:
        self._unplaced.pop(peer, None)
        self._doubtful.pop(peer, None)
        volatile = self._tables.volatile
        for row in reversed(volatile.of(peer)):
            if volatile.find(peer, row.key()) is row:  # what hung on another went with it
                self._drop(row)
        volatile.forget(peer)
