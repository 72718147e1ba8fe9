"""The transactions of one connection: what was sent and settled in each, until COMMIT gives it to the core at once."""

from __future__ import annotations

from bisect import bisect_left

from broker.model.commands import Settle
from kernel import MessageRun
from protocols.stomp.settings import StompSettings
from protocols.stomp.violation import ProtocolViolation


class Transaction:
    """One, from BEGIN to COMMIT or ABORT."""

    __slots__ = ("action_count", "publishes", "settlements", "size")

    def __init__(self) -> None:
        self.publishes: list[MessageRun] = []
        self.settlements: list[Settle] = []
        self.action_count = 0
        self.size = 0


class Transactions:
    """Found by the client's names for them."""

    def __init__(self, settings: StompSettings) -> None:
        self._settings = settings
        self._open: dict[str, Transaction] = {}
        self._size = 0

    def begin(self, name: str) -> None:
        """Raises ProtocolViolation."""
        if name in self._open:
            raise ProtocolViolation("Duplicated transaction", f"there is a transaction '{name}' already")
        if len(self._open) >= self._settings.transactions_max:
            detail = f"a connection may have {self._settings.transactions_max} open; commit or abort one"
            raise ProtocolViolation("Too many transactions", detail)
        self._open[name] = Transaction()

    def find(self, name: str) -> Transaction:
        """Raises ProtocolViolation."""
        transaction = self._open.get(name)
        if transaction is None:
            raise ProtocolViolation("Unknown transaction", f"there is no transaction '{name}'; BEGIN comes first")
        return transaction

    def end(self, name: str) -> Transaction:
        """It is committed or aborted.  Raises ProtocolViolation."""
        transaction = self.find(name)
        del self._open[name]
        self._size -= transaction.size
        return transaction

    def publish(self, transaction: Transaction, messages: MessageRun) -> int | None:
        """Holds the messages; or none of them, and which is one too many."""
        settings = self._settings
        size = messages.payload_size
        room = settings.transaction_actions_max - transaction.action_count
        size_room = settings.transaction_size_max - self._size
        if messages.count > room or size > size_room:
            fitting = range(min(messages.count, room))
            return bisect_left(fitting, True, key=lambda index: messages.before(index + 1).payload_size > size_room)
        transaction.publishes.append(messages.compacted())
        transaction.action_count += messages.count
        transaction.size += size
        self._size += size
        return None

    def settle(self, transaction: Transaction, settle: Settle) -> None:
        """Raises ProtocolViolation."""
        if transaction.action_count >= self._settings.transaction_actions_max:
            raise self.exceeded()
        transaction.settlements.append(settle)
        transaction.action_count += 1

    def exceeded(self) -> ProtocolViolation:
        """An action too many."""
        settings = self._settings
        detail = (
            f"a transaction may have {settings.transaction_actions_max} actions, and a connection's transactions hold"
            f" {settings.transaction_size_max} bytes; commit more often"
        )
        return ProtocolViolation("Transaction too large", detail)
