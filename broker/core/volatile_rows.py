"""What is there and not logged, by the node it is on: told to the other nodes, and forgotten with its own."""

from __future__ import annotations

from broker.core.topology_rows import Row

OWN = 0


class VolatileRows:
    """Of this node (``OWN``), and of others by their peer ids.  What hangs on something that goes, goes from both."""

    def __init__(self) -> None:
        self.owner = OWN
        """Whose rows are being put."""
        self._by_owner: dict[int, dict[bytes, Row]] = {OWN: {}}
        self._changed: dict[bytes, Row | None] = {}

    def put(self, row: Row) -> None:
        key = row.key()
        self._by_owner.setdefault(self.owner, {})[key] = row
        if self.owner == OWN:
            self._changed[key] = row

    def drop(self, row: Row) -> None:
        key = row.key()
        for owner, rows in self._by_owner.items():
            if rows.pop(key, None) is not None and owner == OWN:
                self._changed[key] = None

    def of(self, owner: int) -> list[Row]:
        """In the order in which they came: each after what it hangs on."""
        return list(self._by_owner.get(owner, {}).values())

    def find(self, owner: int, key: bytes) -> Row | None:
        return self._by_owner.get(owner, {}).get(key)

    def owner_of(self, key: bytes) -> int:
        """Whose a row is that is there."""
        return next(owner for owner, rows in self._by_owner.items() if key in rows)

    def forget(self, owner: int) -> None:
        """Its rows are dropped."""
        self._by_owner.pop(owner, None)

    def take_changed(self) -> list[tuple[bytes, Row | None]]:
        """What became of this node's since this was last asked, in order; None: gone."""
        if not self._changed:
            return []
        changed, self._changed = self._changed, {}
        return list(changed.items())
