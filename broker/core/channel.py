"""A channel at the front: what it was delivered, what its publisher is owed, what waits its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from broker.core.consumer import UNBOUNDED, Consumer
from broker.core.shard import Shard
from broker.model.commands import Command, CommitTransaction
from broker.model.names import Channel as ChannelNumber
from broker.model.names import ConsumerTag
from kernel import Unsettled

HELD_COUNT_MAX = 1024
"""Commands held back on all channels of a session together, after which its socket is not read."""
NONE_HELD: deque[Command] = deque(maxlen=0)
"""What most channels have, shared: an empty deque takes 760 bytes."""


class Channel:
    """One channel of a session; a protocol without channels has one, 0."""

    __slots__ = (
        "by_number",
        "closed",
        "confirmed",
        "consumers",
        "credit",
        "held",
        "next_consumer",
        "number",
        "rejected",
        "settled_shards",
        "unsettled",
        "waiting",
    )

    def __init__(self, number: ChannelNumber) -> None:
        self.number = number
        self.unsettled = Unsettled()
        self.consumers: dict[ConsumerTag, Consumer] = {}
        self.by_number: dict[int, Consumer] = {}
        """Also those that were cancelled, as long as something of theirs may be unsettled."""
        self.next_consumer = 1
        self.credit = UNBOUNDED
        self.waiting = False
        """A command waits for the log; what comes after it is held."""
        self.held = NONE_HELD
        self.confirmed: list[tuple[int, int]] = []
        self.rejected: list[tuple[int, int]] = []
        self.settled_shards: dict[Shard, None] = {}
        """Logged shards with settles that a goodbye has to wait for."""
        self.closed = False

    def hold(self, commands: Sequence[Command]) -> None:
        if self.held is NONE_HELD:
            self.held = deque()
        self.held.extend(commands)

    def hold_first(self, command: Command) -> None:
        """Before what is held already."""
        if self.held is NONE_HELD:
            self.held = deque()
        self.held.appendleft(command)

    def take_held(self) -> Command:
        """The first of what is held."""
        command = self.held.popleft()
        if not self.held:
            self.held = NONE_HELD
        return command

    def drop_held(self, kept: tuple[type, ...]) -> list[Command]:
        """All but commands of these types; what is dropped."""
        held, self.held = self.held, NONE_HELD
        left = [command for command in held if isinstance(command, kept)]
        if left:
            self.hold(left)
        return [command for command in held if not isinstance(command, kept)]

    def confirm(self, ranges: list[tuple[int, int]]) -> None:
        for first, last in ranges:
            if self.confirmed and self.confirmed[-1][1] + 1 == first:
                self.confirmed[-1] = (self.confirmed[-1][0], last)
            else:
                self.confirmed.append((first, last))


def weight_of(command: Command) -> int:
    """What a command that is held back counts for: a transaction stops the reading at once, for its size."""
    return HELD_COUNT_MAX + 1 if type(command) is CommitTransaction else 1


class Confirming(Protocol):
    """A session, as far as a publication knows it."""

    unconfirmed: int
    """Publications that are not applied yet."""

    @property
    def given_up(self) -> bool:
        """Its client has gone, and publishes again itself, wherever it comes next, what was not confirmed."""

    def owe(self, channel: Channel) -> None:
        """The channel has confirms or rejects to send."""


def tag_ranges(first_tag: int, records: Sequence[int]) -> list[tuple[int, int]]:
    """Records of a run, ascending, as ranges of tags."""
    ranges: list[tuple[int, int]] = []
    for record in records:
        tag = first_tag + record
        if ranges and ranges[-1][1] + 1 == tag:
            ranges[-1] = (ranges[-1][0], tag)
        else:
            ranges.append((tag, tag))
    return ranges


def _without(tags: tuple[int, int], first: int, last: int) -> list[tuple[int, int]]:
    """What of a range is not in ``first`` to ``last``."""
    parts = [(tags[0], min(tags[1], first - 1)), (max(tags[0], last + 1), tags[1])]
    return [part for part in parts if part[0] <= part[1]]


class Publication:
    """A run that is to be confirmed once every shard it reached has committed it."""

    __slots__ = ("channel", "first_tag", "session", "tags", "waits")

    def __init__(
        self, session: Confirming, channel: Channel, tags: list[tuple[int, int]], waits: int, first_tag: int = 0
    ) -> None:
        """``first_tag``: of the run's first message, if that is not the first of ``tags``."""
        self.session = session
        self.channel = channel
        self.tags = tags
        self.waits = waits
        self.first_tag = first_tag or tags[0][0]

    def reject(self, records: Sequence[int]) -> None:
        """A leader elsewhere says that some queue rejected these of the run's records."""
        tags = (self.first_tag + record for record in records)
        owed = [tag for tag in tags if any(first <= tag <= last for first, last in self.tags)]
        rejected = tag_ranges(0, owed)
        for first, last in rejected:
            self.tags = [part for each in self.tags for part in _without(each, first, last)]
        self.channel.rejected.extend(rejected)
        self.session.owe(self.channel)

    def applied(self) -> None:
        self.waits -= 1
        if not self.waits:
            self.session.unconfirmed -= 1
            self.channel.confirm(self.tags)
            self.session.owe(self.channel)
