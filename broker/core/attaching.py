"""A client comes and goes, at the front: its session is found or made, taken over, left."""

from __future__ import annotations

import base64

import msgspec

from broker.core import client_states as s
from broker.core.attachment import Attachment
from broker.core.channel import Channel
from broker.core.client_session import ClientSession
from broker.core.clients import ClientKey, will_of
from broker.core.declaring import ENTROPY_SIZE, vhost_of
from broker.core.front import ClientFront
from broker.core.outcomes import Outcome, Refused
from broker.core.permissions import Principal
from broker.core.relaying import shard_of_client
from broker.core.subscribing import resume_consuming
from broker.core.waiter import Waiter
from broker.model.client_sessions import (
    NO_IDS,
    AttachSession,
    AuthenticateAnonymous,
    DetachSession,
    ReleaseDue,
    SessionAttached,
)
from broker.model.names import ClientId
from broker.model.refusals import Refusal
from broker.model.replies import Authenticated


def authenticate_anonymous(front: ClientFront, channel: Channel, command: AuthenticateAnonymous) -> None:
    if front.back.topology.has_user(command.user):
        front.principal = Principal(command.user)
        front.say(Authenticated())
    else:
        front.refuse(channel, Refused(Refusal.LOGIN_REFUSED, f"user '{command.user}'"))


def attach(front: ClientFront, channel: Channel, command: AttachSession) -> None:
    """In turn: two connections of one client never have its session both."""
    vhost = vhost_of(front)
    assert front.principal is not None
    client_id = command.client_id or ClientId(_generated(front.back.random_bytes(ENTROPY_SIZE)))
    if command.will is not None:
        refused = front.admit_keys(command.will.messages)
        if refused is not None:
            front.refuse(channel, refused)
            return
    front.says_again = True  # [MQTT-4.4.0-1], [MQTT-4.6.0-1]
    shard = shard_of_client(front.back, vhost, client_id, command)
    if shard is not None:
        front.begin_relay(shard, msgspec.structs.replace(command, client_id=client_id))
        return
    channel.waiting = True
    attaching = Attaching(front, channel, command, (vhost, client_id), front.principal)
    front.back.clients.take_turn(attaching.key, attaching.begin)


def _generated(entropy: bytes) -> str:
    return "auto-" + base64.urlsafe_b64encode(entropy).decode().rstrip("=")


