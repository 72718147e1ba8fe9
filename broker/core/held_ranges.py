"""What clients hold of a leader's queues: ranges of sequences, by queue."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator


class HeldRanges:
    """Of one node, in one shard.  Ranges are added and taken away in runs, mostly at their ends."""

    def __init__(self) -> None:
        self._by_queue: dict[int, list[tuple[int, int]]] = {}

    def add(self, queue_id: int, first: int, last: int) -> None:
        """None of it is held yet."""
        ranges = self._by_queue.setdefault(queue_id, [])
        if ranges and ranges[-1][1] + 1 == first:
            ranges[-1] = (ranges[-1][0], last)
        elif not ranges or ranges[-1][1] < first:
            ranges.append((first, last))
        else:
            ranges.insert(bisect_left(ranges, (first, last)), (first, last))

    def remove(self, queue_id: int, first: int, last: int) -> list[tuple[int, int]]:
        """What of it is held is held no more: those ranges."""
        ranges = self._by_queue.get(queue_id)
        if ranges is None:
            return []
        begin = bisect_left(ranges, (first, first))
        if begin and ranges[begin - 1][1] >= first:
            begin -= 1
        end = begin
        left: list[tuple[int, int]] = []
        removed: list[tuple[int, int]] = []
        while end < len(ranges) and ranges[end][0] <= last:
            start, stop = ranges[end]
            if start < first:
                left.append((start, first - 1))
            if stop > last:
                left.append((last + 1, stop))
            removed.append((max(start, first), min(stop, last)))
            end += 1
        ranges[begin:end] = left
        if not ranges:
            del self._by_queue[queue_id]
        return removed

    def drop(self, queue_id: int) -> None:
        """The queue is gone."""
        self._by_queue.pop(queue_id, None)

    def __bool__(self) -> bool:
        return bool(self._by_queue)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Queue, first, last."""
        return ((queue_id, *each) for queue_id, ranges in self._by_queue.items() for each in ranges)
