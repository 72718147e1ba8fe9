"""Has the C library keep what is freed for what is allocated next.

Memory that was given back to the system comes as new pages, each of which is a fault and is zeroed: with 1 KiB messages
0.4 faults a message, 2 in bad runs, which then took twice as long (docs/decisions/0018).
"""

from __future__ import annotations

import ctypes

KEPT_SIZE = 256 << 20
"""Of free memory at the end of a heap; what is beyond goes back to the system."""
MAPPED_SIZE_MIN = 32 << 20
"""From which on something gets pages of its own, which go back when it is freed: the most that glibc takes."""

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
"""mallopt(3)."""


def keep_freed_memory() -> bool:
    """False: the C library has no such thing, and is left as it is."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    taken = [mallopt(M_MMAP_THRESHOLD, MAPPED_SIZE_MIN), mallopt(M_TRIM_THRESHOLD, KEPT_SIZE)]
    return all(taken)
