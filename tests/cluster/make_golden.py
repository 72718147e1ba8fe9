"""``python -m tests.cluster.make_golden``: writes what the newest version says on the wire, for later ones to read.

A file has a handshake, ``dialer`` and ``acceptor`` by turns, and a frame of each kind of a ready link, in hex.
"""

from __future__ import annotations

from pathlib import Path

from broker.cluster.frame import Frame, encode_frames
from broker.cluster.frame_kinds import KINDS, Kind
from broker.cluster.hello import VERSION_MAX, Terms
from tests.cluster.handshakes import acceptor, converse, dialer, kinds_of, terms

GOLDEN = Path(__file__).parent / "golden"
READY: dict[Kind, Frame] = {
    Kind.HEARTBEAT: Frame(Kind.HEARTBEAT, [86_400_000, 86_399_950, 12, [["applied", 3, 1_000_000], b"\x00\xff"]]),
    Kind.RAFT: Frame(Kind.RAFT, [3], b"a vote"),
    Kind.APPEND: Frame(Kind.APPEND, [3], b"an entry"),
    Kind.SNAPSHOT_REQUEST: Frame(Kind.SNAPSHOT_REQUEST, [3, 77, 0]),
    Kind.SNAPSHOT_CHUNK: Frame(Kind.SNAPSHOT_CHUNK, [3, 77, 0], b"a chunk"),
    Kind.WORD: Frame(Kind.WORD, [3, 1], b"word"),
}
"""A frame of each kind that has a channel."""


def golden_terms(version: int) -> tuple[Terms, Terms]:
    """The dialer's and the acceptor's."""
    return (
        terms("a", version_max=version, features=("moves", "zstd"), cluster_id=bytes(range(16))),
        terms("b", version_max=version, features=("moves",)),
    )


def golden_lines(version: int) -> list[str]:
    """``<who or kind> <hex>``."""
    ours, theirs = golden_terms(version)
    said = converse(dialer(ours), acceptor(theirs))
    assert kinds_of(said) == ["HELLO", "CHALLENGE", "PROOF", "WELCOME"]
    rejected = converse(dialer(ours), acceptor(terms("b", version_max=version, secret=b"another")))
    frames = [(kind.name, encode_frames([READY[kind]])) for kind, rule in KINDS.items() if rule.channel is not None]
    return [f"{what} {data.hex()}" for what, data in [*said, ("REJECT", rejected[-1][1]), *frames]]


if __name__ == "__main__":
    (GOLDEN / f"version-{VERSION_MAX}.txt").write_text("".join(f"{line}\n" for line in golden_lines(VERSION_MAX)))
