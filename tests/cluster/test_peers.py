"""Nodes that find, lose and suspect each other, on a net in memory."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.cluster.dials import BACK_OFF_S_MAX, BACK_OFF_S_MIN, KNOWN_RETRY_S
from broker.cluster.frame import Frame, encode_frames
from broker.cluster.frame_kinds import Channel, Kind
from broker.cluster.hello import FRESH, PeerInfo
from broker.cluster.peer import HEARTBEAT_INTERVAL_S, SUSPICION_S
from broker.cluster.peers import QUEUE_SIZE_MAX, Peers
from broker.cluster.violation import Closing, Reason
from tests.cluster.handshakes import acceptor, converse, taken, terms
from tests.cluster.wire import SECRET, Heard, Wire, met, reasons, up

ONE, OTHER = b"1" * 16, b"2" * 16
APPEND = Frame(Kind.APPEND, [3], b"entry")


@pytest.mark.parametrize("seed", range(5))
def test_three_nodes_find_each_other_and_themselves(seed: int) -> None:
    wire = Wire(seed)
    nodes = [wire.add(name) for name in "abc"]
    wire.meet()
    wire.run(0.5)
    for node in nodes:
        others = sorted(set("abc") - {node.name})
        assert up(node) == others
        assert sorted(node.heard.ups()) == [("up", name) for name in others]
        assert [node.heard.said.count(("seen", name)) for name in others] == [6, 6]
        assert node.heard.said.index(("seen", others[0])) < node.heard.said.index(("up", others[0]))
        assert reasons(node) == {Reason.OURSELVES, Reason.HUNG_UP}
    dialed = len(wire.dials)
    assert dialed == 3 * 3 * 3
    wire.run(KNOWN_RETRY_S - 5)
    assert len(wire.dials) == dialed, "nobody dials himself again, nor whom he has"
    wire.run(10)
    assert len(wire.dials) == dialed + 9, "an address that led to ourselves may lead elsewhere one day"
    assert all(len(node.heard.ups()) == 2 for node in nodes)


def test_the_same_seed_gives_the_same() -> None:
    taps = []
    for _ in range(2):
        wire, _nodes = met("a", "b", "c", seed=7)
        wire.reset("a", "b")
        wire.run(2.0)
        taps.append(wire.tap)
    assert taps[0] == taps[1]


def test_one_address_is_enough_for_both_ways() -> None:
    """Whoever is dialed dials back where the other says that it is."""
    wire = Wire()
    a, b = wire.add("a"), wire.add("b")
    a.peers.set_addresses(["b:7000"], wire.now)
    wire.run(0.5)
    assert up(a) == ["b"]
    assert up(b) == ["a"]
    wire.kill("a")
    wire.run(0.5)
    dialed = len(wire.dials)
    wire.run(10)
    assert len(wire.dials) == dialed, "what was learned is forgotten with the links"


def test_frames_go_where_they_are_sent_in_order() -> None:
    wire, (a, b, c) = met("a", "b", "c")
    frames = {
        Channel.CONSENSUS: [Frame(Kind.RAFT, [number], b"m") for number in range(100)],
        Channel.BULK: [Frame(Kind.APPEND, [number], bytes(100_000)) for number in range(20)],
        Channel.FORWARD: [Frame(Kind.WORD, [number, 0], b"c") for number in range(100)],
    }
    for channel, some in frames.items():
        assert a.peers.send(2, channel, some[:10])
        assert a.peers.send(2, channel, some[10:])
    wire.run(1.0)
    for channel, some in frames.items():
        assert [frame for name, heard, frame in b.heard.frames if (name, heard) == ("a", channel)] == some
        assert a.peers.queued_size(2, channel) == 0
    assert c.heard.frames == []


def test_nothing_is_sent_without_a_link() -> None:
    wire = Wire()
    a = wire.add("a")
    for channel in Channel:
        assert not a.peers.send(2, channel, [APPEND])
        assert a.peers.queued_size(2, channel) == 0
    assert a.peers.full(2)
    b = wire.add("b")
    b.peers.set_addresses(["a:7000"], wire.now)
    wire.run(0.5)
    assert a.peers.send(2, Channel.BULK, [APPEND])
    assert not a.peers.full(2)


def test_queues_are_bounded() -> None:
    wire, (a, _b) = met("a", "b")
    chunk = bytes(1 << 20)
    for channel, kind in ((Channel.CONSENSUS, Kind.RAFT), (Channel.BULK, Kind.APPEND)):
        sent = 0
        while a.peers.send(2, channel, [Frame(kind, [], chunk)]):
            sent += 1
        assert sent == (QUEUE_SIZE_MAX[channel] // len(chunk)) - 1
        assert a.peers.queued_size(2, channel) <= QUEUE_SIZE_MAX[channel]
    for _ in range(20):
        assert not a.peers.full(2) or a.peers.queued_size(2, Channel.FORWARD) >= QUEUE_SIZE_MAX[Channel.FORWARD]
        assert a.peers.send(2, Channel.FORWARD, [Frame(Kind.WORD, [0, 0], chunk)]), "forward takes all"
    assert a.peers.full(2)
    wire.run(0.5)
    assert not a.peers.full(2)
    # One frame alone goes, however large: else it would never.
    assert a.peers.send(2, Channel.BULK, [Frame(Kind.APPEND, [0], bytes(QUEUE_SIZE_MAX[Channel.BULK]))])
    assert not a.peers.send(2, Channel.BULK, [APPEND])


def test_the_edge_is_told_when_forward_has_room_again() -> None:
    _wire, (a, _b) = met("a", "b")
    bound = QUEUE_SIZE_MAX[Channel.FORWARD]
    a.peers.send(2, Channel.FORWARD, [Frame(Kind.WORD, [0, 0], bytes(bound))])
    (link,) = a.peers.take_ready()
    over = link.queued_size - bound
    assert over > 0
    assert [a.peers.receive_written(link, size) for size in (over, 1, 1)] == [False, True, False]


# Who is not let in


@pytest.mark.parametrize(
    ("changed", "reason", "words"),
    [
        ({"secret": b"another"}, Reason.WRONG_SECRET, "cluster.secret"),
        ({"secret": b""}, Reason.WRONG_SECRET, "cluster.secret"),
        ({"versions": (2, 3)}, Reason.VERSION, "2 to 3"),
        ({"cluster_name": "prod"}, Reason.CLUSTER_NAME, "prod"),
        ({"cluster_id": OTHER}, Reason.CLUSTER_ID, OTHER.hex()),
        ({"peer": 1, "incarnation": 2}, Reason.COPIED_PEER, "copy"),
    ],
)
def test_who_does_not_belong_is_told_why_and_tries_less_and_less(
    changed: dict[str, object], reason: Reason, words: str
) -> None:
    wire = Wire()
    a = wire.add("a", peer=1, cluster_id=ONE)
    b = wire.add("b", **changed)  # type: ignore[arg-type]
    b.peers.set_addresses(["a:7000"], wire.now)
    wire.run(20)
    assert reason in reasons(a)
    assert reasons(b) <= {reason, Reason.REJECTED}
    assert words in str(b.ended[-1])
    assert a.heard.said == b.heard.said == []
    assert not a.peers.send(b.peers._terms.identity.peer, Channel.BULK, [APPEND])
    tries = [when for when, _, _, channel in wire.dials if channel is Channel.BULK]
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps[0] < 4 * BACK_OFF_S_MIN + HEARTBEAT_INTERVAL_S / 2, "it waits for the tick after"
    assert all(BACK_OFF_S_MAX / 2 <= gap <= BACK_OFF_S_MAX + 0.1 for gap in gaps[8:])
    assert len(tries) < 25


def test_fresh_nodes_and_a_cluster_see_each_other() -> None:
    wire = Wire()
    a, b = wire.add("a", cluster_id=ONE), wire.add("b", cluster_id=FRESH)
    wire.meet()
    wire.run(0.5)
    assert up(a) == ["b"]
    assert up(b) == ["a"]
    assert [info.fresh for info in (*a.peers.up(), *b.peers.up())] == [True, False]


def test_a_fresh_node_takes_the_clusters_id() -> None:
    wire = Wire()
    a, b = wire.add("a", cluster_id=ONE), wire.add("b")
    wire.meet()
    wire.run(0.5)
    b.heard.said.clear()
    b.peers.set_cluster_id(ONE, wire.now)
    assert b.heard.ups() == [("down", "a")]
    wire.run(0.5)
    assert up(b) == ["a"]
    assert [info.cluster_id for info in a.peers.up()] == [ONE]
    assert b.heard.ups() == [("down", "a"), ("up", "a")]
    assert Reason.IDENTITY_CHANGED in reasons(b)
    with pytest.raises(AssertionError):
        b.peers.set_cluster_id(OTHER, wire.now)


def test_two_that_found_clusters_of_their_own_part() -> None:
    wire, (a, b) = met("a", "b")
    a.peers.set_cluster_id(ONE, wire.now)
    b.peers.set_cluster_id(OTHER, wire.now)
    wire.run(2.0)
    assert a.heard.ups() == [("down", "b")]
    assert b.heard.ups() == [("down", "a")]
    assert Reason.CLUSTER_ID in reasons(a) | reasons(b)


def test_a_replayed_hello_leads_nowhere() -> None:
    wire, (a, b) = met("a", "b")
    for channel in Channel:
        said = [data for sender, target, on, data in wire.tap if (sender, target, on) == ("b", "a", channel)]
        heartbeats = len(a.heard.heartbeats)
        link = wire.inject("a", b"".join(said))
        assert link.closing is not None
        assert link.closing.reason in (Reason.WRONG_SECRET, Reason.KIND_NOT_ALLOWED)
        assert len(a.heard.heartbeats) == heartbeats
    assert up(a) == ["b"]
    assert a.heard.said == b.heard.said == [], "who is there is not disturbed"


# Links that break, and restarts


@pytest.mark.parametrize("seed", range(5))
def test_a_broken_connection_is_down_at_once_and_up_again(seed: int) -> None:
    wire, (a, b, c) = met("a", "b", "c", seed=seed)
    wire.reset("a", "b")
    assert up(a) == ["c"]
    wire.run(0.01)
    assert up(b) == ["c"]
    wire.run(0.5)
    assert a.heard.ups() == [("down", "b"), ("up", "b")]
    assert b.heard.ups() == [("down", "a"), ("up", "a")]
    assert c.heard.said == []
    assert a.peers.send(2, Channel.BULK, [APPEND])
    wire.run(0.1)
    assert b.heard.frames == [("a", Channel.BULK, APPEND)]


@pytest.mark.parametrize("seed", range(10))
def test_a_flipped_bit_closes_the_link_and_nothing_wrong_comes_through(seed: int) -> None:
    wire, (a, b) = met("a", "b", seed=seed)
    frames = [Frame(Kind.APPEND, [number], bytes([number]) * 5000) for number in range(10)]
    wire.corrupt("a", "b")
    a.peers.send(2, Channel.BULK, frames)
    # A length made longer is noticed when nothing more comes.
    wire.run(15)
    heard = [frame for _, _, frame in b.heard.frames]
    assert heard == frames[: len(heard)]
    assert b.heard.ups() == [("down", "a"), ("up", "a")]
    assert reasons(b) & {Reason.BAD_CHECKSUM, Reason.FRAME_TOO_LARGE, Reason.STALLED, Reason.BAD_FRAME}
    assert up(a) == ["b"]


def test_a_node_that_is_gone_is_dialed_with_patience() -> None:
    wire, (a, _b) = met("a", "b")
    wire.kill("b")
    wire.run(0.01)
    assert a.heard.ups() == [("down", "b")]
    wire.dials.clear()
    wire.run(30)
    tries = [when for when, _, _, channel in wire.dials if channel is Channel.CONSENSUS]
    assert 15 <= len(tries) <= 35
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps[0] < 0.3
    assert len({round(gap, 3) for gap in gaps[6:]}) > 3, "with jitter"
    wire.add("b", peer=2, incarnation=2)
    wire.run(2 * BACK_OFF_S_MAX)
    assert a.heard.ups() == [("down", "b"), ("up", "b")]


def test_a_newer_incarnation_takes_the_place_of_the_old() -> None:
    """Though the old one's connections have not been missed: its machine lost power."""
    wire, (a, _b) = met("a", "b")
    wire.cut("a", "b")
    wire.cut("b", "a")
    wire.nodes["b"].alive = False
    wire.heal()
    del wire.nodes["b"]
    new = wire.add("b", peer=2, incarnation=5)
    new.peers.set_addresses(["a:7000"], wire.now)
    wire.run(0.3)
    assert a.heard.ups() == [("down", "b"), ("up", "b")]
    assert [info.incarnation for info in a.peers.up()] == [5]
    assert Reason.NEWER_INCARNATION in reasons(a)


