"""The topology becomes what other rows say, in place: a node was sent a snapshot of the meta shard.

Who holds a router or a table goes on holding it; volatile things stay, as far as what they hang on does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from broker.core.topology_rows import (
    ROW_TYPES,
    BindingRow,
    ClientSessionRow,
    ConnectedRow,
    ExchangeRow,
    NameRow,
    NodeRow,
    PermissionRow,
    QueueRow,
    Row,
    SubscriptionRow,
    UserRow,
    VhostRow,
    decode_row,
)
from broker.core.topology_tables import RESTORES, TopologyTables

REPLACED = (VhostRow, QueueRow, ClientSessionRow)
"""Another row of such a key is another thing under the same name: the old one goes first."""


def replace_rows(tables: TopologyTables, rows: Iterable[tuple[bytes, bytes]]) -> None:
    """In any order.  Raises ValueError for rows that can't be read; then nothing has changed."""
    order = {type: number for number, type in enumerate(ROW_TYPES.values())}
    wanted = {key: decode_row(key, value) for key, value in rows}

    def stays(key: bytes, row: Row) -> bool:
        new = wanted.get(key)
        if isinstance(row, ExchangeRow) and isinstance(new, ExchangeRow):
            return new.exchange_id == row.exchange_id
        return new == row or (new is not None and not isinstance(row, REPLACED))

    going = [(key, row) for key, row in tables.rows().items() if not stays(key, row)]
    for key, row in sorted(going, key=lambda each: -order[type(each[1])]):
        if tables.rows().get(key) == row and type(row) in DROPS:  # what hung on something else went with it
            DROPS[type(row)](tables, row)
    for key, row in sorted(wanted.items(), key=lambda each: order[type(each[1])]):
        there = tables.rows().get(key)
        if there is not None and isinstance(row, ExchangeRow) and there != row:
            tables.mark_bound(row)
        elif there != row:
            RESTORES[type(row)](tables, row)
    tables.take_changed()


DROPS: dict[type[Row], Callable[[TopologyTables, Any], object]] = {
    VhostRow: lambda tables, row: tables.drop_vhost(tables.vhosts[row.name]),
    UserRow: TopologyTables.drop_user,
    PermissionRow: TopologyTables.drop_permission,
    ExchangeRow: TopologyTables.drop_exchange,
    QueueRow: TopologyTables.drop_queue,
    BindingRow: lambda tables, row: tables.unbind(row.vhost, row.binding),
    ClientSessionRow: TopologyTables.drop_session,
    ConnectedRow: TopologyTables.drop_connected,
    SubscriptionRow: lambda tables, row: tables.drop_subscription(row.vhost, row.subscription),
    NodeRow: TopologyTables.drop_node,
    NameRow: TopologyTables.drop_name,
}
"""A cluster, its shards and the counter only ever change."""
