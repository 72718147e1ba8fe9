"""The data directory: made, locked against a second broker, and opened."""

from __future__ import annotations

import fcntl
import os
import random
from pathlib import Path
from typing import IO

from kernel.journal import Journal

LOCK = "lock"
STORE_ID_SIZE = 16
PEER_BITS = 63
"""A peer id is a random u64 below 2^63; above it shards' moves have their senders."""


class DirectoryInUse(Exception):
    """Another broker has the data directory open."""


class DataDirectory:
    """A folder that holds one node's log, for as long as this is not closed."""

    def __init__(self, path: Path) -> None:
        """Makes the folder if need be.  Raises DirectoryInUse, or OSError if it can't be used."""
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock: IO[str] = (path / LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise DirectoryInUse(
                f"{path} is in use by another broker: stop that one, or give this one a log_dir of its own"
            ) from None

    def open_journal(self, file_size: int) -> Journal:
        """The directory's journal; a new directory gets a peer id and a store id drawn at random.

        Raises kernel.journal.Damage (with its remedy) or OSError; then nothing was changed.
        """
        drawn = random.SystemRandom()
        peer = drawn.getrandbits(PEER_BITS) | 1
        return Journal.open(str(self.path), peer, os.urandom(STORE_ID_SIZE), file_size)

    def close(self) -> None:
        """Lets another broker have it."""
        self._lock.close()
