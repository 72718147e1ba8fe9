"""The front's end of one connection: owes its answers, in order, per channel.

Commands of one channel take effect in order.  One that must wait for the log holds back the later
commands of its channel only; confirms and deliveries run free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from broker.core import attaching, authenticating, committing, consuming, declaring, exactly_once, subscribing
from broker.core.agent import DOING
from broker.core.asked_confirms import admitted_parts, publish_parts, refused_level
from broker.core.back import Back
from broker.core.channel import HELD_COUNT_MAX, Channel, Publication, weight_of
from broker.core.client_session import ClientSession
from broker.core.consumer import UNBOUNDED, Consumer
from broker.core.front import Finish, end_consumer, hold_until_routing, refuse_when_routing
from broker.core.outcomes import Refused
from broker.core.permissions import Principal
from broker.core.publishing import Awaited, Destination, RouteTable, confirm_levels, promise
from broker.core.relaying import RELAYED, Relay
from broker.core.replicated_shard import ReplicatedShard
from broker.core.resources import exchange_resource
from broker.core.scram import ScramExchange
from broker.core.shard import Shard
from broker.core.sys_topics import PREFIX as SYS_PREFIX
from broker.core.waiter import Waiter
from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import Channel as ChannelNumber
from broker.model.names import ClientSessionId, DeliveryTag, ExchangeName, SessionId, VhostName
from broker.model.queue_settings import ConfirmLevel
from broker.model.refusals import Refusal
from kernel import FLAG_PERSISTENT, FLAG_RETAIN, DeliveryRun, MessageRun, Route
from routing.route_cache import Key

LEADER, QUORUM = ConfirmLevel.LEADER, ConfirmLevel.QUORUM
ROOM = 1 << 20
"""Bytes of deliveries that may wait for a connection's output to drain."""
UNCONFIRMED_COUNT_MAX = 4096
"""Runs that wait for a commit, after which the socket is not read."""
NO_CHANNEL = ChannelNumber(0)
LASTING = (c.DeclareExchange, c.DeclareQueue, c.Bind, c.Publish, c.CommitTransaction)
"""They are done for a client that has gone since; but a transaction that settles finds its deliveries given back."""
GOODBYES = (c.CloseChannel, c.CloseSession)
"""They are done behind a refused command too."""
SYS_KEY = SYS_PREFIX.encode()
NOT_ASKED: tuple[int, set[bytes]] = (-1, set())
"""Where a session may publish, before it has: the rights of no generation."""


