"""The laws of the adapter: any cut of the bytes gives the same, any garbage raises nothing, receipts come in order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import kernel
from broker.model import replies
from broker.model.refusals import Refusal
from kernel import SettleKind, Settlement, StompFrame
from protocols.stomp.settings import StompSettings
from protocols.stomp.version import Version
from tests.protocols.stomp.core_double import SETTINGS, Connection, assert_same, assert_well_behaved, opening
from tests.protocols.stomp.drawn_frames import frames
from tests.protocols.stomp.wire import frame, read_frames

V1_2 = Version.V1_2
ROOMY = StompSettings(default_nack_requeue=False, prefetch_count=5)
versions = st.sampled_from(list(Version))
untimed = hypothesis_settings(deadline=None)
"""A byte at a time takes its time on a busy machine."""
DELIVERED = (object,)
"""All is answered at once, so that there are subscriptions to deliver to."""


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    version = draw(versions)
    first = draw(st.just(opening(version)) | frames(version)) if draw(st.integers(0, 9)) == 0 else opening(version)
    return [first, *draw(st.lists(frames(version), max_size=12))]


@pytest.mark.parametrize("settings", [SETTINGS, ROOMY])
@untimed
@given(parts=streams(), data=st.data())
def test_how_the_bytes_are_cut_does_not_matter(
    settings: StompSettings, parts: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12))) if len(stream) > 1 else []
    whole, cut = Connection(settings), Connection(settings)
    whole.receive(stream)
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        cut.receive(stream[start:end])
    assert_same(cut, whole)


@untimed
@given(streams())
def test_byte_by_byte_is_the_same_too(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    whole, cut = Connection(), Connection()
    whole.receive(stream)
    for octet in stream:
        cut.receive(bytes((octet,)))
    assert_same(cut, whole)


SUBSCRIBED = frame("SUBSCRIBE", ("id", "0"), ("destination", "/queue/a"), ("ack", "client"))
BEFORE = [
    b"",
    *map(opening, Version),
    opening(V1_2) + SUBSCRIBED,
    opening(V1_2)
    + frame("BEGIN", ("transaction", "t"))
    + frame("SEND", ("destination", "/topic/a"), ("transaction", "t")),
    opening(V1_2) + frame("DISCONNECT", ("receipt", "r")),
]


@untimed
@given(st.binary(max_size=200), st.sampled_from(BEFORE))
def test_no_bytes_whatever_raise_anything(garbage: bytes, before: bytes) -> None:
    connection = Connection(answering=DELIVERED)
    connection.receive(before)
    connection.receive(garbage)
    connection.say(connection.core.deliver(2))
    connection.finish()
    assert_well_behaved(connection)


NAMES = ("destination", "id", "receipt", "transaction", "ack", "message-id", "content-length", "durable", "heart-beat",
         "accept-version", "x-priority", "reply-to", "subscription", "requeue", "x-message-ttl",
         "selector")  # fmt: skip
COMMANDS = ("CONNECT", "STOMP", "SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT",
            "DISCONNECT", "MESSAGE", "x")  # fmt: skip
texts = st.sampled_from(
    ["", "0", "1", "true", "/queue/a", "/topic/#", "/temp-queue/x", "1@@s@@1", "-1", "t", "é"]
) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@untimed
@given(
    st.sampled_from(COMMANDS),
    st.lists(st.tuples(st.sampled_from(NAMES), texts), max_size=5),
    st.binary(max_size=20),
    st.sampled_from(BEFORE),
    st.integers(0, 8),
)
def test_no_frame_whatever_raises_anything(
    command: str, headers: list[tuple[str, str]], body: bytes, before: bytes, replied: int
) -> None:
    """Well-framed, behind what may go before; ``replied``: how many of the core's answers have come."""
    connection = Connection(answering=())
    connection.receive(before)
    for _ in range(replied):
        if connection.core.pending:
            connection.say(connection.core.answer())
    connection.receive(frame(command, *headers, body=body))
    connection.finish()
    assert_well_behaved(connection)


