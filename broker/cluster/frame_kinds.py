"""Every kind of frame, in one table: where, when and by whom it may be sent, how large, and what its head looks like.

A node sends on the links that it dialed; what comes back on them is the handshake's answers.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from broker.cluster.frame import FRAME_OVERHEAD_MAX, Frame
from broker.cluster.violation import LinkViolation, Reason

MIB = 1 << 20
HANDSHAKE_SIZE_MAX = 4096
"""Of a frame, before both have proved that they know the secret."""
BATCH_SLACK = MIB
"""Beside the largest message or entry (64 MiB)."""


class Channel(enum.IntEnum):
    """Three links lead to each node, so that bulk holds up no vote."""

    CONSENSUS = 0
    BULK = 1
    FORWARD = 2


class Role(enum.Enum):
    """Which end of a link."""

    DIALER = "dialer"
    ACCEPTOR = "acceptor"

    @property
    def other(self) -> Role:
        return Role.ACCEPTOR if self is Role.DIALER else Role.DIALER


class Kind(enum.IntEnum):
    """Below 16: the handshake's."""

    HELLO = 1
    CHALLENGE = 2
    PROOF = 3
    WELCOME = 4
    REJECT = 5
    HEARTBEAT = 16
    RAFT = 17
    APPEND = 32
    SNAPSHOT_REQUEST = 33
    SNAPSHOT_CHUNK = 34
    WORD = 48


CONSENSUS, BULK, FORWARD = Channel
APPEND, HEARTBEAT = Kind.APPEND, Kind.HEARTBEAT
"""To look one up in its class costs ten times as much, for each message."""


class KindRule(msgspec.Struct, frozen=True):
    """What holds for a kind of frame."""

    sender: Role
    channel: Channel | None
    """None: all, in the handshake alone."""
    fields: tuple[type, ...]
    """How its head begins."""
    longer: bool = False
    """Whether more fields may follow: those of later versions, or what its receiver checks itself."""
    body_size_max: int = 0


def _handshake(sender: Role, *fields: type, longer: bool = False) -> KindRule:
    return KindRule(sender, None, fields, longer)


def _ready(channel: Channel, *fields: type, longer: bool = False, body_size_max: int = 0) -> KindRule:
    return KindRule(Role.DIALER, channel, fields, longer, body_size_max)


# A node's own words in HELLO and CHALLENGE: peer, incarnation, cluster id, cluster name, node name, address, nonce,
# whether it may found a cluster (0 or 1).
_IDENTITY = (int, int, bytes, str, str, str, bytes, int)

KINDS: dict[Kind, KindRule] = {
    # magic, lowest version, highest version, features, channel, and who it is
    Kind.HELLO: _handshake(Role.DIALER, str, int, int, list, int, *_IDENTITY, longer=True),
    # lowest version, highest version, features, version chosen, and who it is
    Kind.CHALLENGE: _handshake(Role.ACCEPTOR, int, int, list, int, *_IDENTITY, longer=True),
    # HMAC
    Kind.PROOF: _handshake(Role.DIALER, bytes),
    Kind.WELCOME: _handshake(Role.ACCEPTOR, bytes),
    # reason, words
    Kind.REJECT: _handshake(Role.ACCEPTOR, str, str),
    # our clock in ms, the other's clock in ms as far as we know it (0: not yet), how long ago we heard it, payload
    Kind.HEARTBEAT: _ready(Channel.CONSENSUS, int, int, int, list),
    # Raft's messages but appends and snapshots
    Kind.RAFT: _ready(Channel.CONSENSUS, int, body_size_max=4 * MIB),
    # Raft's appends and snapshots' announcements
    Kind.APPEND: _ready(Channel.BULK, int, body_size_max=64 * MIB + BATCH_SLACK),
    # shard, the export's number, from which byte (or how the fetch ended)
    Kind.SNAPSHOT_REQUEST: _ready(Channel.BULK, int, int, int),
    # the same; an empty body is the end
    Kind.SNAPSHOT_CHUNK: _ready(Channel.BULK, int, int, int, body_size_max=4 * MIB),
    # Between fronts and leaders (words.py): size of the word, size of the list of its blobs' sizes
    Kind.WORD: _ready(Channel.FORWARD, int, int, body_size_max=64 * MIB + BATCH_SLACK),
}
CHANNEL_SIZE_MAX: dict[Channel, int] = {
    channel: FRAME_OVERHEAD_MAX + max(rule.body_size_max for rule in KINDS.values() if rule.channel is channel)
    for channel in Channel
}
"""Of a frame, after its length and checksum, once a link is ready."""


_RULES: dict[int, tuple[Kind, KindRule]] = {int(kind): (kind, rule) for kind, rule in KINDS.items()}


def check_frame(frame: Frame, channel: Channel | None, sender: Role) -> Kind:
    """Whether ``sender`` may send it on this channel; None: in the handshake.  Raises LinkViolation."""
    known = _RULES.get(frame.kind)
    if known is None:
        raise LinkViolation(Reason.UNKNOWN_KIND, str(frame.kind))
    kind, rule = known
    if rule.channel is not channel or rule.sender is not sender:
        where = "in the handshake" if channel is None else f"on {channel.name.lower()}"
        raise LinkViolation(Reason.KIND_NOT_ALLOWED, f"{kind.name} {where} by the {sender.value}")
    if len(frame.body) > rule.body_size_max:
        raise LinkViolation(Reason.FRAME_TOO_LARGE, f"{kind.name} with a body of {len(frame.body)} bytes")
    if not _has_shape(frame.head, rule):
        raise LinkViolation(Reason.BAD_FRAME, f"{kind.name} with another head")
    return kind


def _has_shape(head: list[Any], rule: KindRule) -> bool:
    # True is an int, and no number.
    types = tuple(map(type, head[: len(rule.fields)] if rule.longer else head))
    return types == rule.fields