def test_an_earlier_incarnation_is_rejected() -> None:
    wire = Wire()
    a = wire.add("a")
    wire.add("b", incarnation=5)
    wire.meet()
    wire.run(0.5)
    wire.kill("b")
    wire.run(0.1)
    old = wire.add("b", peer=2, incarnation=4)
    wire.meet()
    a.heard.said.clear()
    wire.run(3)
    assert up(a) == up(old) == []
    assert a.heard.said == old.heard.ups() == []
    assert Reason.STALE_INCARNATION in reasons(a)
    assert any("earlier start" in str(closing) for closing in old.ended)


def test_a_second_connection_of_the_same_replaces_the_first() -> None:
    """It comes from where the first is known to be dead; here the first isn't."""
    wire, (a, b) = met("a", "b")
    (first,) = (link for link in a.peers._links if link.address is None and link.channel is Channel.BULK)
    wire.dials.clear()
    wire._dial(b, "a:7000", Channel.BULK)
    b.peers._peers[1].dialed.clear()
    b.peers._links.clear()
    wire.run(0.1)
    assert first.closing is not None
    assert first.closing.reason is Reason.REPLACED
    assert a.heard.ups()[0] == ("down", "b")


def test_a_node_at_two_addresses_is_linked_once() -> None:
    """Each of its addresses is found to be the same node's, and nothing flaps."""
    wire = Wire()
    a, b = wire.add("a"), wire.add("b")
    a.peers.set_addresses(["b:7000", "b:07000"], wire.now)
    wire.run(1.0)
    assert a.heard.ups() == [("up", "b")]
    assert b.heard.ups() == [("up", "a")]
    dialed = len(wire.dials)
    wire.run(30)
    assert len(wire.dials) == dialed
    assert Reason.DUPLICATE in reasons(a)
    assert Reason.REPLACED not in reasons(a) | reasons(b)
    assert len(a.peers.figures()[0].dialed) == 3
    wire.reset("a", "b")
    wire.run(2.0)
    assert a.heard.ups() == [("up", "b"), ("down", "b"), ("up", "b")]


