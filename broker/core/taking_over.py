"""A client comes here while another node has a session for it that is its connection's: that is let go first.

Who comes waits until nothing is heard of the other session any more; its node may be gone as well.  Where two came at
once neither knew of the other: the nodes agree which one stays by the sessions' ids (``announcing.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from broker.core import forward_words as w
from broker.core.front_end import FrontEnd
from broker.core.replicated_shard import ReplicatedShard
from broker.core.topology_rows import ClientSessionRow
from broker.model.names import ClientSessionId

if TYPE_CHECKING:
    from broker.core.back import Back
    from broker.core.leader_end import Send


class TakingOver:
    """One node's."""

    def __init__(self, back: Back, front: FrontEnd, send: Send) -> None:
        self._back = back
        self._front = front
        self._send = send
        self._waiting: dict[ClientSessionId, tuple[ReplicatedShard, Callable[[], None]]] = {}

    def take_over(self, row: ClientSessionRow, finish: Callable[[], None]) -> None:
        """Finishes once the session, which is another node's and volatile, is gone.

        For one client one at a time (Clients.take_turn).
        """
        shard = self._back.volatile_shard(row.session_id)
        assert isinstance(shard, ReplicatedShard)
        self._waiting[row.session_id] = shard, finish
        self._ask(row.session_id, shard)

    def _ask(self, session: ClientSessionId, shard: ReplicatedShard) -> None:
        leader = self._front.leader_and_term(shard)
        if leader is not None:
            self._send(leader[0], w.LetGo(shard.id, leader[1], session))

    def receive_attached(self, shard: ReplicatedShard) -> None:
        """Its node can be asked now."""
        for session, (of, _) in self._waiting.items():
            if of is shard:
                self._ask(session, shard)

    def look(self) -> None:
        """Others' volatile things changed."""
        gone = [session for session in self._waiting if self._back.topology.session(session) is None]
        for session in gone:
            self._waiting.pop(session)[1]()
