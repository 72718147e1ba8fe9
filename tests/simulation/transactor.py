"""Who moves coins between queues in transactions, by a session of the core: no protocol stands between.

It draws from a random of its own, so that all others of the seed keep their draws.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from broker.core.session import Session
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import Channel, ConsumerTag, DeliveryTag, QueueName, SessionId, UserName, VhostName
from broker.model.topology import QueueSpec
from kernel import FLAG_PERSISTENT, MessageRun
from tests.simulation.bank import Bank, Transfer
from tests.simulation.ledger import Broken
from tests.simulation.node import Node
from tests.simulation.trace import Trace

QUEUES = ("coins0", "coins1", "coins2", "coins3")
WORK, PURSE = Channel(1), Channel(2)
"""It commits on the one and consumes on both."""
COIN_COUNT_MAX = 40
SESSION_ID_BASE = 1 << 40
PROPERTIES = b"\x10\x00\x02"  # delivery-mode 2


class Transactor:
    """One of them.  Each ``act`` is one step, with whatever node serves."""

    def __init__(
        self, number: int, bank: Bank, trace: Trace, seed: int, credits: Sequence[int | None] = (None, 1, 3)
    ) -> None:
        """``credits``: one of them bounds what a consumer of a channel holds."""
        self.name = f"transactor{number}"
        self._credits = credits
        self._bank = bank
        self._trace = trace
        self._random = random.Random(f"{seed} {number}")
        self._number = number
        self._session: Session | None = None
        self._hands: dict[Channel, dict[int, tuple[int, int]]] = {}
        """Coins by channel and delivery tag."""
        self._under_way: list[Transfer] = []
        self._sessions = 0
        self._started_count = 0

    def act(self, node: Node, resting: bool) -> None:
        """``resting``: it only holds what it is delivered."""
        if node.broker is None or node.engine is None:
            return
        if self._session is None:
            self._begin(node)
        session = self._session
        assert session is not None
        for reply in session.take_replies():
            self._receive(reply)
        session.receive_drained()
        chance = self._random.random()
        if not resting and not session.full:
            if chance < 0.01:
                self.leave()
            elif chance < 0.3:
                self._transact(session)
            elif chance < 0.33:
                self._give_back(session)
        node.engine.ring()

    def leave(self) -> None:
        """What it sent goes on without it."""
        if self._session is not None:
            self._trace.note(f"{self.name} leaves")
            self._session.close()
            self.lose()

    def lose(self) -> None:
        """The session is gone, with or without its node."""
        if self._session is not None:
            self._bank.lose(self._session)
        self._session = None
        self._hands = {}
        self._started_count = 0
        self._under_way.clear()

    @property
    def consuming(self) -> bool:
        """It is delivered what the queues hold."""
        return self._started_count == 2 * len(QUEUES)

    def _begin(self, node: Node) -> None:
        assert node.broker is not None
        self._sessions += 1
        id = SessionId(SESSION_ID_BASE + self._number * 1000 + self._sessions)
        session = self._session = Session(node.broker.back, id, {})
        self._hands = {WORK: {}, PURSE: {}}
        session.submit([c.Authenticate(UserName("guest"), b"guest", True), c.OpenVhost(VhostName("/"))])
        session.submit([c.OpenChannel(WORK), c.OpenChannel(PURSE)])
        specs = [QueueSpec(QueueName(name), durable=True) for name in QUEUES]
        for channel in (WORK, PURSE):
            session.submit([c.DeclareQueue(channel, spec) for spec in specs])
            credit = self._random.choice(self._credits)
            session.submit([c.Consume(channel, ConsumerTag(spec.name), spec.name, credit=credit) for spec in specs])

    def _receive(self, reply: r.Reply) -> None:
        match reply:
            case r.Deliver():
                hand = self._hands[reply.channel]
                for index in range(reply.deliveries.count):
                    coin = self._bank.deliver(self._session, reply.deliveries.body(index))
                    hand[reply.first_tag + index] = coin
            case r.Done():
                transfer = self._under_way.pop(0)
                self._trace.note(f"{self.name} has done {transfer.id}")
                self._bank.finish(transfer)
            case r.ConsumerStarted():
                self._started_count += 1
            case r.Refuse():
                raise Broken("T3", f"{self.name} was refused: {reply.detail}")
            case _:
                pass

    def _transact(self, session: Session) -> None:
        """A few coins go to a queue each; sometimes all so far of a channel go."""
        draw = self._random
        taken: list[tuple[int, int]] = []
        settlements: list[c.Settle] = []
        for channel, hand in self._hands.items():
            if hand and draw.random() < 0.2:
                last = draw.choice(list(hand))
                tags = [tag for tag in hand if tag <= last]
                settlements.append(c.Settle(channel, DeliveryTag(0), DeliveryTag(last), c.Outcome.ACCEPTED))
            else:
                tags = draw.sample(list(hand), min(len(hand), draw.randint(0, 2)))
                settlements += [_settle(channel, tag, c.Outcome.ACCEPTED) for tag in tags]
            taken += [hand.pop(tag) for tag in tags]
        bank = self._bank
        new_count = draw.randint(1, 3) if len(bank.expected) < COIN_COUNT_MAX and draw.random() < 0.3 else 0
        if not taken and not new_count:
            return
        transfer = bank.begin(taken, new_count)
        one_queue = draw.choice(QUEUES) if draw.random() < 0.4 else None
        runs = []
        for coin in transfer.before:
            key = (one_queue or draw.choice(QUEUES)).encode()
            row = (b"", key, PROPERTIES, f"{coin}:{transfer.id}".encode(), FLAG_PERSISTENT, None)
            runs.append(MessageRun.of(WORK, [row]))
        self._under_way.append(transfer)
        self._trace.note(f"{self.name} sends {transfer.id}: {sorted(transfer.before)}")
        session.submit([c.CommitTransaction(WORK, runs, settlements)])

    def _give_back(self, session: Session) -> None:
        for channel, hand in self._hands.items():
            if hand:
                tag = self._random.choice(list(hand))
                coin = hand.pop(tag)
                del self._bank.held[coin]
                session.submit([_settle(channel, tag, c.Outcome.REQUEUED)])


def _settle(channel: Channel, tag: int, outcome: c.Outcome) -> c.Settle:
    return c.Settle(channel, DeliveryTag(tag), DeliveryTag(tag), outcome)
