"""Three Raft groups whose messages, ticks and disks come in an order that hypothesis chooses."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import RaftGroup, RaftRefused

CONVERGED_TICKS_MAX = 30
"""Three election timeouts (I25): what was lost is asked for again by heartbeats, a step a tick."""
PEERS = (1, 2, 3)


class Cluster:
    """Groups, the messages between them, and the records on their way to their disks."""

    def __init__(self) -> None:
        self.groups = {peer: RaftGroup(peer, 0, PEERS, 7) for peer in PEERS}
        self.messages: list[tuple[int, bytes]] = []
        self.writing: dict[int, list[int]] = {peer: [] for peer in PEERS}
        self.applied: dict[int, list[tuple[int, int, bytes]]] = {peer: [] for peer in PEERS}

    def serve(self, peer: int) -> None:
        group = self.groups[peer]
        while ready := group.ready():
            self.messages += ready.messages
            if ready.must_sync:
                self.writing[peer].append(ready.number)
            self.applied[peer] += [(index, term, data) for index, term, _, data in ready.committed]
            if ready.committed:
                group.on_applied(ready.committed[-1][0])

    def write(self, peer: int) -> None:
        """The oldest record of the peer's is on its disk."""
        if self.writing[peer]:
            self.messages += self.groups[peer].on_persisted(self.writing[peer].pop(0))
            self.serve(peer)

    def deliver(self, place: int, *, keep: bool) -> None:
        if self.messages:
            place %= len(self.messages)
            to, data = self.messages[place] if keep else self.messages.pop(place)
            self.groups[to].step(data)
            self.serve(to)

    def act(self, action: str, peer: int, number: int) -> None:
        group = self.groups[peer]
        match action:
            case "tick":
                for _ in range(number % 12):
                    group.tick()
            case "propose" if group.is_leading:
                group.propose(b"%d" % number)
            case "write":
                self.write(peer)
            case "deliver" | "repeat":
                self.deliver(number, keep=action == "repeat")
            case "lose" if self.messages:
                self.messages.pop(number % len(self.messages))
        self.serve(peer)

    def calm_down(self) -> None:
        """Everything is written and delivered, and time goes on, until there is a leader."""
        for _ in range(200):
            while self.messages or any(self.writing.values()):
                for peer in PEERS:
                    self.write(peer)
                self.deliver(0, keep=False)
            leading = [group for group in self.groups.values() if group.is_leading]
            if leading and len({group.leader for group in self.groups.values()}) == 1:
                return
            for peer in PEERS:
                self.act("tick", peer, 1)
        pytest.fail("nobody leads")


ACTIONS = st.tuples(
    st.sampled_from(["tick", "propose", "write", "deliver", "deliver", "deliver", "repeat", "lose"]),
    st.sampled_from(PEERS),
    st.integers(0, 1000),
)


@given(st.lists(ACTIONS, max_size=120))
def test_what_is_applied_is_the_same_everywhere_and_terms_have_one_leader(actions: list[tuple[str, int, int]]) -> None:
    cluster = Cluster()
    leaders: dict[int, int] = {}
    for action, peer, number in [("tick", 1, 11), ("tick", 1, 11), *actions]:
        cluster.act(action, peer, number)
        for leader, group in cluster.groups.items():
            if group.is_leading:
                assert leaders.setdefault(group.term, leader) == leader
        for one, other in itertools.pairwise(cluster.applied.values()):
            assert all(mine == theirs for mine, theirs in zip(one, other, strict=False))
    cluster.calm_down()
    next(group for group in cluster.groups.values() if group.is_leading).propose(b"last")
    for peer in PEERS:
        cluster.serve(peer)
    cluster.calm_down()
    for _ in range(CONVERGED_TICKS_MAX):
        for peer in PEERS:
            cluster.act("tick", peer, 1)
        cluster.calm_down()
    assert cluster.applied[1] == cluster.applied[2] == cluster.applied[3]
    assert cluster.applied[1][-1][2] == b"last"


def test_a_refusal_says_why() -> None:
    group = RaftGroup(1, 0, PEERS, 7)
    with pytest.raises(RaftRefused, match="not the leader"):
        group.propose(b"x")
    with pytest.raises(RaftRefused, match="not a Raft message"):
        group.step(b"\xff")
    with pytest.raises(RaftRefused, match="no such record"):
        group.on_persisted(1)
