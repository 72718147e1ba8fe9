"""The data directory: made, and its log opened, for one broker at a time."""

from __future__ import annotations

import os
import random
from pathlib import Path

from kernel.journal import Journal, LogReader

STORE_ID_SIZE = 16
PEER_BITS = 63
"""A peer id is a random u64 below 2^63; above it shards' moves have their senders."""


class DirectoryInUse(Exception):
    """Another broker has the data directory open."""


class DataDirectory:
    """A folder that holds one node's log."""

    def __init__(self, path: Path) -> None:
        """Makes the folder if need be.  Raises OSError if it can't be used."""
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

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

        A new directory gets a peer id and a store id drawn at random.  Raises DirectoryInUse,
        kernel.journal.Damage (with its remedy) or OSError; then nothing was changed.
        """
        drawn = random.SystemRandom()
        peer = drawn.getrandbits(PEER_BITS) | 1
        try:
            return Journal.open(str(self.path), peer, os.urandom(STORE_ID_SIZE), file_size)
        except BlockingIOError:
            raise DirectoryInUse(
                f"{self.path} is in use by another broker: stop that one, or give this one a log_dir of its own"
            ) from None


def open_reader(path: Path) -> LogReader:
    """The directory at ``path`` to be looked into, locked until the reader is closed.

    Raises DirectoryInUse, kernel.journal.Damage or OSError.
    """
    try:
        return LogReader.open(str(path))
    except BlockingIOError:
        raise DirectoryInUse(f"{path} is in use: stop the broker first") from None
