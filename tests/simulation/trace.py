"""What happened in a simulation, as a hash of every line and as the last of them."""

from __future__ import annotations

import hashlib
from collections import deque

KEPT_COUNT = 60


class Trace:
    """Law (I27): the same seed leaves the same hash, in every process."""

    def __init__(self, echo: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._echo = echo
        self.now_us = 0
        self.last: deque[str] = deque(maxlen=KEPT_COUNT)
        self.count = 0

    def note(self, line: str) -> None:
        line = f"{self.now_us / 1e6:.6f} {line}"
        self._hash.update(line.encode())
        self.last.append(line)
        self.count += 1
        if self._echo:
            print(line, flush=True)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
