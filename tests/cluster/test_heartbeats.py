"""Who is alive, who is taken for gone, and when a node wants to be woken for it."""

from __future__ import annotations

import itertools

import pytest

from broker.cluster.dials import BACK_OFF_S_MAX
from broker.cluster.peer import HEARTBEAT_INTERVAL_S, SILENCE_S_MAX, SUSPICION_S
from broker.cluster.violation import Reason
from tests.cluster.wire import Wire, met, reasons, up


def test_heartbeats_carry_what_others_put_in() -> None:
    wire, (a, b) = met("a", "b")
    a.payload = ["applied", [[3, 17]], b"x"]
    a.heard.heartbeats.clear()
    b.heard.heartbeats.clear()
    wire.run(5 * HEARTBEAT_INTERVAL_S)
    assert {name for name, _, _ in b.heard.heartbeats} == {"a"}
    assert b.heard.heartbeats[-1][1] == ["applied", [[3, 17]], b"x"]
    assert a.heard.heartbeats[-1][1] == []
    assert 4 <= len(b.heard.heartbeats) <= 6
    (figures,) = a.peers.figures()
    assert figures.round_trip_ms is not None
    assert 0 <= figures.round_trip_ms <= 6, "what the other held it for is left out"


def test_silence_of_one_direction_is_suspected_on_one_side() -> None:
    wire, (a, b) = met("a", "b")
    wire.cut("a", "b")
    wire.run(SUSPICION_S - HEARTBEAT_INTERVAL_S)  # what was heard last may have been just before the next was due
    assert b.heard.said == []
    wire.run(HEARTBEAT_INTERVAL_S)
    assert b.heard.ups() == [("down", "a")]
    assert a.heard.said == []
    assert up(a) == ["b"]
    wire.heal()
    wire.run(0.3)
    assert b.heard.ups() == [("down", "a"), ("up", "a")]
    assert b.ended == [], "its links were there all the time"


def test_long_silence_gives_links_up() -> None:
    wire, (a, b) = met("a", "b")
    wire.cut("a", "b")
    wire.cut("b", "a")
    wire.run(SILENCE_S_MAX + 1)
    assert a.heard.ups() == [("down", "b")]
    assert Reason.SILENT in reasons(a)
    assert Reason.SILENT in reasons(b)
    wire.heal()
    wire.run(BACK_OFF_S_MAX + 1)
    assert up(a) == ["b"]
    assert up(b) == ["a"]


def test_who_stood_still_himself_suspects_nobody() -> None:
    """A process that was stopped finds its own ticks far apart, and the others' heartbeats unread."""
    wire, (a, b) = met("a", "b")
    b.peers.tick(wire.now + 4.0)
    assert up(b) == ["a"]
    b.peers.tick(wire.now + 4.05)
    assert up(b) == ["a"]
    for at in range(12):
        b.peers.tick(wire.now + 4.1 + 0.05 * at)
    assert up(b) == [], "but then they are to be heard"
    assert a.heard.said == []


def test_linked_nodes_are_ticked_with_their_heartbeats_only() -> None:
    wire, (a, _b) = met("a", "b")
    wire.run(1)
    ticks = []
    for _ in range(10):
        ticks.append(a.peers.next_tick)
        wire.run(a.peers.next_tick - wire.now)
    assert ticks[-1] - ticks[0] == pytest.approx(9 * HEARTBEAT_INTERVAL_S)


def test_who_comes_back_is_dialed_at_once_however_often_it_was_not_there() -> None:
    wire, (a, b) = met("a", "b")
    wire.kill("b")
    wire.run(10)  # the back-off is at its longest
    a.heard.said.clear()
    wire.add("b", peer=b.peers._terms.identity.peer, incarnation=9).peers.set_addresses(["a:7000"], wire.now)
    wire.run(0.1 + HEARTBEAT_INTERVAL_S / 2)
    assert a.heard.ups() == [("up", "b")]


def test_a_suspicion_does_not_wait_for_the_next_heartbeat() -> None:
    wire, (_a, b) = met("a", "b")
    wire.run(0.5)
    wire.cut("a", "b")
    last = b.heard.heartbeats[-1][2]
    wire.run(last + SUSPICION_S - 0.01 - wire.now)
    assert b.heard.ups() == []
    wire.run(0.03)
    assert b.heard.ups() == [("down", "a")]


def test_heartbeats_of_all_nodes_come_to_go_together() -> None:
    """Whoever began when: one wake of a process is then enough for its own and the others'."""
    wire = Wire()
    names = ["a", "b", "c"]
    for number, name in enumerate(names, 1):
        wire.add(name, peer=number)
        wire.run(0.37 * HEARTBEAT_INTERVAL_S)
    wire.meet()
    wire.run(2.0)
    for name in names:
        wire.nodes[name].heard.heartbeats.clear()
    wire.run(10 * HEARTBEAT_INTERVAL_S)
    for name in names:
        times = [when for _, _, when in wire.nodes[name].heard.heartbeats]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert len(times) >= 18
        assert all(gap < 0.01 or gap > HEARTBEAT_INTERVAL_S - 0.02 for gap in gaps), gaps


def test_who_follows_two_that_do_not_hear_each_other_is_heard_all_the_same() -> None:
    wire, nodes = met("a", "b", "c")
    wire.cut("a", "b")
    wire.cut("b", "a")
    for _ in range(40):
        wire.run(0.13)
        assert "c" in up(nodes[0])
        assert "c" in up(nodes[1])
