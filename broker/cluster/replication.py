"""The Raft groups of a node: their clock, their messages, and who leads what.

A group is ticked only while it has something to do: one whose members all have everything, and whose leader's node is
heard of, costs nothing (the nodes' heartbeats stand for the groups').
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import APPEND, BULK, CONSENSUS
from broker.cluster.peers import Peers
from broker.cluster.snapshots import Snapshots
from broker.core.replicated_shard import ReplicatedShard
from broker.model.names import ShardId
from kernel import quiet_marks, step_frames, take_frames
from kernel.journal import Import as StoreImport

ELECTION_TIMEOUT_S = 0.5
"""After which a group without its leader elects another; up to twice that, drawn."""
ELECTION_TICKS = 10
"""Of Raft's clock (kernel/src/raft_options.rs)."""


AWAKE_TICKS = 20
"""A group does not rest for so long after a node came to whom it is to be told who leads, or asked for votes."""
LEADERS_WORDS = (b"\x08\x08", b"\x08\x03")
"""How the messages begin that only a leader says: raft's Message as protobuf has its type first, MsgHeartbeat or
MsgAppend."""


class Standing(msgspec.Struct, frozen=True):
    """Who leads a group, as this node last saw it change."""

    leader: int = 0
    term: int = 0
    incarnation: int = 0
    """Of the leader's node then; 0: it was not heard of."""


NOBODY = Standing()


class Replication:
    """One node's replicas."""

    def __init__(
        self,
        shards: Sequence[ReplicatedShard],
        peers: Peers,
        own_peer: int,
        begin_import: Callable[[int], StoreImport],
    ) -> None:
        self._shards = shards
        self._by_id = {shard.id: shard for shard in shards}
        self._kernels = [shard.kernel for shard in shards]
        self._kernels_by_id = {int(shard.id): shard.kernel for shard in shards}
        self._peers = peers
        self.snapshots = Snapshots(self._by_id, peers, begin_import)
        self._own_peer = own_peer
        self._standings: dict[ShardId, Standing] = {}
        self._unheard: set[ShardId] = set()
        """Those of them whose leader's node was not heard of then."""
        self._live: Mapping[int, int] = {}
        self.ceased: Callable[[ReplicatedShard], None] = lambda shard: None
        """Told at once of a shard whose replica here serves no more."""
        self._awake_ticks = 0
        """Of all that are led here."""
        self._awake: dict[ShardId, int] = {}
        """Ticks of groups in which a leader was missed."""
        self._rested: tuple[list[int], dict[int, int]] | None = None
        """When all were found to rest: their marks, and the nodes that were heard of."""
        self.refused_count = 0
        """Messages of peers that Raft's guards refused."""

    def receive_live(self, live: Mapping[int, int]) -> None:
        """The nodes that are heard of, and their incarnations; changes as they do."""
        self._live = live

    def wake(self) -> None:
        """A node is there (again): those of resting groups are to tell it that they lead.  Who follows rests on: while
        it did not, and a leader that heard of no node did, it would miss that one."""
        self._awake_ticks = AWAKE_TICKS
        self._rested = None

    def standing(self, shard: ShardId) -> Standing:
        return self._standings.get(shard, NOBODY)

    def receive_standing(self, shard: ReplicatedShard, leader: int, term: int) -> None:
        incarnation = self._live.get(leader, 0)
        self._standings[shard.id] = Standing(leader, term, incarnation)
        if incarnation or leader in (0, self._own_peer):
            self._unheard.discard(shard.id)
        else:
            self._unheard.add(shard.id)
        self._rested = None
        if leader == self._own_peer:
            self._awake[shard.id] = AWAKE_TICKS  # who was asked for votes is awake, and listens for its leader

    def receive_forgotten(self, shard: ReplicatedShard) -> None:
        """Its replica here begins anew, and knows of nobody."""
        self.receive_standing(shard, 0, shard.kernel.term)

    def tick(self) -> bool:
        """Raft's clock goes on by one.  Whether it meant anything to a group."""
        self._awake_ticks = max(self._awake_ticks - 1, 0)
        self._awake = {shard: ticks - 1 for shard, ticks in self._awake.items() if ticks > 1}
        marks = quiet_marks(self._kernels)
        if self._rested is not None and self._rested == (marks, self._live):
            return False
        ticked = False
        for shard in self._shards:
            if not self._rests(shard):
                ticked = True
                shard.kernel.tick()
                if shard.leading and not shard.kernel.serving:
                    self.ceased(shard)
        self._rested = None if ticked else (marks, dict(self._live))
        return ticked

    def _rests(self, shard: ReplicatedShard) -> bool:
        if shard.id in self._awake or not shard.kernel.quiet:
            return False
        if shard.kernel.leading:
            if self._awake_ticks:
                return False
            voters, outgoing, _, _ = shard.kernel.conf()
            return all(peer == self._own_peer or peer in self._live for peer in (*voters, *outgoing))
        standing = self.standing(shard.id)
        voters, outgoing, _, _ = shard.kernel.conf()
        if not voters:
            return True  # it is no member, and waits for nobody
        if standing.leader == 0 or not self._live.get(standing.leader) == standing.incarnation != 0:
            return False
        return standing.leader in voters or standing.leader in outgoing  # else it has stepped down, and can't campaign

    def _receive_leader(self, shard: ShardId, peer: int) -> None:
        """Who leads may have been seen to before its node was heard of, both ways: who follows it rests after all."""
        standing = self.standing(shard)
        if standing.leader == peer and not standing.incarnation and peer in self._live:
            self._standings[shard] = msgspec.structs.replace(standing, incarnation=self._live[peer])
            self._unheard.discard(shard)
            self._rested = None

    def receive(self, peer: int, frames: Sequence[Frame]) -> bool:
        """A peer's messages to groups.  Whether anything came of them: most acknowledgements change nothing."""
        due, begin = False, 0
        while begin < len(frames):
            stepped, notes, begin = step_frames(self._kernels_by_id, frames, begin)
            due |= stepped
            for place, note in notes:
                due |= self._receive_note(frames[place], note)
        if self._unheard:
            for frame in frames:
                if frame.body[:2] in LEADERS_WORDS:
                    self._receive_leader(frame.head[0], peer)
        return due

    def _receive_note(self, frame: Frame, note: str) -> bool:
        """What is to be seen to of a message; whether a step would make something of it."""
        shard = self._by_id.get(frame.head[0])
        if shard is None:
            self.refused_count += 1
        elif note == "asked":
            # Somebody misses a leader whose node is heard.  Who rests would believe in that for ever, and refuse.
            self._awake[shard.id] = AWAKE_TICKS
            self._rested = None
        elif note == "ceased":
            self.ceased(shard)
        elif frame.kind == APPEND and self.snapshots.receive_offer(shard, frame.body):
            return True
        else:
            self.refused_count += 1
        return False

    def flush(self) -> None:
        """Sends what the groups have to say."""
        for number, to, bulk, size, pieces in take_frames(self._kernels):
            if not self._peers.send_pieces(to, BULK if bulk else CONSENSUS, pieces, size):
                kernel = self._kernels[number]
                kernel.report_unreachable(to)
                if bulk:
                    kernel.report_snapshot(to, False)  # an offer may be among what was not sent