def test_addresses_may_change() -> None:
    wire, (a, b, c) = met("a", "b", "c")
    for node in (a, c):
        node.peers.set_addresses(["a:7000", "c:7000"], wire.now)
    b.peers.set_addresses([], wire.now)
    wire.run(0.5)
    # They go on as long as either is linked with the other, since each learned the other's address of it.
    assert up(a) == ["b", "c"]
    wire.kill("b")
    wire.run(1.0)
    wire.dials.clear()
    wire.run(5.0)
    assert {address for _, _, address, _ in wire.dials} == set()
    assert up(a) == ["c"]


def test_an_address_that_is_forgotten_while_it_is_dialed() -> None:
    wire = Wire()
    a, b = wire.add("a"), wire.add("b")
    a.peers.set_addresses(["b:7000"], wire.now)
    assert len(a.peers.take_dials(wire.now)) == 3
    a.peers.set_addresses([], wire.now)
    link = a.peers.dialed("b:7000", Channel.BULK, wire.now)
    assert link.closing is not None
    assert link.closing.reason is Reason.FORGOTTEN
    a.peers.dial_failed("b:7000", Channel.CONSENSUS, wire.now)
    wire.run(1.0)
    assert a.heard.said == b.heard.said == []


def test_a_node_that_stops_says_goodbye_to_all_and_dials_no_more() -> None:
    wire, (a, b, _c) = met("a", "b", "c")
    a.peers.stop(wire.now)
    assert sorted(a.heard.ups()) == [("down", "b"), ("down", "c")]
    wire.run(1.0)
    assert reasons(a) <= {Reason.SHUTDOWN}
    assert ("down", "a") in b.heard.ups()
    assert up(b) == ["c"]
    assert a.peers.take_dials(wire.now + 100) == []
    assert not a.peers.send(2, Channel.BULK, [APPEND])


