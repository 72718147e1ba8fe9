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
from broker.core.topology_restoring import DROPS
from broker.core.topology_rows import (
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
from broker.model.names import ShardId

if TYPE_CHECKING:
    from broker.core.back import Back
    from broker.core.leader_end import Send

log = structlog.get_logger()

ROWS_MAX = 1024
"""Told in one word."""
NO_SHARD = ShardId(0)


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
        back.meta.when_announced = self.when_announced

    # ---- ours

    def flush(self) -> None:
        """Tells what changed in a round; whatever is there: a word is numbered for all peers alike."""
        changed = self._tables.volatile.take_changed()
        for begin in range(0, len(changed), ROWS_MAX):
            self._number += 1
            word = self._word(changed[begin : begin + ROWS_MAX], whole=False)
            for peer in self._listening:
                self._send(peer, word)

    def _word(self, rows: Iterable[tuple[bytes, Row | None]], whole: bool) -> w.Announce:
        encoded = [(key, None if row is None else encode_row(row)) for key, row in rows]
        return w.Announce(NO_SHARD, self._number, self._back.meta_index, whole, encoded)

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
        for part_number, part in enumerate(parts):
            self._send(peer, self._word([(row.key(), row) for row in part], whole=part_number == 0))

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
        if word.whole:
            self._forget(peer)
        volatile = self._tables.volatile
        volatile.owner = peer
        for key, value in word.rows:
            there = volatile.find(peer, key)
            if there is not None:
                self._drop(there)
            if value is not None:
                self._put(decode_row(key, value))
        volatile.owner = OWN
        self._back.forget_all_routes()
        self._send(peer, w.Announced(NO_SHARD, word.number))

    def _put(self, row: Row) -> None:
        if self._is_taken(row):
            log.warning("a name is taken on two nodes", name=row.key().decode(errors="replace"))
            return
        try:
            RESTORES[type(row)](self._tables, row)
        except KeyError:
            return  # what it hangs on was deleted meanwhile, and with it this
        if isinstance(row, QueueRow):
            self._back.receive_foreign_queue(row)

    def _is_taken(self, row: Row) -> bool:
        vhost = self._tables.vhosts.get(getattr(row, "vhost", None))  # type: ignore[arg-type]
        if vhost is None:
            return False
        if isinstance(row, QueueRow):
            return row.spec.name in vhost.queues
        if isinstance(row, ExchangeRow):
            return row.spec.name in vhost.exchanges
        return isinstance(row, ClientSessionRow) and row.client_id in vhost.sessions

    def _drop(self, row: Row) -> None:
        if isinstance(row, QueueRow | ClientSessionRow):
            self._back.receive_foreign_gone(row.queue_id)
        drop: Callable[[TopologyTables, Any], object] = DROPS[type(row)]
        if isinstance(row, SubscriptionRow) and row.subscription.session not in self._tables.sessions:
            return
        drop(self._tables, row)

    def receive_peer_down(self, peer: int) -> None:
        self._listening.discard(peer)
        if self._told.pop(peer, None) is None:
            return
        self._forget(peer)
        self._back.forget_all_routes()
        self._go_on()

    def _forget(self, peer: int) -> None:
        volatile = self._tables.volatile
        for row in reversed(volatile.of(peer)):
            if volatile.find(peer, row.key()) is row:  # what hung on another went with it
                self._drop(row)
        volatile.forget(peer)
