"""``python -m bench.checkpoint``: how long rounds take with 100,000 queues, and while their checkpoint is written.

A round here is what the loop's thread does for a wave of each shard: publish, propose, apply what was synced; and apart
from it the time to the commit.  Each publish changes a queue, so that every checkpoint has something to write.
"""

from __future__ import annotations

import os
import select
import tempfile
import time
from pathlib import Path

from kernel import BUILD_PROFILE, FLAG_PERSISTENT, Histogram, MessageRun, Route, Shard
from kernel.journal import Journal

QUEUES = int(os.environ.get("QUEUES", "100000"))
SHARDS = 4
ROUNDS = 3000
FILE_SIZE = 128 << 20
CREATED_AT_ONCE = 1000


class Rounds:
    """Four shards and what a loop does with them."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.shards = [Shard.logged_alone(journal, number, 1, 1, 64 << 20) for number in range(SHARDS)]
        for shard in self.shards:
            shard.campaign()
        while not all(shard.serving for shard in self.shards):
            self.wait()
        self.run_of = MessageRun.of(1, [(b"", b"q", b"\x10\x00\x02", b"x" * 16, FLAG_PERSISTENT, None)])
        self.next = 0
        self.cycling = False

    def wait(self) -> None:
        select.select([self.journal.fileno()], [], [], 1)
        self.journal.clear_event()
        for shard in self.shards:
            shard.receive_synced(self.journal.synced)

    def commit(self, numbers: list[int]) -> None:
        """Until each shard has applied its number."""
        left = dict(zip(self.shards, numbers, strict=True))
        while left:
            self.wait()
            for shard in list(left):
                effects = shard.take_effects()
                if effects is not None and effects[2] >= left[shard]:
                    del left[shard]

    def create(self) -> None:
        for first in range(0, QUEUES, CREATED_AT_ONCE):
            numbers = [0] * SHARDS
            for queue in range(first, first + CREATED_AT_ONCE):
                shard = self.shards[queue % SHARDS]
                shard.create_queue(queue)
                numbers[queue % SHARDS], _ = shard.publish(self.run_of, [Route([(queue, None, None)])])
            for shard in self.shards:
                shard.propose(time.time_ns() // 1_000_000)
            self.commit(numbers)

    def keep_house(self) -> None:
        """Takes in the checkpoint that is written, and begins the next at once."""
        if self.journal.receive_cycle(self.shards) is not None:
            self.cycling = False
        if not self.cycling:
            self.cycling = self.journal.begin_cycle(self.shards, True)

    def measure(self, rounds: int, checkpoints: bool) -> tuple[Histogram, Histogram]:
        """Microseconds of the loop's own work, and to the commit."""
        work, commit = Histogram(), Histogram()
        for _ in range(rounds):
            begun = time.perf_counter_ns()
            if checkpoints:
                self.keep_house()
            started = time.perf_counter_ns()
            numbers = []
            for place, shard in enumerate(self.shards):
                self.next = (self.next + SHARDS) % QUEUES
                number, _ = shard.publish(self.run_of, [Route([(self.next + place, None, None)])])
                numbers.append(number)
                shard.propose(time.time_ns() // 1_000_000)
            proposed = time.perf_counter_ns()
            self.commit(numbers)
            work.record((proposed - begun) // 1000)
            commit.record((time.perf_counter_ns() - started) // 1000)
        return work, commit


def main() -> None:
    assert BUILD_PROFILE == "release", "a debug kernel measures nothing"
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        journal = Journal.open(folder, 7, bytes(16), FILE_SIZE)
        journal.start_driver()
        rounds = Rounds(journal)
        rounds.create()
        print(f"{QUEUES:,} queues in {SHARDS} shards, {BUILD_PROFILE} kernel, every commit synced")
        for name, checkpoints in (("quiet", False), ("checkpoints", True), ("quiet", False), ("checkpoints", True)):
            work, commit = rounds.measure(ROUNDS, checkpoints)
            told = [f"{h.percentile(50)} / {h.percentile(99)} / {h.max}" for h in (work, commit)]
            print(f"{name:12} round us p50 / p99 / max {told[0]:>22}   to the commit {told[1]:>22}", flush=True)
        journal.close()


if __name__ == "__main__":
    main()
