"""What the server asks of the core and of the journal; tests put echoes and drawn syncs in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from broker.model.commands import Command
from broker.model.replies import Reply


class CoreSession(Protocol):
    """The core's end of one connection."""

    @property
    def full(self) -> bool:
        """Its socket is not to be read for now.  It may come to be full by a submit and by a step."""

    def receive_protocol(self, name: str) -> None:
        """What is spoken, once the client has logged in."""

    def submit(self, commands: Sequence[Command]) -> None:
        """In order."""

    def take_replies(self) -> Sequence[Reply]:
        """All there is to say, in order."""

    def receive_drained(self) -> None:
        """What it delivered has left: there is room for deliveries again."""


SessionT = TypeVar("SessionT", bound=CoreSession)


class Core(Protocol[SessionT]):
    """The broker without I/O."""

    disk_alarm: str | None
    """Why publishers can't be served, if the journal can't."""

    @property
    def pending(self) -> bool:
        """A step would do something although nothing more came."""

    @property
    def holding(self) -> bool:
        """Something was taken in that has yet to be given to the journal, as settles that nobody waits for are."""

    def open_session(self) -> SessionT: ...

    def close_session(self, session: SessionT) -> None:
        """The connection is gone."""

    def begin_round(self, now: float) -> None:
        """Before sessions are given anything that came."""

    def step(self, now: float, now_ms: int) -> None:
        """One round, at ``now`` (monotonic, seconds) and ``now_ms`` (wall time)."""

    def receive_synced(self, write: int) -> None:
        """The journal's submissions through this one are on disk."""

    def take_busy(self) -> Sequence[SessionT]:
        """Sessions that have replies."""

    def take_wanted_reads(self) -> Sequence[Callable[[], object]]:
        """What is to be read from disk for it.  Each may be called on any thread, takes as long as the disk does, and
        leaves something for a step to do."""

    def next_deadline(self, now: float, now_ms: int) -> float | None:
        """When a step is due although nothing came."""


class Syncs(Protocol):
    """The journal, as far as rounds go."""

    @property
    def submitted(self) -> int:
        """Submissions so far."""

    @property
    def synced(self) -> int:
        """Submissions that are on disk."""

    @property
    def pressure(self) -> str | None:
        """Why publishers must wait: "poisoned", "no space" or "journal full"; None: they need not."""