@untimed
@given(streams(), st.data())
def test_no_damage_whatever_raises_anything(parts: list[bytes], data: st.DataObject) -> None:
    """Octets changed, left out or put in, in bytes that once made sense: that gets deeper than noise does."""
    stream = bytearray(b"".join(parts))
    start = data.draw(st.integers(0, 1)) * len(parts[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(min(start, len(stream) - 1), len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    connection = Connection(answering=DELIVERED)
    connection.receive(bytes(stream))
    assert_well_behaved(connection)


pairs = st.lists(st.tuples(st.sampled_from(NAMES).map(str.encode), texts.map(str.encode)), max_size=4)
settlements = st.builds(
    Settlement,
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(3, 5),
    st.sampled_from([SettleKind.ACK, SettleKind.NACK]),
)
drawn_frames = st.one_of(
    settlements,
    st.integers(1, 600).map(kernel.Eols),
    st.sampled_from(["Bad frame: what is wrong", "no colon"]).map(
        lambda text: kernel.Violation(0, text, 0, 0, 0, True)
    ),
    st.builds(
        StompFrame,
        st.sampled_from([b"CONNECT", b"SUBSCRIBE", b"UNSUBSCRIBE", b"BEGIN", b"COMMIT", b"DISCONNECT"]),
        pairs,
    ),
)


@untimed
@given(st.lists(drawn_frames, max_size=12), st.sampled_from(BEFORE), st.integers(0, 4))
def test_no_frames_whatever_raise_anything(drawn: list[Any], before: bytes, replied: int) -> None:
    """Also those that no decoder would make in that state."""
    connection = Connection(ROOMY, answering=())
    connection.receive(before)
    for _ in range(replied):
        if connection.core.pending:
            connection.say(connection.core.answer())
    for each in drawn:
        connection.adapter.receive_frames([each], 0.0)
        connection.settle()
    assert_well_behaved(connection)


refusals = st.sampled_from([None, None, None, *Refusal])


@untimed
@given(streams(), st.lists(st.tuples(refusals, st.integers(0, 2)), max_size=12))
def test_whatever_the_core_says_and_when_receipts_come_in_order(
    parts: list[bytes], steps: list[tuple[Refusal | None, int]]
) -> None:
    connection = Connection(ROOMY)
    for part, (refusal, count) in itertools.zip_longest(parts, steps, fillvalue=(None, 1)):
        if isinstance(part, bytes):
            connection.receive(part)
        if connection.core.pending:
            connection.say(connection.core.answer(refusal))
        connection.say(connection.core.deliver(count))
    connection.finish()
    assert_well_behaved(connection)
    said = read_frames(connection.output, connection.version)
    given_receipts = [each.header("receipt-id") for each in said if each.command == "RECEIPT"]
    assert given_receipts == _asked(b"".join(parts))[: len(given_receipts)]


def _asked(stream: bytes) -> list[str]:
    """The receipts asked for, in order, as in the bytes: the bodies drawn have no NULs."""
    asked = []
    for each in stream.split(b"\0"):
        head = each.strip(b"\r\n").split(b"\n\n")[0].decode()
        version_free = head.replace("\\c", ":")
        asked += [line.partition(":")[2] for line in version_free.split("\n") if line.startswith("receipt:")]
    return asked


@untimed
@given(versions, st.lists(st.sampled_from(["lost", "close", "block", "timeout", "end"]), max_size=3), st.integers(0, 6))
def test_what_the_core_says_unasked_raises_nothing_in_any_state(
    version: Version, events: list[str], replied: int
) -> None:
    connection = Connection(answering=())
    connection.receive(opening(version))
    for _ in range(replied):
        if connection.core.pending:
            connection.say(connection.core.answer())
    connection.receive(SUBSCRIBED)
    for _ in range(replied):
        if connection.core.pending:
            connection.say(connection.core.answer())
    for event in events:
        match event:
            case "lost":
                lost = replies.ConsumerLost(1, "T_0")  # type: ignore[arg-type]
                connection.say([lost] if connection.core.opened else [])
            case "close":
                connection.say([replies.CloseConnection("shutdown")])
            case "block":
                connection.say([replies.Block("memory"), replies.Unblock()])
            case "timeout":
                connection.adapter.receive_timeout(1e9)
            case _:
                connection.adapter.receive_end(0.0)
        connection.settle()
    connection.finish()
    assert_well_behaved(connection)
