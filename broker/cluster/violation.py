"""Why a link between nodes was closed or refused: named reasons, each with words for people, in one table."""

from __future__ import annotations

import enum

import msgspec

DETAIL_LENGTH_MAX = 200
"""Of words that came from another node: they go into log lines."""


class Reason(enum.StrEnum):
    """The values travel in REJECT, so they stay as they are."""

    BAD_CHECKSUM = "bad-checksum"
    FRAME_TOO_LARGE = "frame-too-large"
    BAD_FRAME = "bad-frame"
    UNKNOWN_KIND = "unknown-kind"
    KIND_NOT_ALLOWED = "kind-not-allowed"
    HELLO_TIMEOUT = "hello-timeout"
    STALLED = "stalled"
    SILENT = "silent"
    VERSION = "version"
    WRONG_SECRET = "wrong-secret"
    CLUSTER_NAME = "cluster-name"
    CLUSTER_ID = "cluster-id"
    STALE_INCARNATION = "stale-incarnation"
    OURSELVES = "ourselves"
    COPIED_PEER = "copied-peer"
    DUPLICATE = "duplicate"
    REPLACED = "replaced"
    NEWER_INCARNATION = "newer-incarnation"
    IDENTITY_CHANGED = "identity-changed"
    FORGOTTEN = "forgotten"
    REJECTED = "rejected"
    HUNG_UP = "hung-up"
    NAME_UNKNOWN = "name-unknown"
    CONNECTION_REFUSED = "connection-refused"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    NO_ROOM = "no-room"
    CONNECT_TIMEOUT = "connect-timeout"
    WRITE_TIMEOUT = "write-timeout"
    TLS = "tls"
    SHUTDOWN = "shutdown"


WORDS: dict[Reason, str] = {
    Reason.BAD_CHECKSUM: "a frame's checksum does not hold: its bytes were changed on the way",
    Reason.FRAME_TOO_LARGE: "a frame is longer than this channel allows in this phase",
    Reason.BAD_FRAME: "a frame's head cannot be read",
    Reason.UNKNOWN_KIND: "a frame is of a kind that this version does not know",
    Reason.KIND_NOT_ALLOWED: "a frame is of a kind that has no place here",
    Reason.HELLO_TIMEOUT: "the handshake was not finished in time",
    Reason.STALLED: "a frame was begun and not gone on with",
    Reason.SILENT: "nothing was heard for too long",
    Reason.VERSION: "there is no version of the cluster's protocol that both speak",
    Reason.WRONG_SECRET: "the secret is another one: cluster.secret has to be the same on all nodes",
    Reason.CLUSTER_NAME: "the cluster's name is another one",
    Reason.CLUSTER_ID: "it belongs to another cluster, which was founded on its own",
    Reason.STALE_INCARNATION: "it is an earlier start of a node that has been started again since",
    Reason.OURSELVES: "the address leads to this node itself",
    Reason.COPIED_PEER: "it has this node's own peer id: its data directory is a copy",
    Reason.DUPLICATE: "the node is spoken with at another address already",
    Reason.REPLACED: "a newer connection took its place",
    Reason.NEWER_INCARNATION: "the node has been started again",
    Reason.IDENTITY_CHANGED: "this node has joined a cluster and says hello anew",
    Reason.FORGOTTEN: "the address is no longer one of the cluster's",
    Reason.REJECTED: "the other node refused",
    Reason.HUNG_UP: "the other node closed the connection",
    Reason.NAME_UNKNOWN: "the address's name cannot be resolved",
    Reason.CONNECTION_REFUSED: "nobody listens at the address",
    Reason.UNREACHABLE: "there is no way to the address",
    Reason.RESET: "the connection was broken off",
    Reason.NO_ROOM: "this machine has no room for another connection",
    Reason.CONNECT_TIMEOUT: "nobody answered at the address",
    Reason.WRITE_TIMEOUT: "the other node did not take what was sent to it",
    Reason.TLS: "TLS could not be agreed on",
    Reason.SHUTDOWN: "this node stops",
}


class Closing(msgspec.Struct, frozen=True):
    """Why a link ends."""

    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        return f"{WORDS[self.reason]} ({self.detail})" if self.detail else WORDS[self.reason]


class LinkViolation(Exception):
    """The other node broke the protocol, or is none that can be spoken with.  Caught in ``PeerLink`` alone."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.closing = Closing(reason, detail)


def printable(words: str) -> str:
    """What another node says, fit for a log line."""
    kept = "".join(letter if letter.isprintable() else "?" for letter in words[:DETAIL_LENGTH_MAX])
    return kept if len(words) <= DETAIL_LENGTH_MAX else f"{kept}..."
