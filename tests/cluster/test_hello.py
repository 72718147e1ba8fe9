"""The handshake: who gets through, who doesn't, and what each is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cluster.frame import Frame, encode_frames
from broker.cluster.frame_kinds import Channel, Kind
from broker.cluster.hello import FRESH, TOLD, Identity, PeerInfo, Secret, Terms
from broker.cluster.peer_link import PeerLink
from broker.cluster.violation import WORDS, Closing, Reason, printable
from tests.cluster.handshakes import (
    ACCEPTOR_NONCE,
    DIALER_NONCE,
    acceptor,
    converse,
    dialer,
    frames_of,
    kinds_of,
    taken,
    terms,
)


def reason(link: PeerLink) -> Reason | None:
    return link.closing.reason if link.closing else None


@pytest.mark.parametrize("channel", list(Channel))
def test_both_learn_who_the_other_is(channel: Channel) -> None:
    one = dialer(terms("a", features=("lz", "moves"), cluster_id=b"c" * 16), channel)
    other = acceptor(terms("b", features=("moves", "zstd")))
    assert kinds_of(converse(one, other)) == ["HELLO", "CHALLENGE", "PROOF", "WELCOME"]
    assert one.ready
    assert other.ready
    assert other.channel is channel
    assert one.info == PeerInfo(ord("b"), 1_700_000_000_000_000_000, FRESH, "b", "b.example:7400", 1, ("moves",), 1)
    assert other.info == PeerInfo(
        ord("a"), 1_700_000_000_000_000_000, b"c" * 16, "a", "a.example:7400", 1, ("moves",), 1
    )
    assert one.info.fresh
    assert not other.info.fresh


@pytest.mark.parametrize(
    ("ours", "theirs", "version"),
    [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 5), (1, 3), 3), ((1, 9), (4, 4), 4), ((4, 4), (1, 9), 4)],
)
def test_the_highest_common_version_is_spoken(ours: tuple[int, int], theirs: tuple[int, int], version: int) -> None:
    one = dialer(terms("a", version_min=ours[0], version_max=ours[1]))
    other = acceptor(terms("b", version_min=theirs[0], version_max=theirs[1]))
    converse(one, other)
    assert one.info is not None
    assert other.info is not None
    assert one.info.version == other.info.version == version


@pytest.mark.parametrize("chosen", [0, 1, 3])
def test_the_acceptor_cannot_choose_another(chosen: int) -> None:
    one, other = dialer(terms("a", version_max=2)), acceptor(terms("b", version_max=3))
    other.receive_data(taken(one), 0.0)
    (challenge,) = frames_of(taken(other))
    assert challenge.head[3] == 2
    head = [*challenge.head[:3], chosen, *challenge.head[4:]]
    one.receive_data(encode_frames([Frame(challenge.kind, head)]), 0.0)
    assert reason(one) is Reason.VERSION


@pytest.mark.parametrize(("ours", "theirs"), [((1, 2), (3, 4)), ((3, 4), (1, 2))])
def test_without_a_common_version_both_ranges_are_told(ours: tuple[int, int], theirs: tuple[int, int]) -> None:
    one = dialer(terms("a", version_min=ours[0], version_max=ours[1]))
    other = acceptor(terms("b", version_min=theirs[0], version_max=theirs[1]))
    assert kinds_of(converse(one, other)) == ["HELLO", "REJECT"]
    assert reason(other) is Reason.VERSION
    assert reason(one) is Reason.REJECTED
    for words in (str(one.closing), str(other.closing)):
        assert f"{ours[0]} to {ours[1]}" in words
        assert f"{theirs[0]} to {theirs[1]}" in words


@pytest.mark.parametrize(("ours", "theirs"), [(b"one", b"other"), (b"", b"other"), (b"one", b"")])
def test_a_wrong_secret(ours: bytes, theirs: bytes) -> None:
    one, other = dialer(terms("a", secret=ours)), acceptor(terms("b", secret=theirs))
    assert kinds_of(converse(one, other)) == ["HELLO", "CHALLENGE", "PROOF", "REJECT"]
    assert reason(other) is Reason.WRONG_SECRET
    assert reason(one) is Reason.REJECTED
    assert "cluster.secret" in str(one.closing)
    assert not one.was_ready
    assert not other.was_ready


def test_without_a_secret_if_that_is_meant() -> None:
    one, other = dialer(terms("a", secret=b"")), acceptor(terms("b", secret=b""))
    converse(one, other)
    assert one.ready
    assert other.ready
    who = Identity(1, 1, FRESH, "c", "a", "a:1")
    with pytest.raises(AssertionError):
        Terms(who, Secret(b""))


def test_an_acceptor_that_does_not_know_the_secret_is_found_out() -> None:
    """It can say CHALLENGE, and WELCOME with anything, but that of the secret."""
    one, other = dialer(terms("a")), acceptor(terms("b"))
    other.receive_data(taken(one), 0.0)
    one.receive_data(taken(other), 0.0)
    own_proof = frames_of(taken(one))[0].head[0]
    # The dialer's own proof, sent back, is none: the role is in it.
    one.receive_data(encode_frames([Frame(Kind.WELCOME, [own_proof])]), 0.0)
    assert reason(one) is Reason.WRONG_SECRET
    assert not one.was_ready


@pytest.mark.parametrize("end", ["dialer", "acceptor"])
def test_what_was_said_before_proves_nothing_with_another_nonce(end: str) -> None:
    said = converse(dialer(terms("a")), acceptor(terms("b")))
    if end == "acceptor":
        link = acceptor(terms("b"), nonce=b"n" * 32)
        replayed = [data for role, data in said if role == "dialer"]
    else:
        link = dialer(terms("a"), nonce=b"n" * 32)
        replayed = [data for role, data in said if role == "acceptor"]
    for data in replayed:
        link.receive_data(data, 0.0)
    assert reason(link) is Reason.WRONG_SECRET
    assert not link.was_ready


def test_the_same_bytes_are_said_with_the_same_nonces() -> None:
    """Else the test before would prove nothing."""
    said = [converse(dialer(terms("a"), nonce=DIALER_NONCE), acceptor(terms("b"), ACCEPTOR_NONCE)) for _ in range(2)]
    assert said[0] == said[1]


HELLO, CHALLENGE = (frames_of(data)[0].head for _, data in converse(dialer(terms("a")), acceptor(terms("b")))[:2])


def _changed(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, str):
        return value.replace("e", "f") if "e" in value else value + "a"
    if isinstance(value, list):
        return ["x", *value]
    return value + 1


@pytest.mark.parametrize("at", range(1, len(HELLO)))
def test_whatever_is_changed_in_hello_on_the_way_breaks_the_proof(at: int) -> None:
    """All but the magic: of versions, features, identity, address and nonce nothing can be changed unseen."""
    one, other = dialer(terms("a")), acceptor(terms("b"))
    (hello,) = frames_of(taken(one))
    head = [*hello.head[:at], _changed(hello.head[at]), *hello.head[at + 1 :]]
    other.receive_data(encode_frames([Frame(hello.kind, head)]), 0.0)
    converse(one, other)
    assert not one.was_ready
    assert not other.was_ready
    assert reason(other) in (Reason.WRONG_SECRET, Reason.VERSION)


@pytest.mark.parametrize("at", range(len(CHALLENGE)))
def test_whatever_is_changed_in_challenge_on_the_way_breaks_the_proof(at: int) -> None:
    one, other = dialer(terms("a")), acceptor(terms("b"))
    other.receive_data(taken(one), 0.0)
    (challenge,) = frames_of(taken(other))
    head = [*challenge.head[:at], _changed(challenge.head[at]), *challenge.head[at + 1 :]]
    one.receive_data(encode_frames([Frame(challenge.kind, head)]), 0.0)
    converse(one, other)
    assert not one.was_ready
    assert not other.was_ready


def test_fields_of_later_versions_are_no_matter_and_are_proved() -> None:
    one, other = dialer(terms("a")), acceptor(terms("b"))
    (hello,) = frames_of(taken(one))
    other.receive_data(encode_frames([Frame(hello.kind, [*hello.head, "of a later version"])]), 0.0)
    assert kinds_of([("", taken(other))]) == ["CHALLENGE"]
    later = dialer(terms("a"))
    later._handshake._hello.append("of a later version")
    taken(later)
    other = acceptor(terms("b"))
    other.receive_data(encode_frames([Frame(Kind.HELLO, later._handshake._hello)]), 0.0)
    converse(later, other)
    assert later.ready
    assert other.ready


BAD_HELLOS: list[tuple[int, Any]] = [
    (0, "another protocol"),
    (3, ["b", "a"]),
    (3, ["a", "a"]),
    (3, [1]),
    (3, ["x" * 65]),
    (3, [f"{number:02}" for number in range(65)]),
    (4, 3),
    (4, -1),
    (5, 0),
    (5, -1),
    (6, -1),
    (7, b"c" * 15),
    (8, ""),
    (8, "a\nb"),
    (8, "x" * 256),
    (9, ""),
    (9, "\x00"),
    (10, "nowhere"),
    (10, ":7400"),
    (10, "a:0"),
    (10, "a:65536"),
    (10, "a:x"),
    (10, "a:\u0663"),
    (10, "x" * 301 + ":1"),
    (11, b""),
    (11, b"n" * 33),
]


@pytest.mark.parametrize(("at", "value"), BAD_HELLOS)
def test_a_hello_that_cannot_be_read_is_told_nothing(at: int, value: Any) -> None:
    head = [*HELLO[:at], value, *HELLO[at + 1 :]]
    link = acceptor(terms("b"))
    link.receive_data(encode_frames([Frame(Kind.HELLO, head)]), 0.0)
    assert reason(link) is Reason.BAD_FRAME
    assert not link.has_output


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.HELLO])
def test_a_stranger_can_say_hello_and_nothing_else(kind: Kind) -> None:
    link = acceptor(terms("b"))
    link.receive_data(encode_frames([Frame(kind, [b""])]), 0.0)
    assert reason(link) in (Reason.KIND_NOT_ALLOWED, Reason.FRAME_TOO_LARGE)
    assert not link.has_output


@pytest.mark.parametrize("told", sorted(TOLD))
def test_what_the_acceptor_will_not_is_told(told: Reason) -> None:
    asked: list[tuple[str, str, bool]] = []

    def judge(info: PeerInfo, cluster_name: str, proved: bool) -> Closing | None:
        asked.append((info.node_name, cluster_name, proved))
        return Closing(told, "for this reason")

    one, other = dialer(terms("a")), acceptor(terms("b"), judge=judge)
    converse(one, other)
    assert asked == [("a", "orders", True)], "only who knows the secret learns it"
    assert reason(other) is told
    assert reason(one) is Reason.REJECTED
    assert WORDS[told] in str(one.closing)
    assert "for this reason" in str(one.closing)


def test_a_dialer_judges_before_and_after_the_proof() -> None:
    asked: list[bool] = []

    def judge_at(count: int) -> Callable[[PeerInfo, str, bool], Closing | None]:
        def judge(_info: PeerInfo, _cluster_name: str, proved: bool) -> Closing | None:
            asked.append(proved)
            return Closing(Reason.CLUSTER_ID) if len(asked) == count else None

        return judge

    for count in (1, 2):
        asked.clear()
        link = dialer(terms("a"), judge=judge_at(count))
        converse(link, acceptor(terms("b")))
        assert asked == [False, True][:count]
        assert reason(link) is Reason.CLUSTER_ID
        assert not link.was_ready


@given(st.text(max_size=400), st.text(max_size=400))
def test_a_rejection_is_fit_for_a_log_line(name: str, words: str) -> None:
    link = dialer(terms("a"))
    taken(link)
    link.receive_data(encode_frames([Frame(Kind.REJECT, [name, words])]), 0.0)
    assert reason(link) is Reason.REJECTED
    assert str(link.closing).isprintable()
    assert len(str(link.closing)) < 300


def test_words() -> None:
    assert set(WORDS) == set(Reason)
    assert printable("a\nb" + "x" * 300) == "a?b" + "x" * 197 + "..."
    assert str(Closing(Reason.RESET)) == WORDS[Reason.RESET]
    assert "hunter2" not in repr(Secret(b"hunter2"))
    assert "hunter2" not in str(terms("a", secret=b"hunter2"))