class Sender(Heard):
    """A receiver that speaks as soon as it is told of anybody."""

    peers: Peers

    def peer_seen(self, info: PeerInfo) -> None:
        super().peer_seen(info)
        for channel in Channel:
            self.peers.send(info.peer, channel, [APPEND])


def test_a_link_that_is_ready_and_broken_in_one_read_never_was() -> None:
    """And whoever answers it from within is not harmed."""
    heard = Sender()
    random = Random(1)
    peers = heard.peers = Peers(terms("a"), heard, random, lambda: random.randbytes(32), list, 0.0)
    peers.set_addresses(["b.example:7400"], 0.0)
    for junk, seen in ((b"", [("seen", "b")]), (b"junk of some length", [])):
        heard.said.clear()
        link = peers.dialed("b.example:7400", Channel.BULK, 0.0)
        other = acceptor(terms("b"))
        other.receive_data(taken(link), 0.0)
        peers.receive_data(link, taken(other), 0.0)
        other.receive_data(taken(link), 0.0)
        assert other.ready
        peers.receive_data(link, taken(other) + junk, 0.0)
        assert heard.said == seen
        assert link.was_ready
        assert link.ready is not bool(junk)
        peers.closed(link, Closing(Reason.RESET), 0.0)


def test_who_is_suspected_is_not_up_because_a_link_is_made_anew() -> None:
    wire, (a, b) = met("a", "b")
    wire.cut("a", "b")
    wire.run(SUSPICION_S + 0.2)
    assert b.heard.ups() == [("down", "a")]
    (old,) = (link for link in b.peers._links if link.address is not None and link.channel is Channel.BULK)
    b.peers.closed(old, Closing(Reason.RESET), wire.now)
    again = b.peers.dialed("a:7000", Channel.BULK, wire.now)
    other = acceptor(a.peers._terms)
    converse(again, other)
    b.peers._register(again, wire.now)
    assert len(b.peers.figures()[0].dialed) == 3
    assert up(b) == []