class Session:
    """One connection, as the core knows it."""

    __slots__ = (
        "_busy",
        "_owing",
        "_relay",
        "_replies",
        "_routes",
        "_silent",
        "_starved",
        "_writable",
        "back",
        "blocked",
        "channels",
        "client",
        "closed",
        "held_count",
        "id",
        "principal",
        "publishing",
        "room",
        "says_again",
        "scram",
        "traffic",
        "unconfirmed",
        "vhost",
    )

    def __init__(self, back: Back, id: SessionId, busy: dict[Session, None]) -> None:
        self.back = back
        self.id = id
        self.room = ROOM
        self.principal: Principal | None = None
        self.vhost: VhostName | None = None
        self.scram: ScramExchange | None = None
        self.client: ClientSession | None = None
        self.channels: dict[int, Channel] = {NO_CHANNEL: Channel(NO_CHANNEL)}
        self.publishing = False
        self.unconfirmed = 0
        """Publishes that wait for a commit, in runs."""
        self.traffic = back.traffic
        self.closed = self.says_again = False
        self.blocked = False
        self._busy = busy
        self._replies: list[r.Reply] = []
        self._owing: dict[Channel, None] = {}
        self._starved: dict[int, None] = {}
        self._routes: RouteTable | None = None
        self._writable = NOT_ASKED
        self.held_count = 0
        self._silent = False
        self._relay: Relay | None = None
        """Its client's session is led by another node."""

    # ---- the connection's side

    def receive_protocol(self, name: str) -> None:
        """What is spoken, once the client has logged in: its messages are counted under that."""
        self.traffic = self.back.traffic_of(name)

    def submit(self, commands: Sequence[c.Command]) -> None:
        """Takes commands, in order."""
        channels = self.channels
        for command in commands:
            channel = channels.get(getattr(command, "channel", NO_CHANNEL))
            if channel is None:
                assert type(command) is c.OpenChannel, command
                channels[command.channel] = Channel(command.channel)
            elif self._relay is not None and isinstance(command, RELAYED):
                self._relay.say(command)
            elif channel.waiting:
                channel.hold((command,))
                self.held_count += weight_of(command)
            else:
                HANDLERS[type(command)](self, channel, command)

    def take_replies(self) -> list[r.Reply]:
        """All there is to say; confirms and rejects as ranges."""
        replies, self._replies = self._replies, []
        for channel in self._owing:
            if channel.closed:
                continue
            if channel.confirmed:
                replies.append(r.Confirm(channel.number, channel.confirmed))
                channel.confirmed = []
            if channel.rejected:
                replies.append(r.Reject(channel.number, channel.rejected))
                channel.rejected = []
        self._owing.clear()
        return replies

    def receive_drained(self) -> None:
        """What was delivered has left: there is room again."""
        self.room = ROOM
        if self._relay is not None:
            self._relay.receive_drained()
        if self._starved:
            self.back.mark_dirty(self._starved)
            self._starved.clear()

    @property
    def full(self) -> bool:
        """Its socket is not to be read for now."""
        if self.held_count > HELD_COUNT_MAX or (self.publishing and self.blocked):
            return True
        if self._relay is not None and self._relay.held_count > HELD_COUNT_MAX:
            return True
        return self.unconfirmed > UNCONFIRMED_COUNT_MAX

    @property
    def given_up(self) -> bool:
        return self.closed and self.says_again

    def close(self) -> None:
        """The connection is gone: what is unsettled comes back, what is exclusive goes."""
        if self.closed:
            return
        self.closed = True
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        if self.client is not None:
            self.back.clients.detach(self.client, send_will=True)
            self.client = None
        for channel in list(self.channels.values()):
            self.end_channel(channel)
        declaring.delete_exclusive(self)
        self._busy.pop(self, None)

    # ---- what the back's side calls

    def say(self, reply: r.Reply) -> None:
        if not self.closed and not self._silent:
            self._replies.append(reply)
            self._busy[self] = None

    def refuse(self, channel: Channel, refused: Refused, tag: int | None = None) -> None:
        """``tag``: of the publish that is refused, if it is one.  What is held behind it comes to nothing: who asked
        for it takes the whole channel for refused."""
        if channel.held:
            self.held_count -= sum(map(weight_of, channel.drop_held(GOODBYES)))
        self.say(r.Refuse(channel.number, refused.refusal, refused.detail, tag))

    def owe(self, channel: Channel) -> None:
        if not self.closed:
            self._owing[channel] = None
            self._busy[self] = None

    def deliver(
        self, consumer: Consumer, deliveries: DeliveryRun, sequences: list[tuple[int, int]], count: int, size: int
    ) -> None:
        channel = self.channels[consumer.channel]
        tag = channel.unsettled.push(consumer.number, consumer.queue_id, sequences, not consumer.no_ack)
        if not consumer.no_ack and channel.credit != UNBOUNDED:
            channel.credit -= count
        self.room -= size
        self.traffic.sent += count
        self.traffic.sent_size += deliveries.size
        self._replies.append(r.Deliver(channel.number, consumer.tag, DeliveryTag(tag), deliveries))
        self._busy[self] = None

    def starve(self, consumer: Consumer) -> None:
        self._starved[consumer.queue_id] = None

    def channel_credit(self, consumer: Consumer) -> int:
        if consumer.no_ack:
            return UNBOUNDED
        channel = self.channels.get(consumer.channel)
        return 0 if channel is None else channel.credit  # it may be gone before its consumer's queue has a leader

    # ---- waiting

    def wait(self, channel: Channel, shard: Shard, number: int, finish: Finish) -> None:
        """Holds the channel's later commands until the shard has applied ``number``; then finishes."""
        channel.waiting = True
        shard.when_applied(number, Waiter(lambda: self.go_on(channel, finish)))

    def go_on(self, channel: Channel, finish: Finish) -> None:
        """What the channel waited for has happened."""
        channel.waiting = False
        if channel.closed and not channel.held:
            return
        self._silent = channel.closed  # what is still held then counts, and is not answered
        finish()
        while channel.held and not channel.waiting:
            command = channel.take_held()
            self.held_count -= weight_of(command)
            if self._relay is not None and isinstance(command, RELAYED):
                self._relay.say(command)
            else:
                HANDLERS[type(command)](self, channel, command)
        self._silent = False

    # ---- publishing

    def publish(self, channel: Channel, command: c.Publish) -> None:
        self.publishing = True
        if not self.back.routing:
            return hold_until_routing(self, channel, command)
        asked = command.messages.confirms()
        if asked is None:
            self.publish_at(channel, command, None)
        else:
            publish_parts(self, channel, command, asked)

    def publish_at(self, channel: Channel, command: c.Publish, asked: ConfirmLevel | None) -> bool:
        """``asked``: when its publisher wants to be told; None: as its queues say.  Whether what comes after counts."""
        messages = command.messages
        routes = self._routes
        assert routes is not None
        traffic = self.traffic
        traffic.received += messages.count
        traffic.received_size += messages.size
        keys = messages.keys()
        usual = len(keys) == 1 and asked is None
        if usual and self._publish_again(channel, command, routes.known(keys[0]), keys[0][0]):
            return True
        destinations: list[Destination] = []
        for position, key in enumerate(keys):
            refused = self._refused_publish(key)
            destination = None if refused is not None else routes.find(key, self._publisher)
            if destination is None:
                return self._refuse_publish(channel, command, position, refused)
            destinations.append(destination)
        if messages.mandatory:
            self._return_unroutable(channel, messages, destinations)
        numbers, rejected = self._send(messages, destinations, asked)
        if command.first_tag:
            promise(self, channel, command.first_tag, messages.count, numbers, rejected)
        return True

    def _publish_again(
        self, channel: Channel, command: c.Publish, destination: Destination | None, exchange: bytes
    ) -> bool:
        """The usual case, in few steps: one key, allowed and known from before, to one logged shard, to be confirmed.
        With 200 publishers of a message each, this is most of what Python does for a message."""
        if destination is None or destination.only is None or not command.first_tag:
            return False
        generation, writable = self._writable
        messages = command.messages
        if exchange not in writable or generation != self.back.topology.rights_generation:
            return False
        if messages.flags & (FLAG_PERSISTENT | FLAG_RETAIN) != FLAG_PERSISTENT or self._publisher is not None:
            return False
        shard, routes = destination.only
        number, _ = shard.publish(messages, routes)
        self.unconfirmed += 1
        first_tag = command.first_tag
        tags = [(first_tag, first_tag + messages.count - 1)]
        shard.when_applied(number, Publication(self, channel, tags, 1))
        return True

    def _send(
        self, messages: MessageRun, destinations: list[Destination], asked: ConfirmLevel | None
    ) -> tuple[list[Awaited], list[int]]:
        """Hands the run to its shards; what of them is to be waited for, and the records that some queue rejected."""
        turns: Sequence[int] = ()
        if len(destinations) == 1 and not messages.flags & FLAG_RETAIN:
            destination = destinations[0]
            spread: Sequence[tuple[Shard, Sequence[Route]]] = [(shard, (route,)) for shard, route in destination.routes]
            if destination.shares:
                turns = (destination.take_turns(messages.count),)
        else:
            assert self._routes is not None
            spread, turns = self._routes.spread(messages, publisher=self._publisher)
        numbers: list[Awaited] = []
        rejected: set[int] = set()
        levels = confirm_levels(destinations) if asked is None else {}
        otherwise = QUORUM if asked is None else asked
        for shard, shard_routes in spread:
            level = levels.get(shard, otherwise) if levels else otherwise
            number, refused = shard.publish(messages, shard_routes, turns, level is LEADER)
            safe = shard.logged and level and messages.persistent
            if safe or (shard.rejects_later and any(route.bounded for route in shard_routes)):
                numbers.append((shard.when_synced if level is LEADER else shard.when_applied, number))
            if refused is not None:
                rejected.update(refused)
        return numbers, sorted(rejected)

    @property
    def _publisher(self) -> ClientSessionId | None:
        """The client's session, if it has subscriptions that want nothing of its own."""
        if self._relay is not None:
            return self._relay.no_local
        client = self.client
        return client.id if client is not None and client.no_local else None

    def admit_keys(self, messages: MessageRun) -> Refused | None:
        """Why some of these may not be published; None: all may."""
        keys = messages.keys()
        refusals = (self._refused_publish(key) for key in keys)
        return next((refused for refused in refusals if refused is not None), refused_level(messages))

    def admitted_parts(self, messages: MessageRun) -> Iterator[tuple[int, MessageRun, Refused | None]]:
        """What may be published and what may not, in turns: where in the run it begins, and why not."""
        return admitted_parts(messages, self._refused_publish)

    def _refused_publish(self, key: Key) -> Refused | None:
        """Why it may not publish there; what it may is remembered as long as rights stand."""
        exchange = key[0]
        if len(key) > 2 and key[1].startswith(SYS_KEY):
            return Refused(Refusal.ACCESS_REFUSED, "these topics are the broker's")
        generation, writable = self._writable
        topology = self.back.topology
        if generation != topology.rights_generation:
            writable = set()
            self._writable = (topology.rights_generation, writable)
        if exchange in writable:
            return None
        assert self.principal is not None
        assert self.vhost is not None
        refused = topology.admit_publish(self.principal, self.vhost, ExchangeName(exchange.decode()))
        if refused is None:
            writable.add(exchange)
        return refused

    def refuse_part(self, channel: Channel, command: c.Publish, refused: Refused) -> bool:
        """None of these may be published.  A client's protocol goes on after a no."""
        first_tag = command.first_tag
        if self.client is None:
            self.refuse(channel, refused, first_tag)
        elif first_tag:
            self.say(r.Reject(command.channel, [(first_tag, first_tag + command.messages.count - 1)], refused.refusal))
        return self.client is not None

    def _refuse_publish(self, channel: Channel, command: c.Publish, position: int, refused: Refused | None) -> bool:
        """What came before the message at fault counts; the rest of the run does not.

        A client's protocol goes on after a no: what it may publish is published, and the rest rejected.
        """
        if self.client is not None:
            assert refused is not None, "an exchange of ours is there"
            for start, part, refused_part in self.admitted_parts(command.messages):
                of_part = c.Publish(command.channel, part, command.first_tag and command.first_tag + start)
                if refused_part is None:
                    self.publish(channel, of_part)
                else:
                    self.refuse_part(channel, of_part, refused_part)
            return True
        before = command.messages.before_key(position)
        if before.count:
            self.publish(channel, c.Publish(command.channel, before, command.first_tag))
        if refused is None:
            assert self.vhost is not None
            name = ExchangeName(command.messages.keys()[position][0].decode())
            refused = Refused(Refusal.NOT_FOUND, f"no {exchange_resource(self.vhost, name)}")
        self.refuse(channel, refused, command.first_tag and command.first_tag + before.count)
        return False

    def _return_unroutable(self, channel: Channel, messages: MessageRun, destinations: list[Destination]) -> None:
        nowhere = [position for position, d in enumerate(destinations) if not d.routes]
        if nowhere:
            unroutable = messages.select(nowhere).mandatory_only()
            if unroutable.count:
                self.say(r.Return(channel.number, Refusal.NO_ROUTE, "", unroutable))

    # ---- settling

    def settle(self, channel: Channel, command: c.Settle) -> None:
        settled = channel.unsettled.settle(command.first, command.last)
        if settled is None:
            detail = f"unknown delivery tag {command.last or command.first}"
            self.refuse(channel, Refused(Refusal.PRECONDITION_FAILED, detail))
            return
        self.end_deliveries(channel, settled, command.outcome)

    def end_deliveries(
        self, channel: Channel, settled: Sequence[tuple[int, int, int, int]], outcome: c.Outcome
    ) -> None:
        """Settles ranges of sequences and gives their credit back."""
        settle = self.back.settle
        for number, queue_id, first, last in settled:
            self.give_credit(channel, number, last - first + 1)
            shard = settle(queue_id, first, last, outcome)
            if shard is not None and shard.logged:
                channel.settled_shards[shard] = None

    def give_credit(self, channel: Channel, number: int, count: int) -> None:
        """So many deliveries of the channel's consumer of this number are settled."""
        consumer = channel.by_number.get(number)
        if consumer is None or channel.closed:
            return
        consumer.credit += count
        waiting = [consumer]
        if channel.credit != UNBOUNDED:
            channel.credit += count
            waiting = list(channel.consumers.values())
        self.back.mark_dirty(other.queue_id for other in waiting)

    def recover(self, channel: Channel, command: c.Recover) -> None:
        self.end_deliveries(channel, channel.unsettled.take_all(), c.Outcome.REQUEUED)
        self.say(r.Done(channel.number))

    # ---- opening and closing

    def open_vhost(self, channel: Channel, command: c.OpenVhost) -> None:
        assert self.principal is not None
        refused = self.back.topology.open_vhost(self.principal, command.vhost)
        if refused is not None:
            return refuse_when_routing(self, channel, refused, lambda: self.open_vhost(channel, command))
        self.vhost = command.vhost
        self._routes = self.back.routes(command.vhost)
        self.say(r.VhostOpened())

    def open_channel(self, channel: Channel, command: c.OpenChannel) -> None:
        """Channel 0 is there; any other is made when its OpenChannel is taken."""

    def close_channel(self, channel: Channel, command: c.CloseChannel) -> None:
        """Its number stays taken until ChannelClosed is said: what the next channel asks waits for that."""
        later = list(channel.held)
        self.end_channel(channel)
        closing = self.channels[channel.number] = Channel(channel.number)
        closing.waiting = True
        closing.hold(later)
        self.held_count += sum(map(weight_of, later))

        def finish() -> None:
            if closing.closed:
                return
            self.say(r.ChannelClosed(closing.number))
            later = list(closing.held)
            closing.waiting = False
            self.end_channel(closing)
            self.submit(later)

        self.wait_for_settles([channel], finish)

    def close_session(self, channel: Channel, command: c.CloseSession) -> None:
        channels = list(self.channels.values())
        for other in channels:
            self.end_channel(other)
        self.wait_for_settles(channels, lambda: self.say(r.SessionClosed()))

    def end_channel(self, channel: Channel) -> None:
        """Its consumers leave and what is unsettled comes back.

        What waits its turn comes to nothing, but for what counts though nobody waits for it: many send and leave.
        It does so too if it waits for this node to route again, and its client may have gone on elsewhere meanwhile.
        """
        channel.closed = True
        lasts = channel.waiting and (self.back.routing or not self.given_up)
        dropped = channel.drop_held(LASTING if lasts else ())
        self.held_count -= sum(map(weight_of, dropped))
        self.back.end_waiting(channel)
        for consumer in list(channel.consumers.values()):
            end_consumer(self, channel, consumer)
        self.end_deliveries(channel, channel.unsettled.take_all(), c.Outcome.REQUEUED)
        self.channels.pop(channel.number, None)
        if channel.number == NO_CHANNEL:
            self.channels[NO_CHANNEL] = Channel(NO_CHANNEL)

    def wait_for_settles(self, channels: Sequence[Channel], finish: Finish) -> None:
        """Finishes once the logged shards have committed what was settled before."""
        shards = {shard: None for channel in channels for shard in channel.settled_shards}
        if not shards:
            finish()
            return
        left = len(shards)

        def applied() -> None:
            nonlocal left
            left -= 1
            if not left:
                finish()

        for shard in shards:
            shard.when_applied(shard.barrier(), Waiter(applied))

    def lose_consumer(self, consumer: Consumer) -> None:
        """The queue is gone."""
        del self.channels[consumer.channel].consumers[consumer.tag]
        self.say(r.ConsumerLost(ChannelNumber(consumer.channel), consumer.tag))

    def begin_relay(self, shard: ReplicatedShard, command: cs.AttachSession) -> None:
        """Its client's session is, or will be, in a shard that another node leads."""
        forwarding = self.back.forwarding
        assert forwarding is not None
        assert self.principal is not None
        assert self.vhost is not None
        self._relay = forwarding.front.relays.begin(self, shard, self.principal.user, self.vhost)
        self._relay.say(command)

    def end_relay(self, said: Sequence[c.Command]) -> None:
        """Its client's session is led here by now, and was told nothing elsewhere."""
        self._relay = None
        self.submit(said)

    def receive_relayed(self, reply: r.Reply) -> None:
        """What the node says that leads its client's session."""
        if isinstance(reply, cs.DeliverPublishes):
            self.room -= reply.deliveries.size
            self.traffic.sent += reply.deliveries.count
            self.traffic.sent_size += reply.deliveries.size
        self.say(reply)

    def lose_client_leader(self) -> None:
        """The client's session goes on at another node: the client is to come again, and finds it there."""
        self.client = self._relay = None
        self.say(r.CloseConnection("the session is led by another node now"))

    def lose_client(self) -> None:
        """The client's session is somebody else's now, or gone."""
        self.client = None
        self.say(cs.SessionTaken())


