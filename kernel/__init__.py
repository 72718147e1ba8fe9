"""The kernel's face: what Dragoman does per byte and per message.

Pure logic.  What touches the world stands in ``kernel.poller``, ``kernel.journal`` and ``kernel.disk``.
"""

from __future__ import annotations

from kernel._kernel import (
    BUILD_PROFILE,
    FLAG_BAD_EXPIRATION,
    FLAG_HAS_USER_ID,
    FLAG_MANDATORY,
    FLAG_PERSISTENT,
    Account,
    AmqpDecoder,
    Chunk,
    Counters,
    DeliveryRun,
    Heartbeat,
    Histogram,
    MessageRun,
    Method,
    NamePattern,
    ProtocolHeader,
    SettleKind,
    Settlement,
    TopicTrie,
    Violation,
    Wildcard,
)

__all__ = [
    "BUILD_PROFILE",
    "FLAG_BAD_EXPIRATION",
    "FLAG_HAS_USER_ID",
    "FLAG_MANDATORY",
    "FLAG_PERSISTENT",
    "Account",
    "AmqpDecoder",
    "Chunk",
    "Counters",
    "DeliveryRun",
    "Heartbeat",
    "Histogram",
    "MessageRun",
    "Method",
    "NamePattern",
    "ProtocolHeader",
    "SettleKind",
    "Settlement",
    "TopicTrie",
    "Violation",
    "Wildcard",
]
