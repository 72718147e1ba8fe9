"""Frames that a client may send, drawn; few of them end the connection."""

from __future__ import annotations

from hypothesis import strategies as st

from protocols.stomp.version import Version
from tests.protocols.stomp.wire import frame

IDS = st.sampled_from(["0", "1", "a b", "é:\\"])
DESTINATIONS = st.sampled_from(
    [
        "/queue/a",
        "/queue/b",
        "/topic/a.b",
        "/topic/*.#",
        "/exchange/amq.direct/k",
        "/exchange/amq.fanout",
        "/amq/queue/c",
        "/reply-queue/x/y",
    ]
)
TRANSACTIONS = st.sampled_from(["t", "u"])
BODIES = st.sampled_from([b"", b"hello", b"x" * 300])
ENDS = st.sampled_from([b"\0", b"\0\n", b"\0\n", b"\0\n\n", b"\0\r\n"])
BOOLEANS = st.sampled_from(["true", "false"])


def some(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """The header, now and then."""
    return st.lists(values.map(lambda value: (name, value)), max_size=1)


def receipts() -> st.SearchStrategy[list[tuple[str, str]]]:
    return some("receipt", st.sampled_from(["r1", "r2", "with space", "é:"]))


@st.composite
def sends(draw: st.DrawFn, version: Version) -> bytes:
    body = draw(BODIES)
    headers = [("destination", draw(DESTINATIONS)), *draw(receipts())]
    headers += draw(some("persistent", BOOLEANS))
    headers += draw(some("content-length", st.just(str(len(body)))))
    if draw(st.integers(0, 3)) == 0:
        headers += draw(some("transaction", TRANSACTIONS))
        headers += draw(some("reply-to", st.sampled_from(["/temp-queue/r", "/queue/answers", "x"])))
        headers += draw(some("x-message-ttl", st.sampled_from(["10", "20"])))
        headers += draw(some("user-id", st.sampled_from(["me", "me", "you"])))
        headers += draw(some("expiration", st.sampled_from(["1000", "soon"])))
    count = draw(st.integers(1, 4))
    return frame("SEND", *headers, body=body, version=version, end=draw(ENDS)) * count


@st.composite
def subscribes(draw: st.DrawFn, version: Version) -> bytes:
    headers = [("destination", draw(DESTINATIONS)), ("id", draw(IDS)), *draw(receipts())]
    headers += draw(some("ack", st.sampled_from(["auto", "client", "client-individual"])))
    headers += draw(some("durable", BOOLEANS)) + draw(some("auto-delete", BOOLEANS))
    headers += draw(some("prefetch-count", st.sampled_from(["0", "10"])))
    return frame("SUBSCRIBE", *headers, version=version, end=draw(ENDS))


@st.composite
def unsubscribes(draw: st.DrawFn, version: Version) -> bytes:
    headers = [("id", draw(IDS)), *draw(receipts()), *draw(some("durable", BOOLEANS))]
    return frame("UNSUBSCRIBE", *headers, version=version, end=draw(ENDS))


@st.composite
def acknowledgements(draw: st.DrawFn, version: Version) -> bytes:
    command = draw(st.sampled_from(["ACK", "ACK", "NACK"] if version is not Version.V1_0 else ["ACK"]))
    tag = draw(st.integers(1, 4))
    frames = b""
    for number in range(draw(st.integers(1, 3))):
        id = f"{draw(st.integers(1, 2))}@@s@@{tag + number}"
        headers = [("id" if version is Version.V1_2 else "message-id", id), ("subscription", "0")]
        headers += draw(receipts()) + draw(some("transaction", TRANSACTIONS))
        headers += draw(some("requeue", BOOLEANS))
        frames += frame(command, *headers, version=version)
    return frames


@st.composite
def transactions(draw: st.DrawFn, version: Version) -> bytes:
    command = draw(st.sampled_from(["BEGIN", "BEGIN", "COMMIT", "ABORT"]))
    return frame(command, ("transaction", draw(TRANSACTIONS)), *draw(receipts()), version=version, end=draw(ENDS))


@st.composite
def disconnects(draw: st.DrawFn, version: Version) -> bytes:
    return frame("DISCONNECT", *draw(receipts()), version=version)


def frames(version: Version) -> st.SearchStrategy[bytes]:
    return st.one_of(
        sends(version),
        sends(version),
        sends(version),
        subscribes(version),
        subscribes(version),
        unsubscribes(version),
        acknowledgements(version),
        transactions(version),
        disconnects(version),
        st.just(b"\n"),
    )
