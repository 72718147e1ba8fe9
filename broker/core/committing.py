"""Transactions at the front: all of one goes into one entry of one logged shard, or it is refused and nothing changes.

The entry lies in the shard where all the messages go, if there is one such shard: they are in their queues with it.
Otherwise they wait in an outbox of its shard and are moved from there, once each.  What is settled in other shards is
carried out after it (``transactions.py``).  See docs/decisions/0010-transactions.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from broker.core.channel import Channel
from broker.core.forward_words import AwaitMoves
from broker.core.front import Front, hold_until_routing
from broker.core.outbox import transaction_outbox_base
from broker.core.outcomes import Refused
from broker.core.publishing import Destination, Spread
from broker.core.queue import Queue
from broker.core.replicated_shard import ReplicatedShard
from broker.core.resources import exchange_resource, queue_resource
from broker.core.shard import Shard
from broker.core.transaction_states import Settlement
from broker.core.transactions import dies
from broker.core.waiter import Waiter
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ExchangeName, VhostName
from broker.model.refusals import Refusal
from kernel import MessageRun, Route, Unsettled

TRANSACTION_SIZE_MAX = 16 << 20
"""Bytes of a transaction's messages, beyond which it must have no other message than one."""
TRANSACTION_ACTION_COUNT_MAX = 65_535
"""Its messages and the ranges that it settles, together: as many keys as a record batch can count."""


class Ended(NamedTuple):
    """A range of a channel's deliveries that the transaction ends."""

    channel: Channel
    consumer: int
    queue_id: int
    first: int
    last: int
    outcome: c.Outcome


class CommittingFront(Front, Protocol):
    """A session, as a commit uses it."""

    channels: dict[int, Channel]
    publishing: bool

    def admit_keys(self, messages: MessageRun) -> Refused | None:
        """Why some of these may not be published; None: all may."""

    def give_credit(self, channel: Channel, consumer: int, count: int) -> None:
        """So many of a consumer's deliveries are settled."""


def commit_transaction(front: CommittingFront, channel: Channel, command: c.CommitTransaction) -> None:
    if not front.back.routing:
        hold_until_routing(front, channel, command)
        return
    transaction = Transaction(front, channel)
    refused = _exceeds(command) or transaction.take(command)
    if refused is None:
        transaction.commit()
    else:
        front.refuse(channel, refused)


def _exceeds(command: c.CommitTransaction) -> Refused | None:
    message_count = sum(run.count for run in command.publishes)
    size = sum(run.payload_size for run in command.publishes)
    if message_count + len(command.settlements) > TRANSACTION_ACTION_COUNT_MAX:
        limit = f"{TRANSACTION_ACTION_COUNT_MAX} actions"
    elif size > TRANSACTION_SIZE_MAX and message_count > 1:
        limit = f"{TRANSACTION_SIZE_MAX} bytes"
    else:
        return None
    return Refused(Refusal.RESOURCE_ERROR, f"a transaction of more than {limit}")


