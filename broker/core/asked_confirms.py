"""``x-confirm`` of a message: its publisher says when it wants to be told, whatever the queues' own settings.

The kernel finds it in a run (``MessageRun.confirms``); if its messages ask for several levels it is published in parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from broker.core.channel import Channel
from broker.core.outcomes import Refused
from broker.model import commands as c
from broker.model.queue_settings import CONFIRM_LEVELS, ConfirmLevel
from broker.model.refusals import Refusal
from kernel import NO_CONFIRM_ASKED, UNKNOWN_CONFIRM, MessageRun
from routing.route_cache import Key

UNKNOWN_LEVEL = Refused(
    Refusal.PRECONDITION_FAILED,
    "invalid x-confirm of a message: one of " + ", ".join(f"'{name}'" for name in CONFIRM_LEVELS) + " is wanted",
)
Asked = Sequence[tuple[int, int]]
"""How many messages in turn, and what they ask for."""
AdmittedPart = tuple[int, MessageRun, Refused | None]
"""Where in the run it begins, and why it may not be published."""


class Publisher(Protocol):
    """A session, as far as its publishes are concerned."""

    def publish_at(self, channel: Channel, command: c.Publish, level: ConfirmLevel | None) -> bool:
        """Publishes, to be confirmed at this level; None: as its queues say.  Whether what comes after counts."""

    def refuse_part(self, channel: Channel, command: c.Publish, refused: Refused) -> bool:
        """All of the run may not be published; whether what comes after it counts."""


def publish_parts(publisher: Publisher, channel: Channel, command: c.Publish, asked: Asked) -> None:
    """Each with its own level."""
    start = 0
    for count, level in asked:
        part = command.messages.before(start + count).after(start)
        of_part = c.Publish(command.channel, part, command.first_tag and command.first_tag + start)
        if level != UNKNOWN_CONFIRM:
            goes_on = publisher.publish_at(channel, of_part, _level(level))
        else:
            goes_on = publisher.refuse_part(channel, of_part, UNKNOWN_LEVEL)
        if not goes_on:
            return
        start += count


def _level(number: int) -> ConfirmLevel | None:
    return None if number == NO_CONFIRM_ASKED else ConfirmLevel(number)


def refused_level(messages: MessageRun) -> Refused | None:
    """Some of them ask for a level that there is not."""
    asked = messages.confirms() or ()
    return UNKNOWN_LEVEL if any(level == UNKNOWN_CONFIRM for _, level in asked) else None


def admitted_parts(messages: MessageRun, refusal_of: Callable[[Key], Refused | None]) -> Iterator[AdmittedPart]:
    """What may be published and what may not, in turns; ``refusal_of``: why nothing may be published there."""
    start = 0
    for count, level in messages.confirms() or [(messages.count, NO_CONFIRM_ASKED)]:
        part = messages.before(start + count).after(start)
        if level == UNKNOWN_CONFIRM:
            yield start, part, UNKNOWN_LEVEL
        else:
            for begin, admitted, refused in _parts_by_key(part, refusal_of):
                yield start + begin, admitted, refused
        start += count


def _parts_by_key(messages: MessageRun, refusal_of: Callable[[Key], Refused | None]) -> Iterator[AdmittedPart]:
    keys = messages.keys()
    refusals = [refusal_of(key) for key in keys]
    rest = messages.select([key for key, refused in enumerate(refusals) if refused is None])
    end = 0
    for refused, part in itertools.groupby(range(messages.count), lambda index: refusals[messages.key(index)]):
        start, end = end, end + len(list(part))
        if refused is not None:
            yield start, messages.before(end).after(start), refused
        else:
            yield start, rest.before(end - start), None
            rest = rest.after(end - start)
