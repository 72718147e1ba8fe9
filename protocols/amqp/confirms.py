"""The publisher confirms of one channel: which tags are given, which are settled.

Laws: a tag is settled once, by a basic.ack or a basic.nack.  Every tag up to ``settled_through`` is settled, so a range
that goes on from there is one frame with ``multiple``; any other costs a frame per tag, since ``multiple`` would
settle the tags before it as well.
"""

from __future__ import annotations

import itertools
from bisect import bisect
from collections.abc import Sequence

from broker.model.replies import TagRange
from kernel import encode_confirms


class Confirms:
    """Counts a confirming channel's publishes and writes their confirms."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._next_tag = 1
        self._settled_through = 0
        self._ahead: list[TagRange] = []
        """Settled ranges past a gap: sorted, apart from each other and from the prefix."""

    @property
    def settled_through(self) -> int:
        """Every tag up to this one is settled."""
        return self._settled_through

    def take_tags(self, count: int) -> int:
        """The first of the next ``count`` tags."""
        first = self._next_tag
        self._next_tag += count
        return first

    def settle(self, tags: Sequence[TagRange], *, nack: bool) -> bytes:
        """Frames that say what became of these tags."""
        if len(tags) == 1 and tags[0][0] == self._settled_through + 1 and not self._ahead:
            self._check_given(tags[0])
            frames = encode_confirms(self._channel, tags, self._settled_through, nack)
            self._settled_through = tags[0][1]
            return frames
        ranges = _merged(tags)
        frames = encode_confirms(self._channel, ranges, self._settled_through, nack)
        for settled in ranges:
            self._check_given(settled)
            self._remember(settled)
        return frames

    def _check_given(self, settled: TagRange) -> None:
        first, last = settled
        assert self._settled_through < first <= last < self._next_tag, (settled, self._settled_through, self._next_tag)

    def _remember(self, settled: TagRange) -> None:
        first, last = settled
        at = bisect(self._ahead, settled)
        before = self._ahead[at - 1] if at else (0, self._settled_through)
        after = self._ahead[at] if at < len(self._ahead) else None
        assert before[1] < first, f"{settled} is settled already"
        assert after is None or last < after[0], f"{settled} is settled already"
        if after is not None and after[0] == last + 1:
            last = after[1]
            del self._ahead[at]
        if before[1] + 1 != first:
            self._ahead.insert(at, (first, last))
        elif at:
            self._ahead[at - 1] = (before[0], last)
        else:
            self._settled_through = last


def _merged(tags: Sequence[TagRange]) -> list[TagRange]:
    """The same tags in order, as few ranges as can be."""
    ordered = sorted(tags)
    merged = ordered[:1]
    for (_, end), (first, last) in itertools.pairwise(ordered):
        assert end < first, f"{first} is settled twice"
        if first == end + 1:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged
