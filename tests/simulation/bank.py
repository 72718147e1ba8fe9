"""What transactions must come to: coins that move between queues, each move a part of a transaction.

A coin is a message ``coin:transaction``, by the transaction that put it where it is.  A transaction takes some coins,
settles them, and publishes them anew elsewhere; or it makes new ones.  Whatever falls, every coin is there once, where
its last transaction put it; a transaction happened for all its coins or for none (T1 to T4).
"""

from __future__ import annotations

import msgspec

from tests.simulation.ledger import Broken


class Transfer(msgspec.Struct):
    """A transaction; ``before``: by which each of its coins was put where it was taken from, None if it is new."""

    id: int
    before: dict[int, int | None]
    happened: bool | None = None
    """None: nobody knows yet."""


class Bank:
    """Everything that all who transact in one simulation know."""

    def __init__(self) -> None:
        self.transfers: dict[int, Transfer] = {}
        self.held: dict[tuple[int, int], object] = {}
        """Coins that somebody has been delivered, by the session it was."""
        self._after: dict[tuple[int, int], list[Transfer]] = {}
        """Transfers of a coin, by the transfer that had put it where it was."""
        self._coin_count = 0

    def begin(self, taken: list[tuple[int, int]], new_count: int) -> Transfer:
        """A transaction is sent, for coins that its session holds and so many new ones."""
        before: dict[int, int | None] = dict(taken)
        for _ in range(new_count):
            self._coin_count += 1
            before[self._coin_count] = None
        transfer = Transfer(len(self.transfers) + 1, before)
        self.transfers[transfer.id] = transfer
        for coin in taken:
            del self.held[coin]
            self._after.setdefault(coin, []).append(transfer)
        return transfer

    def finish(self, transfer: Transfer) -> None:
        """Done was said."""
        self._learn(transfer, True)

    def deliver(self, session: object, body: bytes) -> tuple[int, int]:
        number, _, id = body.partition(b":")
        coin = int(number), int(id)
        transfer = self.transfers.get(coin[1])
        if transfer is None or coin[0] not in transfer.before:
            raise Broken("T1", f"{body!r} was delivered, which nobody sent")
        if coin in self.held:
            raise Broken("T2", f"coin {coin} was delivered while somebody had it")
        self._learn(transfer, True)
        for later in self._after.get(coin, ()):
            self._learn(later, False)
        self.held[coin] = session
        return coin

    def _learn(self, transfer: Transfer, happened: bool) -> None:
        if transfer.happened is (not happened):
            raise Broken("T3", f"transaction {transfer.id} happened for some of its coins, or was undone")
        transfer.happened = happened

    def lose(self, session: object) -> None:
        """What it held comes back."""
        self.held = {coin: holder for coin, holder in self.held.items() if holder is not session}

    @property
    def expected(self) -> set[tuple[int, int]]:
        """Where the coins are of which that is known."""
        placed = {(coin, t.id) for t in self.transfers.values() if t.happened for coin in t.before}
        gone = {coin for coin, later in self._after.items() if any(t.happened for t in later)}
        return placed - gone

    @property
    def complete(self) -> bool:
        """Everything that is known to be there is in somebody's hand."""
        return self.held.keys() == self.expected

    @property
    def done_count(self) -> int:
        return sum(bool(transfer.happened) for transfer in self.transfers.values())

    def check_end(self) -> None:
        if not self.complete:
            raise Broken("T4", f"coins are missing: {sorted(self.expected - self.held.keys())[:5]}")
