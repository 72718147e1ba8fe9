"""What connections' buffers hold all together, against the node's budget; who waits when it is used up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kernel import Account

INPUT_SIZE_MAX = 256 << 20
"""Bytes of frames and messages that aren't complete, of all connections."""
OUTPUT_SIZE_MAX = 512 << 20
"""Bytes that peers have not taken, of all connections."""
SMALL_INPUT_SIZE = 64 << 10
"""What a connection may hold in any case: frames in the middle of a read."""


class Buffers:
    """The two accounts that the poller and the streams charge."""

    def __init__(self, input_size_max: int = INPUT_SIZE_MAX, output_size_max: int = OUTPUT_SIZE_MAX) -> None:
        self.input = Account("connection input", input_size_max)
        self.output = Account("connection output", output_size_max)
        self._exceeded = False

    @property
    def exceeded(self) -> bool:
        """More is held than either budget; it stays so until an eighth of both is free again."""
        if self.input.exceeded or self.output.exceeded:
            self._exceeded = True
        elif self._exceeded:
            self._exceeded = any(a.charged > a.budget - a.budget // 8 for a in (self.input, self.output))
        return self._exceeded


def holders(sizes: Mapping[int, tuple[int, int]]) -> Iterable[int]:
    """Who is to wait, of each token's (input, output) size, while the budget is exceeded.

    Those who don't take their output, and those who are in the middle of something big.  One of the latter
    goes on, who holds most: if all waited for the others, none would ever finish.
    """
    going_on = [token for token, (_, output_size) in sizes.items() if not output_size]
    biggest = max(going_on, key=lambda token: sizes[token][0], default=None)
    for token, (input_size, output_size) in sizes.items():
        if output_size or (input_size > SMALL_INPUT_SIZE and token != biggest):
            yield token
