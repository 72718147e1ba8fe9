"""Who is let in: caps on connections, before and after login.  Pure."""

from __future__ import annotations

from collections import Counter

import msgspec


class ConnectionLimits(msgspec.Struct, frozen=True):
    """Caps on connections, of all listeners together."""

    count_max: int = 50_000
    """RabbitMQ's default is the descriptor limit less a few; here a number that memory allows."""
    unproven_count_max: int = 4_096
    """Not logged in yet.  Each holds at most a frame of 8 KiB, and 10 s."""
    unproven_count_max_per_address: int = 1_024
    """From one address, which may be a whole application that starts, or a proxy; it can't take all the places."""


class Admission:
    """Counts connections against their limits."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._unproven: Counter[str] = Counter()
        self.count = 0
        self.unproven_count = 0

    def admit(self, address: str) -> bool:
        """Counts one more connection from there, if there is room; it isn't logged in."""
        limits = self._limits
        if (
            self.count >= limits.count_max
            or self.unproven_count >= limits.unproven_count_max
            or self._unproven[address] >= limits.unproven_count_max_per_address
        ):
            return False
        self.count += 1
        self.unproven_count += 1
        self._unproven[address] += 1
        return True

    def prove(self, address: str) -> None:
        """One of them has logged in."""
        assert self._unproven[address] > 0, address
        self.unproven_count -= 1
        self._unproven[address] -= 1
        if not self._unproven[address]:
            del self._unproven[address]

    def leave(self, address: str, proven: bool) -> None:
        """One of them is gone."""
        if not proven:
            self.prove(address)
        self.count -= 1
        assert self.count >= 0
