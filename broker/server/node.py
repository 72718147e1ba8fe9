"""A node: a data directory opened, its shards led, its core begun."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import trio

from broker.core.back import ClientSettings
from broker.core.broker import Broker
from broker.core.shard import Shard
from broker.core.topology import Topology
from broker.core.users import DEFAULT_PASSWORD, DEFAULT_USER
from broker.model.names import UserName
from broker.server.serve import now_ms
from kernel import Counters
from kernel import Shard as KernelShard
from kernel.journal import Journal
from store.files import DataDirectory

SEED_SIZE = 8


class NodeSettings(msgspec.Struct, frozen=True):
    """Sizes in bytes."""

    shards: int = 4
    """Data shards; the meta shard comes to them.  A directory keeps the number it was made with, or more."""
    journal_file_size: int = 128 << 20
    cache_size_max: int = 256 << 20
    """Of messages in memory, of all logged shards together."""
    volatile_size_max: int = 256 << 20
    first_user: UserName = DEFAULT_USER
    """Made together with the directory."""
    first_password: bytes = DEFAULT_PASSWORD
    version: str = ""
    clients: ClientSettings = ClientSettings()


class Node:
    """One node's core over its data directory."""

    def __init__(self, directory: DataDirectory, journal: Journal, kernels: list[KernelShard], broker: Broker) -> None:
        self.directory = directory
        self.journal = journal
        self.kernels = kernels
        """The logged shards, the meta shard first."""
        self.broker = broker

    def why_not_ready(self) -> str | None:
        """Why publishers can't be served at present, if they can't."""
        if not all(kernel.serving for kernel in self.kernels):
            return "a shard has no leader"
        return self.broker.alarm

    def close(self) -> None:
        """All that was submitted is written, the journal is marked as closed cleanly, the directory let go."""
        self.journal.close()


async def open_node(path: Path, settings: NodeSettings, counters: Counters) -> Node:
    """Opens or makes the directory and leads all its shards.  ``counters`` are shown to administrators.

    Raises store.files.DirectoryInUse or MustJoin, kernel.journal.Damage or OSError.
    """
    directory = DataDirectory(path)
    directory.check_alone()
    journal = directory.open_journal(settings.journal_file_size)
    journal.start_driver()
    incarnation = time.time_ns()
    seed = int.from_bytes(os.urandom(SEED_SIZE), "little")
    cache_size_max = settings.cache_size_max // settings.shards
    kernels = [
        KernelShard.logged_alone(journal, number, incarnation, seed, cache_size_max)
        for number in range(settings.shards + 1)
    ]
    for kernel in kernels:
        kernel.campaign()
    while not all(kernel.serving for kernel in kernels):
        synced = await _next_sync(journal)
        for kernel in kernels:
            kernel.receive_synced(synced)
    shards = [Shard(kernel) for kernel in kernels]
    volatile = Shard(KernelShard.volatile(settings.shards + 1, journal.peer, incarnation))
    topology = Topology.from_rows(kernels[0].rows())
    broker = Broker(
        shards[0],
        shards[1:],
        volatile,
        topology,
        os.urandom,
        settings.volatile_size_max,
        settings.version,
        lambda: dict(counters.values()),
        settings.clients,
    )
    broker.replay()
    broker.begin(trio.current_time(), now_ms(), settings.first_user, settings.first_password)
    while not broker.founded:
        broker.receive_synced(await _next_sync(journal))
        broker.step(trio.current_time(), now_ms())
    return Node(directory, journal, kernels, broker)


async def _next_sync(journal: Journal) -> int:
    """Waits until the journal has something to say; what is synced then.  Raises OSError if it failed."""
    await trio.lowlevel.wait_readable(journal.fileno())
    journal.clear_event()
    state, why = journal.state
    if state == "poisoned":
        raise OSError(why)
    return journal.synced