class Transaction:
    """One transaction: first looked at, then done."""

    def __init__(self, front: CommittingFront, channel: Channel) -> None:
        self._front = front
        self._channel = channel
        self._back = front.back
        self._messages: MessageRun | None = None
        """What is routed to somewhere."""
        self._returned: MessageRun | None = None
        self._destinations: list[Destination] = []
        self._ended: list[Ended] = []
        self._unsettled: dict[Channel, Unsettled] = {}
        """What is left to be settled on the channels after it."""

    # ---- looking: nothing is changed

    def take(self, command: c.CommitTransaction) -> Refused | None:
        """Why it can't be done; None: it can."""
        refused = self._take_messages(command.publishes) if command.publishes else None
        return refused or self._take_settlements(command.settlements) or self._full_queue()

    def _take_messages(self, publishes: Sequence[MessageRun]) -> Refused | None:
        front, vhost = self._front, self._vhost
        messages = publishes[0] if len(publishes) == 1 else MessageRun.gathered(publishes)
        refused = front.admit_keys(messages)
        if refused is not None:
            return refused
        routes = self._back.routes(vhost)
        routed, nowhere = [], []
        for position, key in enumerate(messages.keys()):
            destination = routes.find(key)
            if destination is None:
                name = ExchangeName(key[0].decode())
                return Refused(Refusal.NOT_FOUND, f"no {exchange_resource(vhost, name)}")
            if destination.routes:
                routed.append(position)
                self._destinations.append(destination)
            else:
                nowhere.append(position)
        if nowhere and messages.mandatory:
            self._returned = messages.select(nowhere).mandatory_only()
        if routed:
            self._messages = messages.select(routed) if nowhere else messages
        return None

    def _take_settlements(self, settlements: Iterable[c.Settle]) -> Refused | None:
        for settlement in settlements:
            channel = self._front.channels.get(settlement.channel)
            ranges = None
            if channel is not None:
                unsettled = self._unsettled.get(channel)
                if unsettled is None:
                    unsettled = self._unsettled[channel] = channel.unsettled.copy()
                ranges = unsettled.settle(settlement.first, settlement.last)
            if channel is None or ranges is None:
                detail = f"unknown delivery tag {settlement.last or settlement.first}"
                return Refused(Refusal.PRECONDITION_FAILED, detail)
            self._ended += [Ended(channel, *each, settlement.outcome) for each in ranges]
        return None

    def _full_queue(self) -> Refused | None:
        """A queue that has no room for all that comes to it and rejects what it has no room for."""
        messages = self._messages
        positions: dict[int, list[int]] = {}
        for position, destination in enumerate(self._destinations):
            for targets in destination.targets.values():
                for queue_id, _, room, _, _ in targets:
                    if room is not None:
                        positions.setdefault(queue_id, []).append(position)
        for queue_id, of_queue in positions.items():
            assert messages is not None
            queue = self._back.queues[queue_id][1]
            if messages.select(of_queue).count > queue.room():
                return Refused(Refusal.PRECONDITION_FAILED, f"{queue_resource(self._vhost, queue.name)} is full")
        return None

    @property
    def _vhost(self) -> VhostName:
        vhost = self._front.vhost
        assert vhost is not None, "an adapter opens the vhost first"
        return vhost

    # ---- doing

    def commit(self) -> None:
        """It is taken in; Done is said once it is committed."""
        front, channel = self._front, self._channel
        for settled_channel, unsettled in self._unsettled.items():
            settled_channel.unsettled = unsettled
        if self._returned is not None and self._returned.count:
            front.say(r.Return(channel.number, Refusal.NO_ROUTE, "", self._returned))
        spread: Spread = []
        turns: list[int] = []
        if self._messages is not None:
            spread, turns = self._take_in(self._messages)
        lasting = [(*found, ended) for ended in self._ended if (found := self._lasting(ended)) is not None]
        home = self._home([shard for shard, _ in spread], [shard for shard, _, _ in lasting])
        if home is None:
            for shard, routes in spread:
                assert self._messages is not None
                shard.publish(self._messages, routes, turns)
            self._end_deliveries()
            front.say(r.Done(channel.number))
            return
        outbox_id = None
        if any(shard is not home for shard, _ in spread):
            assert self._messages is not None
            base = transaction_outbox_base(self._messages.origin)
            outbox_id = base + self._back.topology.vhost_id(self._vhost)
            if home.leading:
                self._back.open_outbox(home, self._vhost, base)
            spread, turns = [(home, [Route([(outbox_id, None, None)])] * len(self._messages.keys()))], []
        near, command = self._settlements(home, lasting)
        number = home.commit(self._messages, spread[0][1] if spread else (), turns, near, command)
        through = home.kernel.next_sequence(outbox_id) if outbox_id is not None and home.leading else 0
        channel.waiting = True
        home.when_applied(number, Waiter(lambda: self._receive_committed(home, outbox_id, through)))

    def _home(self, destinations: Sequence[Shard], settled: Sequence[Shard]) -> Shard | None:
        """Whose entry it is; None: nothing of it is logged.

        What is moved from there arrives before what the channel says later without waiting, if it is led here.
        """
        if len(destinations) == 1 and destinations[0].logged:
            return destinations[0]
        logged = [*settled, *(shard for shard in destinations if shard.logged)]
        if not logged:
            return None
        if not destinations:
            return logged[0]
        return next((shard for shard in (*logged, *self._back.logged) if shard.leading), logged[0])

    def _take_in(self, messages: MessageRun) -> tuple[Spread, list[int]]:
        self._front.publishing = True
        traffic = self._front.traffic
        traffic.received += messages.count
        traffic.received_size += messages.size
        return self._back.routes(self._vhost).spread(messages, bounded=False)

    def _lasting(self, ended: Ended) -> tuple[Shard, Queue] | None:
        """Where a range is settled that must stay so after a crash; None: nothing need be logged for it."""
        found = self._back.queues.get(ended.queue_id)
        return found if found is not None and found[0].logged and ended.outcome is not c.Outcome.REQUEUED else None

    def _settlements(
        self, home: Shard, lasting: Iterable[tuple[Shard, Queue, Ended]]
    ) -> tuple[list[Settlement], bytes | None]:
        """What the entry settles itself, and its word of what is settled after it."""
        near: list[Settlement] = []
        far: list[Settlement] = []
        for shard, queue, ended in lasting:
            after = shard is not home or dies(queue, ended.outcome)
            settlement = Settlement(ended.queue_id, ended.first, ended.last, ended.outcome)
            (far if after else near).append(settlement)
        return near, self._back.transactions.commit_command(home, far) if far else None

    def _receive_committed(self, home: Shard, outbox_id: int | None, through: int) -> None:
        """It will all come true.  What the channel says later follows its messages to their queues."""
        front, channel = self._front, self._channel
        self._end_deliveries()
        if not channel.closed:
            front.say(r.Done(channel.number))
        outbox = None if outbox_id is None or not home.leading else self._back.find_outbox(home, outbox_id)
        if outbox_id is None:
            front.go_on(channel, nothing)
        elif outbox is not None and through:
            outbox.when_sent(through, lambda: self._receive_sent(home, outbox_id))
        else:
            self._wait_for_moves(home, outbox_id)

    def _receive_sent(self, home: Shard, outbox_id: int) -> None:
        """All is on its way, unless somebody else leads the shard meanwhile and sends it."""
        if home.leading:
            self._front.go_on(self._channel, nothing)
        else:
            self._wait_for_moves(home, outbox_id)

    def _wait_for_moves(self, home: Shard, outbox_id: int) -> None:
        """The entry's shard is led elsewhere: its leader says when all has arrived."""
        front, channel, forwarding = self._front, self._channel, self._back.forwarding
        assert forwarding is not None
        assert front.principal is not None
        assert isinstance(home, ReplicatedShard)
        user = front.principal.user
        command = AwaitMoves(home.id, outbox_id)
        forwarding.front.ask(
            home, front.id, user, self._vhost, command, lambda reply, got: front.go_on(channel, nothing)
        )

    def _end_deliveries(self) -> None:
        """Credit comes back, and so does what is requeued; what no log has is settled."""
        for ended in self._ended:
            self._front.give_credit(ended.channel, ended.consumer, ended.last - ended.first + 1)
            if self._lasting(ended) is None:
                self._back.settle(ended.queue_id, ended.first, ended.last, ended.outcome)


def nothing() -> None:
    """The channel goes on, and no more."""
