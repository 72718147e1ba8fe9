"""What ``dragoman log`` asks of a data directory: the kernel's LogReader, as words."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

HardState: TypeAlias = tuple[int, int, int]
"""Term, vote, commit."""


class Entry(NamedTuple):
    """An entry of a shard's log in a journal write."""

    raft_index: int
    term: int
    kind: int
    """Raft's: 0 for a wave, others for changes of the group's members."""
    position: int
    size: int


RawEntry: TypeAlias = tuple[int, int, int, int, int]
RawRecord: TypeAlias = tuple[int, HardState | None, list[RawEntry]]
RawWrite: TypeAlias = tuple[int, int, int, int, list[RawRecord]]
RawGroup: TypeAlias = tuple[int, int, int, int, int, int, int]
RawManifest: TypeAlias = tuple[
    int, tuple[int, int, int], list[RawGroup], list[tuple[int, int, int]], list[tuple[int, int, int]]
]
RawRun: TypeAlias = tuple[int, int, int, int, int, int, int, list[int]]
RawWave: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int]


class LogSource(Protocol):
    """See ``kernel.journal.LogReader`` for what the tuples mean."""

    @property
    def peer(self) -> int: ...
    @property
    def store(self) -> bytes: ...
    @property
    def verified(self) -> tuple[str, int]: ...
    def files(self) -> list[tuple[str, int]]: ...
    def manifest(self) -> RawManifest | None: ...
    def journal_files(self) -> list[int]: ...
    def journal_writes(self, number: int) -> tuple[list[RawWrite], int, str]: ...
    def segment_runs(self, number: int) -> list[RawRun]: ...
    def read(self, name: str, position: int, size: int) -> bytes: ...
    def describe_wave(self, data: bytes) -> RawWave: ...
    def verify(self) -> list[tuple[str, int]]: ...
