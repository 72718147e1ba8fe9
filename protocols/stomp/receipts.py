"""The RECEIPT frames that are owed, in the order of the frames that asked for them.

A receipt says that all frames before were received too, so one that is due waits for those before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from broker.model.replies import TagRange
from kernel import SendReceipts, StompReceipts
from protocols.stomp.settings import RECEIPTS_MAX
from protocols.stomp.version import Version
from protocols.stomp.violation import ProtocolViolation


class OwedReceipts:
    """The kernel's queue of receipts, and a bound on those that cost the core nothing.

    How many SENDs are unconfirmed is bounded by the core, which stops reading; a BEGIN and an ABORT behind one that
    waits would gather without end.
    """

    __slots__ = ("_added", "_next_tag", "_others", "_receipts")

    def __init__(self, version: Version) -> None:
        self._receipts = StompReceipts(version)
        self._next_tag = 1
        self._added = 0
        self._others: deque[int] = deque()
        """Places, counted from the first receipt of all, of those owed that are not SENDs'."""

    def __len__(self) -> int:
        return len(self._receipts)

    def add_sends(self, receipts: SendReceipts, count: int) -> int:
        """Each is due once its message is confirmed.  The first of the ``count`` messages' tags; 0: nobody asks."""
        asked = len(receipts)
        if not asked:
            return 0
        first_tag = self._next_tag
        self._next_tag += count
        self._added += asked
        self._receipts.add_sends(receipts, first_tag, True)
        return first_tag

    def add(self, receipt_id: bytes) -> int | None:
        """Another frame's, if it asks; its number.  Raises ProtocolViolation."""
        if not receipt_id:
            return None
        if len(self._others) >= RECEIPTS_MAX:
            detail = f"{RECEIPTS_MAX} receipts are owed already; wait for some"
            raise ProtocolViolation("Too many receipts", detail)
        self._others.append(self._added)
        self._added += 1
        return self._receipts.add(receipt_id)

    def finish(self, number: int | None) -> None:
        """It is due; None: nobody asked."""
        if number is not None:
            self._receipts.finish(number)

    def confirm(self, tags: Sequence[TagRange]) -> None:
        self._receipts.confirm(tags)

    def reject(self, tags: Sequence[TagRange]) -> bytes | None:
        """The receipt id of the first message that waits for one of them."""
        return self._receipts.reject(tags)

    def take(self) -> bytes:
        """What is due, encoded."""
        taken = self._receipts.take()
        head = self._added - len(self._receipts)
        while self._others and self._others[0] < head:
            self._others.popleft()
        return taken
