"""What the disk takes for one fdatasync: the floor under every confirm."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

BLOCK = 4096
FILE_SIZE = 16 << 20


def fdatasync_p50(directory: Path, seconds: float) -> float:
    """Microseconds, the median of writing and syncing single blocks of a file that is allocated already."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "fdatasync"
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(file, bytes(FILE_SIZE), 0)
        os.fsync(file)
        took = []
        deadline = time.perf_counter() + seconds
        position = 0
        while time.perf_counter() < deadline:
            os.pwrite(file, b"\x01" * BLOCK, position)
            position = (position + BLOCK) % FILE_SIZE
            began = time.perf_counter()
            os.fdatasync(file)
            took.append((time.perf_counter() - began) * 1e6)
        return statistics.median(took)
    finally:
        os.close(file)
        path.unlink()
