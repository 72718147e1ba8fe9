"""Replicas of one shard over journals on simulated disks, driven by hand: nothing moves but by a call."""

from __future__ import annotations

from collections import deque

from broker.cluster.frame import Frame, FrameDecoder
from broker.cluster.frame_kinds import Kind
from kernel import FLAG_PERSISTENT, MessageRun, Route, Shard, step_frames, take_frames
from kernel.disk import SimDisk
from kernel.journal import Journal

SHARD = 3
FILE_SIZE = 4 << 20
CACHE_SIZE = 8 << 20
QUEUE = 11


class Member:
    """A node with one replica."""

    def __init__(self, disk: SimDisk, peer: int, voters: list[int], incarnation: int = 1) -> None:
        self.disk = disk
        self.peer = peer
        self.voters = voters
        self.incarnation = incarnation
        self.journal = Journal.open_on(disk, peer, bytes(16), FILE_SIZE)
        self.shard = Shard.replica(self.journal, SHARD, incarnation, 5, CACHE_SIZE, voters)
        self.applied: dict[tuple[int, int], int] = {}
        self.serving = False
        self.reads: list[tuple[int, int]] = []

    def sync(self) -> None:
        """Carries out what the journal was given, and takes in what that comes to."""
        while self.journal.carry_out():
            self.shard.receive_synced(self.journal.synced)

    def take_effects(self) -> None:
        self.shard.take_effects()
        effects = self.shard.take_replica_effects()
        if effects is None:
            return
        applied, reads, standing, _, _ = effects
        for peer, incarnation, through in applied:
            self.applied[peer, incarnation] = through
        self.reads += reads
        if standing is not None:
            self.serving = standing[0]

    def crashed(self, seed: int) -> Member:
        """The process dies and the power goes: what was not synced may be lost."""
        self.journal.abandon()
        self.disk.crash(seed)
        return Member(self.disk, self.peer, self.voters, self.incarnation + 1)

    def publish(self, *bodies: str) -> int:
        number, rejected = self.shard.publish(run_of(*bodies), [route_to(QUEUE)])
        assert rejected is None
        return number

    def bodies(self) -> list[str]:
        """Hands out all that is ready, reading back what is not in memory."""
        taken: list[str] = []
        while True:
            self.shard.reserve_mark(QUEUE)
            got = self.shard.take(QUEUE, 1000, 1 << 20)
            if got is not None:
                taken += [got[0].body(index).decode() for index in range(got[2])]
                continue
            wanted = self.shard.take_wanted_reads()
            if not wanted:
                return taken
            self.shard.read(wanted)


def messages_of(shard: Shard) -> list[tuple[int, bool, bytes]]:
    """(peer, whether it goes by the bulk connection, message), out of the frames that it makes of them."""
    messages: list[tuple[int, bool, bytes]] = []
    for place, to, bulk, size, pieces in take_frames([shard]):
        data = b"".join(pieces)
        assert (place, size) == (0, len(data))
        decoder = FrameDecoder()
        decoder.receive_data(data)
        while (frame := decoder.take_frame(len(data))) is not None:
            assert (frame.kind, frame.head) == (Kind.APPEND if bulk else Kind.RAFT, [shard.id])
            messages.append((to, bulk, frame.body))
        assert not decoder.unfinished
    return messages


def stepped(shard: Shard, message: bytes) -> bool:
    """Gives it a peer's message; False: it refused."""
    _, notes, _ = step_frames({shard.id: shard}, [Frame(Kind.RAFT, [shard.id], message)], 0)
    return (0, "refused") not in notes


class Cluster:
    """Members, and the messages between them."""

    def __init__(self, peers: list[int]) -> None:
        self.members = {peer: Member(SimDisk(1 << 30), peer, peers) for peer in peers}
        self.cut: set[int] = set()
        """Peers that nothing reaches and nothing comes from."""
        self.mute: set[int] = set()
        """Peers that nothing comes from."""
        self.wire: deque[tuple[int, bytes]] = deque()

    def run(self) -> None:
        """Until nobody has anything to say or to write."""
        busy = True
        while busy:
            busy = False
            for peer, member in self.members.items():
                member.sync()
                member.take_effects()
                for to, _bulk, message in messages_of(member.shard):
                    busy = True
                    if not {peer, to} & self.cut and peer not in self.mute and to in self.members:
                        self.wire.append((to, message))
            while self.wire:
                to, data = self.wire.popleft()
                busy = True
                self.deliver(to, data)

    def deliver(self, to: int, data: bytes) -> None:
        assert stepped(self.members[to].shard, data) or Shard.snapshot_in(data)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            for peer, member in self.members.items():
                if peer not in self.cut:
                    member.shard.tick()
            self.run()

    def leader(self) -> Member:
        """Ticks until somebody who can be spoken with serves."""
        for _ in range(200):
            serving = [m for peer, m in self.members.items() if m.shard.serving and peer not in self.cut]
            if serving:
                return max(serving, key=lambda member: member.shard.term)
            self.tick()
        raise AssertionError("nobody leads")

    def settled(self, leader: Member) -> None:
        """Proposes what the leader gathered until all is applied."""
        while leader.shard.pending:
            leader.shard.propose(1000)
            self.run()
        self.tick(4)


def run_of(*bodies: str) -> MessageRun:
    rows = [(b"", b"q", b"\0\0", body.encode(), FLAG_PERSISTENT, None) for body in bodies]
    return MessageRun.of(1, rows)


def route_to(*queues: int) -> Route:
    return Route([(queue, None, None) for queue in queues])