Handler = Callable[[Session, Channel, Any], None]
HANDLERS: dict[type, Handler] = {
    c.Publish: Session.publish,
    c.Settle: Session.settle,
    c.Authenticate: authenticating.authenticate,
    c.BeginScram: authenticating.begin_scram,
    c.ContinueScram: authenticating.continue_scram,
    c.OpenVhost: Session.open_vhost,
    c.OpenChannel: Session.open_channel,
    c.CloseChannel: Session.close_channel,
    c.CloseSession: Session.close_session,
    c.Recover: Session.recover,
    c.CommitTransaction: committing.commit_transaction,
    c.DeclareExchange: declaring.declare_exchange,
    c.DeleteExchange: declaring.delete_exchange,
    c.Bind: declaring.bind,
    c.Unbind: declaring.unbind,
    c.DeclareQueue: declaring.declare_queue,
    c.DeleteQueue: declaring.delete_queue,
    c.PurgeQueue: declaring.purge_queue,
    c.Consume: consuming.consume,
    c.SetChannelCredit: consuming.set_credit,
    c.Cancel: consuming.cancel,
    c.Get: consuming.get,
    cs.AuthenticateAnonymous: attaching.authenticate_anonymous,
    cs.AttachSession: attaching.attach,
    cs.DetachSession: attaching.detach,
    cs.Subscribe: subscribing.subscribe,
    cs.Unsubscribe: subscribing.unsubscribe,
    cs.PublishOnce: exactly_once.publish_once,
    cs.Release: exactly_once.release,
    cs.Acknowledge: exactly_once.acknowledge,
}
ASKED = (c.DeclareQueue, c.DeleteQueue, c.PurgeQueue, c.Get, c.Bind, c.Unbind, c.DeleteExchange)
DOING.update({kind: HANDLERS[kind] for kind in ASKED})
