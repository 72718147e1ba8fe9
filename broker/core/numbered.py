"""What a node's fronts say to a shard, by its number: taken in once, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from broker.core.shard_commands import ShardCommand

SenderId: TypeAlias = tuple[int, int]
"""Peer and incarnation."""

Release: TypeAlias = Callable[[int, int, int], Iterable[tuple[int, int]]]
"""Of a queue, first and last."""


class Numbered(NamedTuple):
    number: int
    command: ShardCommand


class HeldUp:
    """A sender at the leader whose rejection waits for the disk: what he said after it is taken in after it."""

    __slots__ = ("_number", "_through", "release", "waiting")

    def __init__(self, number: int) -> None:
        """``number``: the rejection's."""
        self._number = self._through = number
        self.waiting: deque[Numbered] = deque()
        self.release: Release = lambda queue_id, first, last: ()

    def add(self, numbered: Iterable[Numbered], release: Release) -> bool:
        """False: something before it is missing."""
        self.release = release
        for each in numbered:
            if each.number <= self._through:
                continue
            if each.number != self._through + 1:
                return False
            self.waiting.append(each)
            self._through = each.number
        return True

    def forget(self) -> None:
        """What waits is said again, or by nobody."""
        self.waiting.clear()
        self._through = self._number
