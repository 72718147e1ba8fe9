"""A node's core over a real journal in a folder of the test, driven by hand: no thread, no clock."""

from __future__ import annotations

import random
from pathlib import Path

from broker.core.back import ClientSettings
from broker.core.broker import Broker
from broker.core.session import Session
from broker.core.shard import Shard
from broker.core.topology import Topology
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import Channel, ConsumerTag, QueueName, UserName, VhostName
from broker.model.topology import QueueSpec
from kernel import FLAG_MANDATORY, FLAG_PERSISTENT, MessageRun
from kernel import Shard as KernelShard
from kernel.journal import Journal

CHANNEL = Channel(1)
SHARDS = 2
FILE_SIZE = 4 << 20
CACHE_SIZE = 64 << 20


class Node:
    """One node's core."""

    def __init__(
        self,
        directory: Path,
        incarnation: int = 1,
        file_size: int = FILE_SIZE,
        client_settings: ClientSettings | None = None,
        wall_ms: int = 1_000_000,
        settled: bool = True,
    ) -> None:
        """``settled``: runs until nothing more comes of what was in the log."""
        entropy = random.Random(incarnation)
        self.directory = directory
        self.incarnation = incarnation
        self.journal = Journal.open(str(directory), 7, bytes(16), file_size)
        self.file_size = file_size
        logged = [
            KernelShard.logged_alone(self.journal, shard, incarnation, 1, CACHE_SIZE) for shard in range(SHARDS + 1)
        ]
        for shard in logged:
            shard.campaign()
        while not all(shard.serving for shard in logged):
            self.journal.carry_out()
            for shard in logged:
                shard.receive_synced(self.journal.synced)
        self.kernels = logged
        shards = [Shard(shard) for shard in logged]
        volatile = Shard(KernelShard.volatile(SHARDS + 1, 7, incarnation))
        topology = Topology.from_rows(logged[0].rows())
        self.now = 0.0
        self.wall_ms = wall_ms
        self.broker = Broker(
            shards[0], shards[1:], volatile, topology, entropy.randbytes, client_settings=client_settings
        )
        self.broker.replay()
        self.broker.begin(self.now, self.wall_ms)
        if settled:
            self.run()

    def crashed(self) -> Node:
        """The process dies, and the next one starts in the same directory."""
        self.journal.abandon()
        return Node(self.directory, self.incarnation + 1, self.file_size)

    def step(self) -> None:
        self.broker.step(self.now, self.wall_ms)

    def sync(self) -> None:
        """Carries out one write of the journal."""
        self.journal.carry_out()
        self.broker.receive_synced(self.journal.synced)

    def run(self) -> None:
        """Until nothing more comes of what was said, settles included."""
        for _ in range(8):
            self.now += 0.02
            self.step()
            self.sync()
            for read in self.broker.take_wanted_reads():
                read()
        self.step()

    def cycle(self) -> tuple[int, int, int, int] | None:
        """Seals, writes a checkpoint and retires journal files, as far as there is reason to."""
        if not self.journal.begin_cycle(self.kernels, True):
            return None
        done = None
        while done is None:
            self.journal.step()
            done = self.journal.receive_cycle(self.kernels)
        return done

    def wait(self, ms: int) -> None:
        self.wall_ms += ms
        self.now += ms / 1000
        self.run()

    def session(self) -> Session:
        session = self.broker.open_session()
        session.submit([c.Authenticate(UserName("guest"), b"guest", True), c.OpenVhost(VhostName("/"))])
        session.submit([c.OpenChannel(CHANNEL)])
        assert session.take_replies() == [r.Authenticated(), r.VhostOpened()]
        return session

    def ask(self, session: Session, *commands: c.Command) -> list[r.Reply]:
        session.submit(commands)
        self.run()
        return session.take_replies()


def run_of(
    *bodies: str, key: str = "q", exchange: str = "", mandatory: bool = False, persistent: bool = True
) -> MessageRun:
    flags = (FLAG_PERSISTENT if persistent else 0) | (FLAG_MANDATORY if mandatory else 0)
    properties = b"\x10\x00\x02" if persistent else b"\x00\x00"  # delivery-mode 2, or none
    rows = [(exchange.encode(), key.encode(), properties, body.encode(), flags, None) for body in bodies]
    return MessageRun.of(CHANNEL, rows)


def publish(*bodies: str, key: str = "q", exchange: str = "", tag: int = 0, mandatory: bool = False) -> c.Publish:
    return c.Publish(CHANNEL, run_of(*bodies, key=key, exchange=exchange, mandatory=mandatory), tag)


def declare(name: str = "q", durable: bool = True, **arguments: object) -> c.DeclareQueue:
    named = {key.replace("_", "-"): value for key, value in arguments.items()}
    return c.DeclareQueue(CHANNEL, QueueSpec(QueueName(name), durable=durable, arguments=named))


def consume(queue: str = "q", tag: str = "t", no_ack: bool = False, credit: int | None = None) -> c.Consume:
    return c.Consume(CHANNEL, ConsumerTag(tag), QueueName(queue), no_ack, credit=credit)


def delivered(replies: list[r.Reply]) -> list[tuple[str, bool]]:
    """Body and redelivered flag of all deliveries among the replies, in order."""
    runs = [reply.deliveries for reply in replies if isinstance(reply, r.Deliver | r.Got)]
    return [(run.body(i).decode(), run.redelivered(i)) for run in runs for i in range(run.count)]


def confirmed(replies: list[r.Reply]) -> list[int]:
    ranges = [tags for reply in replies if isinstance(reply, r.Confirm) for tags in reply.tags]
    return [tag for first, last in ranges for tag in range(first, last + 1)]