# Laws

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reset", "cut", "heal", "corrupt", "restart", "send", "send", "run"]),
        st.sampled_from("abc"),
        st.sampled_from("abc"),
        st.floats(0.0, 1.0),
    ),
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 1000))
def test_whatever_happens_they_are_up_when_it_is_over(steps: list[tuple[str, str, str, float]], seed: int) -> None:
    """And what is up goes down before it is up again, and frames come as they were sent, with gaps at most."""
    wire = Wire(seed, piece_size_max=500)
    numbers = {"a": 1, "b": 2, "c": 3}
    nodes = [wire.add(name, peer=number) for name, number in numbers.items()]
    wire.meet()
    incarnation = 1
    for count, (what, one, other, seconds) in enumerate(steps):
        if what == "restart":
            incarnation += 1
            nodes.append(wire.add(one, peer=numbers[one], incarnation=incarnation))
            wire.meet()
        elif what == "send" and one != other:
            frame = Frame(Kind.APPEND, [count, wire.nodes[one].peers._terms.identity.incarnation], b"x" * 1000)
            wire.nodes[one].peers.send(numbers[other], Channel.BULK, [frame])
        elif what in ("reset", "cut", "corrupt"):
            getattr(wire, what)(one, other)
        elif what == "heal":
            wire.heal()
        wire.run(seconds)
    wire.heal()
    wire._corrupt.clear()
    wire.run(STALL_AND_BACK_OFF_S)
    for name, node in wire.nodes.items():
        assert up(node) == sorted(set("abc") - {name})
    for node in nodes:
        for name in "abc":
            said = [what for what, who in node.heard.ups() if who == name]
            assert said == ["up" if at % 2 == 0 else "down" for at in range(len(said))]
            sent = [tuple(frame.head[::-1]) for who, _, frame in node.heard.frames if who == name]
            assert sent == sorted(set(sent))


STALL_AND_BACK_OFF_S = 20.0


def test_a_stranger_disturbs_nobody() -> None:
    wire, (a, _b) = met("a", "b")
    for data in (b"", b"x", b"\x00" * 100, encode_frames([APPEND]), encode_frames([Frame(Kind.HELLO, ["x"])]), SECRET):
        wire.inject("a", data)
    wire.run(10)
    assert up(a) == ["b"]
    assert a.heard.said == []
    assert len(a.peers._links) == 6, "none of them is left"
