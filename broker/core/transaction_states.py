"""What a shard's log says of transactions that settled messages of other shards too.

The transaction's entry holds, beside its messages, a command that says what is to be settled elsewhere.  It makes a
row, which lasts until all of that is applied; after a crash whatever has a row is carried out again, which changes
nothing where it was done before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import msgspec

COMMAND_KIND = b"t"
"""The first byte of a transaction's command; a client session's has its version there."""
COMMAND_VERSION = b"\x01"
ROW_KIND = b"t"
"""The first byte of a row's key; the transaction's number in its shard follows, 8 bytes, big endian."""
ROW_VERSION = b"\x01"
KEY_SIZE = 9


class Settlement(NamedTuple):
    """Messages ``first`` to ``last`` of a queue; ``outcome`` by the log's numbers."""

    queue_id: int
    first: int
    last: int
    outcome: int


class Committed(msgspec.Struct, frozen=True, tag=True):
    """In one wave with the transaction's messages, and with what it settles in this shard."""

    transaction: int
    settlements: tuple[Settlement, ...]


class CarriedOut(msgspec.Struct, frozen=True, tag=True):
    """All of it is applied."""

    transaction: int


TransactionCommand: TypeAlias = Committed | CarriedOut

_encoder = msgspec.msgpack.Encoder()
_command_decoder = msgspec.msgpack.Decoder(TransactionCommand)
_row_decoder = msgspec.msgpack.Decoder(tuple[Settlement, ...])


def is_transaction_command(data: bytes) -> bool:
    return data[:1] == COMMAND_KIND


def is_transaction_row(key: bytes) -> bool:
    return key[:1] == ROW_KIND


def encode_transaction_command(command: TransactionCommand) -> bytes:
    return COMMAND_KIND + COMMAND_VERSION + _encoder.encode(command)


def decode_transaction_command(data: bytes) -> TransactionCommand:
    """Raises ValueError for what encode_transaction_command of this version did not write."""
    if data[:2] != COMMAND_KIND + COMMAND_VERSION:
        raise ValueError(f"a transaction's command of version {data[1:2].hex() or 'none'}")
    command: TransactionCommand = _command_decoder.decode(data[2:])
    return command


class TransactionStates:
    """Those of one shard that are not carried out, by their numbers, in the order they were committed."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """``rows``: in the order of their keys.  Raises ValueError for one that can't be read."""
        self.settlements: dict[int, tuple[Settlement, ...]] = {}
        self._changed: dict[bytes, bytes | None] = {}
        for key, value in rows:
            if value[:1] != ROW_VERSION or len(key) != KEY_SIZE:
                raise ValueError(f"row {key!r} of version {value[:1].hex() or 'none'} is not known to this broker")
            self.settlements[int.from_bytes(key[1:], "big")] = _row_decoder.decode(value[1:])

    def apply(self, command: TransactionCommand) -> None:
        transaction = command.transaction
        if isinstance(command, Committed):
            self.settlements[transaction] = command.settlements
            self._changed[_key(transaction)] = ROW_VERSION + _encoder.encode(command.settlements)
        else:
            self.settlements.pop(transaction, None)
            self._changed[_key(transaction)] = None

    def rows_changed(self) -> list[tuple[bytes, bytes | None]]:
        """What the rows became since this was last asked; None: gone."""
        changed, self._changed = self._changed, {}
        return list(changed.items())


def _key(transaction: int) -> bytes:
    return ROW_KIND + transaction.to_bytes(8, "big")
