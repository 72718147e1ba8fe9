"""Who is told that a shard is led here, and how often: being told twice ends what is under way."""

from __future__ import annotations

import pytest

from broker.core import forward_words as w
from broker.core.forwarding import META, Forwarding
from broker.core.replicated_shard import ReplicatedShard
from broker.model.names import ShardId
from tests.cluster.nodes import TestedCluster

COMER = 9


class Telling:
    """The forwarding of one node, whose words are kept, and a shard that it comes to lead."""

    def __init__(self) -> None:
        cluster = TestedCluster(static=True)
        cluster.settle()
        leader = cluster.leader_of(1)
        assert leader is not None
        back = leader.core.back
        shard = back.shards[1]
        assert isinstance(shard, ReplicatedShard)
        self.words: list[w.ForwardWord] = []
        self.shard = shard
        self.now = cluster.wire.now
        self.forwarding = Forwarding(back, {ShardId(1): shard}, self._receive, lambda shard: [], lambda consumer: False)
        self.forwarding.end_leading(shard)

    def _receive(self, peer: int, word: w.ForwardWord) -> None:
        assert peer == COMER
        self.words.append(word)

    def lead(self) -> None:
        self.forwarding.begin_leading(self.shard, self.shard.kernel.term, self.now)

    def greet(self) -> None:
        self.forwarding._receive_greeting(COMER, self.shard, w.Greeting(META, answer=True))

    def leadings(self) -> int:
        """Of this shard: what is not logged is led here all the time."""
        return sum(isinstance(word, w.Leading) and word.shard == self.shard.id for word in self.words)


@pytest.mark.parametrize(
    "order",
    [("up", "lead", "greet"), ("up", "greet", "lead"), ("lead", "up", "greet"), ("up", "greet", "lead", "greet")],
)
def test_each_node_is_told_once_who_leads(order: tuple[str, ...]) -> None:
    telling = Telling()
    do = {
        "up": lambda: telling.forwarding.receive_peer_up(COMER, 1),
        "lead": telling.lead,
        "greet": telling.greet,
    }
    for event in order:
        do[event]()
    assert telling.leadings() == 1


def test_who_comes_anew_is_told_anew() -> None:
    telling = Telling()
    for _ in range(2):
        telling.forwarding.receive_peer_up(COMER, 1)
        telling.greet()
        telling.forwarding.receive_peer_down(COMER)
    telling.lead()
    assert telling.leadings() == 0, "what it is told before it greets may be lost"
    telling.forwarding.receive_peer_up(COMER, 1)
    telling.greet()
    assert telling.leadings() == 1
