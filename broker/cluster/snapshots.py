"""Whole shards on their way from leaders to members that are too far behind, or new.

The leader's offer goes through Raft and names an export; the member fetches that chunk by chunk over the bulk link,
makes it durable, and only then steps the offer (log-and-shards.md section 11).  Reading and writing take as long as
disks do: they are jobs, which the edge carries out, on threads, one after the other for each snapshot.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Mapping

import structlog

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Channel, Kind
from broker.cluster.peers import Peers
from broker.cluster.violation import LinkViolation, Reason
from broker.core.replicated_shard import ReplicatedShard
from broker.model.names import ShardId
from kernel import Shard as KernelShard
from kernel.journal import Export as StoreExport
from kernel.journal import Import as StoreImport
from kernel.journal import SnapshotRefused

log = structlog.get_logger()

OFFER = struct.Struct("<QQ")
"""What an offer carries: the export's number, and about how many bytes it has."""
IDLE_S_MAX = 30.0
"""An export that nobody asks for so long is closed: it keeps files."""
ASK_AGAIN_S = 1.0
"""After which a chunk is asked for once more: request or answer may be lost, as links break on one side first."""
AHEAD_COUNT_MAX = 2
"""Snapshots at a time, coming or going, of which a chunk is on its way or read before its turn.  With more, clients
would wait."""
DONE, FAILED = -1, -2
"""Instead of an offset: how a fetch ended."""


def fall(error: OSError) -> None:
    raise error


class Job:
    """Work on the disk; ``done`` follows on the thread of the rounds.  ``run`` answers an error, or None."""

    def __init__(self, run: Callable[[], Exception | None], done: Callable[[Exception | None], None]) -> None:
        self.run = run
        self.done = done


class Export:
    """One snapshot, read once from its beginning to its end."""

    def __init__(self, shard: ReplicatedShard, export: StoreExport, peer: int, now: float) -> None:
        self.shard = shard
        self.export = export
        self.peer = peer
        self.offset = 0
        self.last: tuple[int, bytes] = (0, b"")
        """The chunk sent last, and where it begins: it may have been lost."""
        self.next: bytes | None = None
        """Read before it is asked for; none of its bytes: that was all."""
        self.reading = self.asked = False
        self.asked_at = now


class Fetch:
    """One snapshot that is being taken in."""

    def __init__(self, shard: ReplicatedShard, leader: int, number: int, message: bytes, size: int) -> None:
        self.shard = shard
        self.leader = leader
        self.number = number
        self.message = message
        self.size = size
        self.offset = 0
        self.imported: StoreImport | None = None
        self.chunk = b""
        """Came while the one before it was taken in."""
        self.asked = 0
        """For what comes from there on, last."""
        self.whole = False
        self.working = False
        self.asked_at = 0.0


