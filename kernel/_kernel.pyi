"""The native module, as Python sees it.  Each class's rules stand in the Rust file of the same name."""

from collections.abc import Sequence
from typing import ClassVar, Final, TypeAlias, final

BUILD_PROFILE: Final[str]


@final
class Wildcard:
    """A level of a topic pattern that is not spelled out."""

    ONE: ClassVar[Wildcard]
    """Any one level: AMQP's ``*``, MQTT's ``+``."""
    MANY: ClassVar[Wildcard]
    """Zero or more levels, anywhere: ``#``."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __int__(self, /) -> int: ...

_PatternLevel: TypeAlias = bytes | Wildcard

@final
class TopicTrie:
    """Topic patterns with ids, as levels: no separator is known here, and an empty level is a level."""

    def __new__(cls) -> TopicTrie: ...
    def insert(self, pattern: Sequence[_PatternLevel], id: int) -> bool:
        """False if the pair was there already.  A pattern may have many u64 ids, and an id many patterns."""

    def remove(self, pattern: Sequence[_PatternLevel], id: int) -> bool:
        """False if there was no such pair.  Patterns are compared as written: ``#.#`` is not ``#`` here."""

    def match(self, levels: Sequence[bytes], *, leading_wildcards: bool = True) -> list[int]:
        """The ids of all patterns that match, ascending, each once; in time levels x nodes at most.

        Without ``leading_wildcards`` no wildcard stands for the first level: MQTT's rule for ``$SYS/...``.
        """

    def __len__(self, /) -> int:
        """How many (pattern, id) pairs there are."""

    @property
    def node_count(self) -> int:
        """What the patterns cost: nodes in use, the root included."""