class Attaching:
    """One client on its way to its session."""

    def __init__(
        self, front: ClientFront, channel: Channel, command: AttachSession, key: ClientKey, principal: Principal
    ) -> None:
        self.key = key
        self._front = front
        self._channel = channel
        self._command = command
        self._principal = principal
        self._present = False

    def begin(self) -> None:
        """Nobody else is at it."""
        clients = self._front.back.clients
        client = clients.find(self.key)
        if client is not None:
            if client.row.user != self._principal.user:
                self._refuse(Refused(Refusal.CLIENT_ID_TAKEN, f"client id '{self.key[1]}' is another user's"))
                return
            if client.attachment is not None:
                taken = client.attachment.front
                clients.detach(client, send_will=True)
                taken.lose_client()
            # After that: a session that lasts no longer than its connection ends with it, also if it is taken over.
            ends = self._command.clean_start or not client.durable or clients.has_expired(client)
            if client.durable and ends:
                clients.end(client, lambda outcome: self._create())
                return
            if client.durable:
                self._resume(client)
                return
        self._create_alone()

    def _create_alone(self) -> None:
        """Once no other node has the client."""
        back = self._front.back
        row = back.clients.find_afar(self.key)
        if row is None:
            self._create()
        elif row.user != self._principal.user:
            self._refuse(Refused(Refusal.CLIENT_ID_TAKEN, f"client id '{self.key[1]}' is another user's"))
        else:
            assert back.forwarding is not None
            back.forwarding.taking_over.take_over(row, self._create_alone)

    def _create(self) -> None:
        back = self._front.back
        durable = self._command.expiry_s > 0
        if durable and not any(shard.leading for shard in back.logged):
            self._attach_anew()  # it was led here a moment ago
            return
        create = back.clients.create_command(self.key, self._principal.user, durable)
        back.submit(create, self._receive_created)

    def _receive_created(self, outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            row = self._front.back.topology.find_session(*self.key)
            if outcome.refusal is Refusal.CLIENT_ID_TAKEN and row is not None and row.user == self._principal.user:
                self._attach_anew()  # the same client, at another node, was faster
            else:
                self._refuse(outcome)
            return
        assert outcome.session is not None
        client = self._front.back.clients.sessions.get(outcome.session.session_id)
        if client is None:
            self._go_elsewhere(outcome.session.durable)
        elif client.durable:
            self._log(client)
        else:
            client.will = self._command.will
            self._finish(client)

    def _resume(self, client: ClientSession) -> None:
        self._present = client.told or self._front.back.clients.state(client) is not None
        self._log(client)

    def _log(self, client: ClientSession) -> None:
        """That it is attached, and its will, outlive us before it is told so."""
        will, delay_s = will_of(self._command.will)
        command = self._command
        number = client.propose(s.Attached(client.id, command.expiry_s, will, delay_s, command.queue_length_max))
        client.shard.when_applied(number, Waiter(lambda: self._finish(client)))  # also if that was lost

    def _finish(self, client: ClientSession) -> None:
        front, back, command = self._front, self._front.back, self._command
        if back.clients.sessions.get(client.id) is not client:
            if back.topology.open_vhost(self._principal, self.key[0]) is None:
                self._go_elsewhere(client.durable)
            else:  # its vhost was deleted meanwhile
                self._refuse(Refused(Refusal.NOT_FOUND, "the session is gone"))
            return
        client.bound_queue(command.queue_length_max)
        attachment = Attachment(client, front, command.receive_max)
        client.attachment = attachment
        client.told = True
        if front.closed:
            back.clients.detach(client, send_will=True)
            back.clients.end_turn(self.key)
            return
        front.client = client
        back.clients.announce(client)
        back.traffic.attached += 1
        back.forget_routes(client.row.vhost)
        # Before anybody else's turn, and before what the client said meanwhile: either may detach it.
        if client.queue is not None:
            attachment.serve(client.queue)
            client.shard.dirty[client.queue.id] = None
        resume_consuming(front, client)
        front.go_on(self._channel, lambda: self._tell(client))
        back.clients.end_turn(self.key)

    def _tell(self, client: ClientSession) -> None:
        self._front.say(SessionAttached(self.key[1], self._present))
        owed = client.inflight.owed()
        if len(owed):
            self._front.say(ReleaseDue(owed, NO_IDS))

    def _attach_anew(self) -> None:
        """Somebody else made the session meanwhile, or it is led elsewhere by now."""
        front, channel = self._front, self._channel
        front.back.clients.end_turn(self.key)
        command = msgspec.structs.replace(self._command, client_id=self.key[1])
        front.go_on(channel, lambda: None if front.closed else attach(front, channel, command))

    def _go_elsewhere(self, durable: bool) -> None:
        """The session is led elsewhere by now.  One that goes with its connection is another connection's instead: two
        that come at once, at two nodes, must not go on taking it from each other."""
        if durable:
            self._attach_anew()
            return
        self._front.back.clients.end_turn(self.key)
        self._front.go_on(self._channel, self._front.lose_client_leader)

    def _refuse(self, refused: Refused) -> None:
        self._front.back.clients.end_turn(self.key)
        self._front.go_on(self._channel, lambda: self._front.refuse(self._channel, refused))


def detach(front: ClientFront, channel: Channel, command: DetachSession) -> None:
    """The client said goodbye, in time or in anger."""
    client = front.client
    if client is not None:
        front.client = None
        front.back.clients.detach(client, command.send_will, command.expiry_s)
