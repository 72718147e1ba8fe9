"""One node over a simulated disk: the real kernel, core and engine, started and killed as often as one likes.

Its journal has no thread: whoever drives the simulation says when a write is made and when it is synced.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from broker.core.broker import Broker
from broker.core.session import Session
from broker.core.shard import Shard
from broker.core.topology import Topology
from broker.server.admission import Admission, ConnectionLimits
from broker.server.buffers import Buffers
from broker.server.connection import Opened, Peer
from broker.server.core import Syncs
from broker.server.engine import Engine
from kernel import AmqpDecoder, MqttDecoder, PublishEncoder
from kernel import Shard as KernelShard
from kernel.disk import SimDisk
from kernel.journal import Journal
from protocols.amqp.connection import AmqpAdapter
from protocols.amqp.settings import AmqpSettings
from protocols.mqtt.connection import MqttAdapter
from protocols.mqtt.settings import MqttSettings
from tests.simulation.ledger import Broken

PEER = 7
STORE = bytes(16)
SHARD_COUNT = 2
META = 0
PEER_OF_CLIENTS = Peer("127.0.0.1", 1, True)
SETTINGS = AmqpSettings(frame_size_max=4096, heartbeat_s=0)
MQTT_SETTINGS = MqttSettings(max_queued_messages=1_000_000, keep_alive_max_s=None)
"""Nothing is dropped from a client's queue, and who is silent is not hung up on."""


class Node:
    """A started node.  It is *serving* once it leads all its shards and has a vhost."""

    syncs_of: Callable[[Journal], Syncs] = staticmethod(lambda journal: journal)
    """What the engine is told of the journal; a mutant puts a lie here."""

    def __init__(
        self, disk: SimDisk, file_size: int, cache_size: int, entropy: random.Random, now_ms: Callable[[], int]
    ) -> None:
        """Raises OSError or Damage."""
        self.journal = Journal.open_on(disk, PEER, STORE, file_size)
        self._entropy = entropy
        self._now_ms = now_ms
        incarnation = entropy.getrandbits(63) | 1
        self._incarnation = incarnation
        self.shards = [
            KernelShard.logged_alone(self.journal, shard, incarnation, entropy.getrandbits(32), cache_size)
            for shard in range(SHARD_COUNT + 1)
        ]
        for shard in self.shards:
            shard.campaign()
        self.broker: Broker | None = None
        self.engine: Engine[Session] | None = None
        self._encoder = PublishEncoder()
        self.began = False
        """A write was begun and is to be synced."""
        self.with_rows = False
        """There are or were clients' sessions or transactions."""
        self.restored: list[list[tuple[bytes, bytes]]] = []
        """The rows of clients' sessions, as checkpoint and log came to."""

    # ---- starting

    def boot(self, now: float) -> bool:
        """Goes on with starting, after each completion of the journal; true: it serves."""
        if self.broker is None:
            for shard in self.shards:
                shard.receive_synced(self.journal.synced)
            if all(shard.serving for shard in self.shards):
                self._assemble(now)
        else:
            self.broker.receive_synced(self.journal.synced)
            self.broker.step(now, self._now_ms())
        if self.broker is None or not self.broker.founded:
            return False
        if self.engine is None:
            self.engine = Engine(
                self.broker,
                self.syncs_of(self.journal),
                now_ms=self._now_ms,
                admission=Admission(ConnectionLimits()),
                buffers=Buffers(),
            )
        return True

    def _assemble(self, now: float) -> None:
        shards = [Shard(shard) for shard in self.shards]
        volatile = Shard(KernelShard.volatile(SHARD_COUNT + 1, PEER, self._incarnation))
        topology = Topology.from_rows(self.shards[META].rows())
        self.broker = Broker(shards[META], shards[1:], volatile, topology, self._entropy.randbytes)
        self.broker.replay()
        self.restored = self.client_rows()
        self.broker.begin(now, self._now_ms())

    def opened(self, protocol: str, peer: Peer, now: float) -> Opened:
        if protocol == "mqtt":
            mqtt = MqttDecoder()
            adapter = MqttAdapter(mqtt, self._encoder, MQTT_SETTINGS, self._now_ms, loopback=peer.loopback, now=now)
            return Opened(adapter, mqtt)
        decoder = AmqpDecoder()
        return Opened(AmqpAdapter(decoder, SETTINGS, loopback=peer.loopback, now=now), decoder)

    # ---- the journal, by hand

    @property
    def poisoned(self) -> bool:
        return self.journal.state[0] == "poisoned"

    @property
    def writable(self) -> bool:
        """There is something to write."""
        return self.journal.submitted > self.journal.synced and not self.poisoned

    def write(self) -> None:
        self.began = self.journal.begin_write() and not self.poisoned

    def sync(self) -> None:
        self.began = False
        self.journal.end_write()

    def keep_house(self, force: bool) -> str | None:
        """One step of what goes on behind the rounds: cycles that seal, checkpoint and retire.  What finished."""
        finished = self.journal.receive_cycle(self.shards)
        if self.journal.cycle_wanted or force:
            self.journal.begin_cycle(self.shards, force)
        self.journal.step()
        return None if finished is None else "cycle: {} retired, {} sealed, {} dropped, checkpoint {}".format(*finished)

    # ---- checks

    def check_replay(self) -> None:
        """I7: what the journal holds comes to the state that is in memory."""
        if self.with_rows:
            return  # rows are the core's, which replays commands to them itself
        for shard in self.shards[1:]:
            if self.journal.replayed_hash(shard.id, shard.applied_index) != shard.state_hash():
                raise Broken("I7", f"shard {shard.id} has another state than its log comes to")

    def client_rows(self) -> list[list[tuple[bytes, bytes]]]:
        """Of clients' sessions, by shard; the core writes them as it applies commands."""
        return [shard.rows() for shard in self.shards[1:]]

    def check_accounts(self) -> None:
        """I24: nobody holds more than it may."""
        engine, broker = self.engine, self.broker
        if engine is None or broker is None:
            return
        for account in (engine.buffers.input, engine.buffers.output):
            if account.charged > account.budget:
                raise Broken("I24", f"{account.name} holds {account.charged} of {account.budget} bytes")

    def hashes(self) -> list[int]:
        return [shard.state_hash() for shard in self.shards]
