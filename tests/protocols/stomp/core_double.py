"""An adapter with a core that keeps the order it promises and decides nothing: for laws about what is between a client
and a core.

What has an answer is answered in its channel's order, whenever the test says so, by its success or by its refusal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from broker.model import client_sessions as cs
from broker.model import commands, replies
from broker.model.commands import Command
from broker.model.names import DeliveryTag, QueueName
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from kernel import StompDecoder
from protocols.stomp.connection import StompAdapter
from protocols.stomp.settings import StompSettings
from protocols.stomp.version import Version
from tests.protocols.stomp.conversation import SESSION, deliveries
from tests.protocols.stomp.wire import frame, read_frames

LOGIN = (commands.Authenticate, cs.AuthenticateAnonymous, commands.OpenVhost)
"""What must be answered before the client is listened to."""
ANSWERS: dict[type, Callable[[Any], Reply]] = {
    commands.Authenticate: lambda c: replies.Authenticated(),
    cs.AuthenticateAnonymous: lambda c: replies.Authenticated(),
    commands.OpenVhost: lambda c: replies.VhostOpened(),
    commands.DeclareQueue: lambda c: replies.QueueDeclared(c.channel, c.spec.name or QueueName("named"), 0, 0),
    commands.Bind: lambda c: replies.Done(c.channel),
    commands.DeleteQueue: lambda c: replies.QueueDeleted(c.channel, 0),
    commands.CommitTransaction: lambda c: replies.Done(c.channel),
    commands.Consume: lambda c: replies.ConsumerStarted(c.channel, c.consumer_tag),
    commands.CloseChannel: lambda c: replies.ChannelClosed(c.channel),
    commands.CloseSession: lambda c: replies.SessionClosed(),
}
UNANSWERED = (commands.OpenChannel, commands.Settle)


class CoreDouble:
    """Answers commands."""

    def __init__(self) -> None:
        self.pending: deque[Command] = deque()
        self.opened = False
        self._consumers: dict[int, commands.Consume] = {}
        self._next_tags: dict[int, int] = {}

    def receive(self, received: list[Command]) -> None:
        """What needs no answer does not wait for one."""
        for command in received:
            if isinstance(command, commands.CloseChannel):
                self._consumers.pop(command.channel, None)
            if isinstance(command, UNANSWERED) or (isinstance(command, commands.Publish) and not command.first_tag):
                continue
            self.pending.append(command)

    def answer(self, refusal: Refusal | None = None) -> list[Reply]:
        """What is said to the next command."""
        command = self.pending.popleft()
        if isinstance(command, commands.Publish):
            return self._publish(command, refusal)
        closing = isinstance(command, commands.CloseChannel | commands.CloseSession)
        if refusal is not None and not closing:
            return [replies.Refuse(getattr(command, "channel", cs.NO_CHANNEL), refusal, "no")]
        self.opened = self.opened or isinstance(command, commands.OpenVhost)
        if isinstance(command, commands.Consume):
            self._consumers[command.channel] = command
        return [ANSWERS[type(command)](command)]

    def _publish(self, command: commands.Publish, refusal: Refusal | None) -> list[Reply]:
        """One by one, so that it is the same however they fell into runs."""
        if refusal is Refusal.NOT_FOUND:
            return [replies.Refuse(command.channel, refusal, "no", command.first_tag)]
        last = command.first_tag + command.messages.count - 1
        tags = [(tag, tag) for tag in range(command.first_tag, last + 1)]
        if refusal is not None:
            return [replies.Reject(command.channel, tags, refusal)]
        return [replies.Confirm(command.channel, tags)]

    def deliver(self, count: int) -> list[Reply]:
        """Deliveries to each consumer that nobody asked for just now."""
        said: list[Reply] = []
        for channel, consume in self._consumers.items() if count else ():
            first = self._next_tags.get(channel, 1)
            self._next_tags[channel] = first + count
            run = deliveries(*["x" * 10] * count)
            said.append(replies.Deliver(consume.channel, consume.consumer_tag, DeliveryTag(first), run))
        return said


SETTINGS = StompSettings(
    frame_size_max=5_000,
    subscriptions_max=3,
    transactions_max=2,
    transaction_actions_max=4,
    transaction_size_max=2_000,
)


def opening(version: Version, *headers: tuple[str, str]) -> bytes:
    return frame("CONNECT", ("accept-version", version.text), ("login", "me"), ("passcode", "pw"), *headers)


class Connection:
    """An adapter between its decoder and a core, with all that it ever did."""

    def __init__(self, settings: StompSettings = SETTINGS, *, answering: tuple[type, ...] = LOGIN) -> None:
        self.decoder = StompDecoder()
        self.adapter = StompAdapter(self.decoder, settings, SESSION, loopback=True, now=0.0)
        self.core = CoreDouble()
        self.answering = answering
        self.commands: list[Command] = []
        self.output = b""
        self.closing = False

    def receive(self, data: bytes) -> None:
        if self.decoder.stopped:
            return  # it waits for what the core does not say
        self.adapter.receive_data(data, 0.0)
        self.settle()

    def say(self, said: Sequence[Reply]) -> None:
        self.adapter.receive_replies(said, 0.0)
        self.settle()

    def settle(self) -> None:
        """Goes on until nothing is to be done at once."""
        while True:
            ready = self.adapter.take_ready()
            self.commands += ready.commands
            self.output += b"".join(bytes(part) for part in ready.output)
            self.closing = ready.closing
            self.core.receive(ready.commands)
            if ready.resumed:
                self.adapter.receive_frames(self.decoder.resume(), 0.0)
            elif not self._answer():
                return

    def _answer(self) -> bool:
        """What holds back whatever follows is answered before what is left for the end."""
        pending = self.core.pending
        due = next((command for command in pending if isinstance(command, self.answering)), None)
        if due is None:
            return False
        pending.remove(due)
        pending.appendleft(due)
        self.adapter.receive_replies(self.core.answer(), 0.0)
        return True

    @property
    def version(self) -> Version:
        """What it speaks; before it is known, 1.0."""
        return Version(self.decoder.version or Version.V1_0)

    def finish(self) -> None:
        """The core answers all that is left."""
        while self.core.pending:
            self.say(self.core.answer())


def flat(given_commands: list[Command]) -> dict[str, list[Any]]:
    """Commands with runs undone: only run lengths may differ.

    What is sent and what it needs to be there are each in their order; in one run, all that is needed comes first.
    A cumulative settlement of a run is the same as one of each.
    """
    sent: list[Any] = []
    others: list[Any] = []
    settled: list[Any] = []
    for command in given_commands:
        match command:
            case commands.Publish():
                sent += command.messages.rows()
            case commands.Settle(first=0):
                while settled and settled[-1][:2] == (command.channel, command.outcome) and settled[-1][2] == 0:
                    settled.pop()
                settled.append((command.channel, command.outcome, 0, command.last))
            case commands.Settle():
                tags = range(command.first, command.last + 1)
                settled += [(command.channel, command.outcome, tag, tag) for tag in tags]
            case commands.CommitTransaction():
                rows = [row for run in command.publishes for row in run.rows()]
                sent.append((rows, command.settlements))
            case _:
                others.append(command)
    return {"sent": sent, "others": others, "settled": settled}


def assert_same(cut: Connection, whole: Connection) -> None:
    assert flat(cut.commands) == flat(whole.commands)
    assert cut.output == whole.output
    assert cut.closing == whole.closing
    cut.finish()
    whole.finish()
    assert cut.output == whole.output
    assert cut.closing == whole.closing


def assert_well_behaved(connection: Connection) -> None:
    """What it says are whole frames, and after its end it says and asks nothing more."""
    commands_seen = [each.command for each in read_frames(connection.output, connection.version)]
    assert "ERROR" not in commands_seen[:-1]
    if not connection.core.opened:
        assert all(isinstance(command, LOGIN) for command in connection.commands)
    if connection.closing:
        said, asked = connection.output, len(connection.commands)
        connection.receive(opening(Version.V1_2) + frame("SEND", ("destination", "/topic/a")) + b"\n")
        connection.say([replies.CloseConnection("no"), replies.Block("no")])
        connection.adapter.receive_timeout(1e9)
        connection.settle()
        assert connection.output == said
        assert len(connection.commands) == asked
