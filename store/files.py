"""The data directory: made, and its log opened, for one broker at a time."""

from __future__ import annotations

import os
import random
from pathlib import Path

from kernel.journal import Journal, LogReader
from store import setting_aside

STORE_ID_SIZE = 16
PEER_BITS = 63
"""A peer id is a random u64 below 2^63; above it shards' moves have their senders."""


class DirectoryInUse(Exception):
    """Another broker has the data directory open."""


class MustJoin(Exception):
    """What the directory held of a cluster was put aside, so it must not begin alone."""


class DataDirectory:
    """A folder that holds one node's log."""

    def __init__(self, path: Path) -> None:
        """Makes the folder if need be.  Raises OSError if it can't be used."""
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @property
    def lost(self) -> str:
        """The folder with what the directory held before it was found damaged and put aside; else empty."""
        return setting_aside.lost(self.path)

    def check_alone(self) -> None:
        """Raises MustJoin."""
        if self.lost:
            raise MustJoin(
                f"{self.path} is of a node whose part of a cluster was damaged and is in {self.lost}: set"
                " cluster.listen and cluster.peers, or give a broker alone a log_dir of its own"
            )

    def set_aside(self, time: str) -> Path:
        """Puts all that it holds aside, for a fresh start as another peer; where it is then.

        ``time``: UTC, as ``20260131T235959Z``.  Raises DirectoryInUse or OSError.
        """
        try:
            return setting_aside.set_aside(self.path, time)
        except setting_aside.Busy:
            raise self._in_use() from None

    def _in_use(self) -> DirectoryInUse:
        return DirectoryInUse(
            f"{self.path} is in use by another broker: stop that one, or give this one a log_dir of its own"
        )

    def next_incarnation(self, now: int) -> int:
        """A number for this start, above all earlier ones whatever the clock does: ``now``, if it is."""
        path = self.path / "incarnation"
        last = int(path.read_text()) if path.exists() else 0
        number = max(now, last + 1)
        new = path.with_suffix(".new")
        with new.open("w") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return number

    def open_journal(self, file_size: int) -> Journal:
        """The directory's journal, locked until it is closed.

        A new directory gets a peer id and a store id drawn at random.  Ends what ``set_aside`` began and a crash
        interrupted.  Raises DirectoryInUse, kernel.journal.Damage (with its remedy) or OSError; then nothing else was
        changed.
        """
        drawn = random.SystemRandom()
        peer = drawn.getrandbits(PEER_BITS) | 1
        try:
            setting_aside.go_on_setting_aside(self.path)
            return Journal.open(str(self.path), peer, os.urandom(STORE_ID_SIZE), file_size)
        except (BlockingIOError, setting_aside.Busy):
            raise self._in_use() from None


def open_reader(path: Path) -> LogReader:
    """The directory at ``path`` to be looked into, locked until the reader is closed.

    Raises DirectoryInUse, kernel.journal.Damage or OSError.
    """
    try:
        return LogReader.open(str(path))
    except BlockingIOError:
        raise DirectoryInUse(f"{path} is in use: stop the broker first") from None