class Snapshots:
    """One node's, both ways."""

    def __init__(
        self,
        shards: Mapping[ShardId, ReplicatedShard],
        peers: Peers,
        begin_import: Callable[[int], StoreImport],
        ahead_count_max: int = AHEAD_COUNT_MAX,
    ) -> None:
        self._shards = shards
        self._peers = peers
        self._begin_import = begin_import
        self._ahead_count_max = ahead_count_max
        self._numbers = itertools.count(1)
        self._exports: dict[int, Export] = {}
        self._wanting: dict[ShardId, int] = {}
        self._fetches: dict[ShardId, Fetch] = {}
        self._now = 0.0
        self.jobs: list[Job] = []
        """To be carried out, by whoever takes them."""
        self.stepped: Callable[[ReplicatedShard], None] = lambda shard: None
        """Told of a shard that took a snapshot in."""
        self.failed: Callable[[OSError], None] = fall
        """Told of a read of this node's own that its disk refused."""
        self.sent_size = self.received_size = 0
        """Bytes of all snapshots since the start."""

    # ---- at the leader

    def look(self, now: float) -> None:
        """Makes offers for those that need one, asks again for what does not come, closes what nobody asks for.

        Who leads may serve only once a majority has its log, for which one may need a snapshot first.
        """
        for shard in self._shards.values():
            if shard.kernel.leading:
                peer = shard.kernel.wants_snapshot()
                if peer is not None:
                    self._wanting[shard.id] = peer
        for shard_id, peer in list(self._wanting.items()):
            shard = self._shards[shard_id]
            if not shard.kernel.leading or self._offer(shard, peer, now):
                del self._wanting[shard_id]
        self._now = now
        for fetch in self._fetches.values():
            if now - fetch.asked_at >= ASK_AGAIN_S:
                self._ask_again(fetch)
        for number, export in list(self._exports.items()):
            if not export.shard.kernel.leading or now - export.asked_at > IDLE_S_MAX:
                self._end_export(number, False)

    def _offer(self, shard: ReplicatedShard, peer: int, now: float) -> bool:
        export = shard.kernel.export()
        if export is None:
            return False
        number = next(self._numbers)
        if not shard.kernel.offer_snapshot(export, OFFER.pack(number, export.size)):
            export.close()
            return False
        log.info("snapshot offered", shard=shard.id, to=f"{peer:016x}", index=export.index, size=export.size)
        self._exports[number] = Export(shard, export, peer, now)
        return True

    def receive_request(self, peer: int, frame: Frame, now: float) -> None:
        group, number, offset = frame.head
        export = self._exports.get(number)
        shard = self._shards.get(group)
        if offset in (DONE, FAILED):
            if shard is not None and shard.kernel.leading:
                shard.kernel.report_snapshot(peer, offset == DONE)
            if export is not None and export.peer == peer:
                self._end_export(number, offset == DONE)
            return
        if export is None or export.peer != peer or not (offset == export.offset or offset == export.last[0]):
            # Another member's, or one that is gone: a new one is made.
            if shard is not None and shard.kernel.leading:
                shard.kernel.report_snapshot(peer, False)
                self._wanting[shard.id] = peer
            return
        export.asked_at = now
        export.shard.kernel.report_snapshot_progress(peer)
        if offset != export.offset:
            self._send_chunk(number, export)
            return
        export.asked = True
        if export.reading:
            return  # by a thread: what it read is looked at when it is done
        if export.next is not None:
            self._send_next(number, export)
        else:
            self._read_on(number, export)

    def _read_on(self, number: int, export: Export) -> None:
        export.reading = True
        self.jobs.append(Job(lambda: self._read(export), lambda error: self._receive_read(number, error)))

    @staticmethod
    def _read(export: Export) -> Exception | None:
        try:
            export.next = export.export.read()
        except (OSError, ValueError) as error:
            return error
        return None

    def _receive_read(self, number: int, error: Exception | None) -> None:
        export = self._exports.get(number)
        if export is None:
            return
        export.reading = False
        if error is not None:
            log.warning("snapshot can't be read", shard=export.shard.id, why=str(error))
            self._end_export(number, False)
        elif export.asked:
            self._send_next(number, export)

    def _send_next(self, number: int, export: Export) -> None:
        assert export.next is not None
        export.last, export.next, export.asked = (export.offset, export.next), None, False
        export.offset += len(export.last[1])
        self._send_chunk(number, export)
        if export.last[1] and len(self._exports) <= self._ahead_count_max:
            self._read_on(number, export)

    def _send_chunk(self, number: int, export: Export) -> None:
        offset, chunk = export.last
        self.sent_size += len(chunk)
        head = [export.shard.id, number, offset]
        self._peers.send(export.peer, Channel.BULK, [Frame(Kind.SNAPSHOT_CHUNK, head, chunk)])

    def _end_export(self, number: int, arrived: bool) -> None:
        export = self._exports.pop(number)
        export.export.close()
        if not arrived and export.shard.kernel.leading:
            export.shard.kernel.report_snapshot(export.peer, False)

    # ---- at the member

    def receive_offer(self, shard: ReplicatedShard, message: bytes) -> bool:
        """A leader's message, if it has a snapshot: it is stepped once that is here."""
        found = KernelShard.snapshot_in(message)
        if found is None:
            return False
        leader, index, _, data = found
        if len(data) != OFFER.size:
            raise LinkViolation(Reason.BAD_FRAME, "a snapshot's offer that is none")
        number, size = OFFER.unpack(data)
        if index <= shard.kernel.applied_index:
            # It is here, from before a restart or by the log: the leader goes on behind it.
            head = [shard.id, number, DONE]
            self._peers.send(leader, Channel.BULK, [Frame(Kind.SNAPSHOT_REQUEST, head)])
            return True
        try:
            resumed = shard.kernel.resume_snapshot(message)
        except OSError as error:
            self.failed(error)
            return True
        if resumed is not None:
            head = [shard.id, number, DONE if resumed else FAILED]
            self._peers.send(leader, Channel.BULK, [Frame(Kind.SNAPSHOT_REQUEST, head)])
            self.stepped(shard)
            return True
        there = self._fetches.get(shard.id)
        if there is not None:
            if (there.leader, there.number) == (leader, number):
                self._ask_again(there)  # it may have been offered to another member first, who has the export
                return True
            self._end_fetch(there)
        log.info("snapshot is fetched", shard=shard.id, leader=f"{leader:016x}", index=index, size=size)
        fetch = self._fetches[shard.id] = Fetch(shard, leader, number, message, size)
        fetch.imported = self._begin_import(shard.id)
        self._ask(fetch, 0)
        return True

    def _ask_again(self, fetch: Fetch) -> None:
        if not (fetch.working or fetch.whole):
            self._ask(fetch, fetch.offset)

    def _ask_on(self, fetch: Fetch) -> None:
        if not (fetch.chunk or fetch.whole or fetch.asked == fetch.offset):
            self._ask(fetch, fetch.offset)

    def _ask(self, fetch: Fetch, offset: int) -> None:
        fetch.asked, fetch.asked_at = offset, self._now
        head = [fetch.shard.id, fetch.number, offset]
        self._peers.send(fetch.leader, Channel.BULK, [Frame(Kind.SNAPSHOT_REQUEST, head)])

    def receive_chunk(self, peer: int, frame: Frame) -> None:
        group, number, offset = frame.head
        fetch = self._fetches.get(group)
        if fetch is None or (fetch.leader, fetch.number) != (peer, number) or offset != fetch.offset:
            return
        if fetch.chunk or fetch.whole:
            return
        if frame.body:
            fetch.offset += len(frame.body)
            self.received_size += len(frame.body)
            fetch.chunk = frame.body
        else:
            fetch.whole = True
        self._work(fetch)

    def _work(self, fetch: Fetch) -> None:
        if fetch.working or not (fetch.chunk or fetch.whole):
            return
        fetch.working = True
        chunk, fetch.chunk = fetch.chunk, b""
        self.jobs.append(Job(lambda: self._take_in(fetch, chunk), lambda error: self._receive_taken(fetch, error)))
        if len(self._fetches) <= self._ahead_count_max:
            self._ask_on(fetch)

    def _take_in(self, fetch: Fetch, chunk: bytes) -> Exception | None:
        """A chunk; none: all of it is made durable."""
        assert fetch.imported is not None
        try:
            if chunk:
                fetch.imported.receive(chunk)
            else:
                fetch.imported.finish()
        except (OSError, SnapshotRefused) as error:
            return error
        return None

    def _receive_taken(self, fetch: Fetch, error: Exception | None) -> None:
        fetch.working = False
        if self._fetches.get(fetch.shard.id) is not fetch:
            if fetch.imported is not None and not fetch.imported.finished:
                fetch.imported.abort()
            return
        assert fetch.imported is not None
        if error is not None:
            log.error("snapshot can't be taken in", shard=fetch.shard.id, why=str(error))
            self._end_fetch(fetch)
        elif fetch.imported.finished:
            del self._fetches[fetch.shard.id]
            stepped = fetch.shard.kernel.step_snapshot(fetch.message, fetch.imported)
            log.info("snapshot taken in", shard=fetch.shard.id, size=fetch.offset, used=stepped)
            self._ask(fetch, DONE if stepped else FAILED)
            self.stepped(fetch.shard)
        else:
            self._ask_on(fetch)
            self._work(fetch)

    def _end_fetch(self, fetch: Fetch) -> None:
        del self._fetches[fetch.shard.id]
        self._ask(fetch, FAILED)
        if not fetch.working and fetch.imported is not None:
            fetch.imported.abort()

    def receive_peer_down(self, peer: int) -> None:
        for fetch in [fetch for fetch in self._fetches.values() if fetch.leader == peer]:
            self._end_fetch(fetch)
        for number in [number for number, export in self._exports.items() if export.peer == peer]:
            self._end_export(number, False)

    def sending(self, shard: ShardId) -> list[tuple[int, int, int]]:
        """Of a shard's that are being sent from here: to which peer, bytes so far, about how many in all."""
        exports = [export for export in self._exports.values() if export.shard.id == shard]
        return [(export.peer, export.offset, max(export.export.size, export.offset)) for export in exports]

    def is_fetching(self, shard: ShardId) -> bool:
        return shard in self._fetches

    def progress(self) -> list[tuple[ShardId, int, int]]:
        """Of what is being fetched: shard, bytes so far, about how many in all."""
        return [(fetch.shard.id, fetch.offset, fetch.size) for fetch in self._fetches.values()]
