"""Clients of STOMP 1.2: they send to and consume the queues that AMQP's clients declared, and are in the same ledger.

What one of them sends an AMQP client may get, and the other way round; a RECEIPT is its confirm.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.clustered import REMOVED
from broker.server.serve import GOODBYE
from tests.simulation.client import World
from tests.simulation.cluster.ledger import ClusterLife
from tests.simulation.ledger import Broken, Copy, Message, Outcome
from tests.simulation.link import Link
from tests.simulation.link_end import LinkEnd
from tests.simulation.plan import DEAD, EVERYONE, EXCHANGE
from tests.simulation.stomp_wire import Frame, Incoming, frame

UNCONFIRMED_MAX = 50
GOODBYES = (GOODBYE, REMOVED)
"""What ERROR says without a fault of the client's."""
LEAVING = "leaving"
"""The receipt of DISCONNECT."""


class StompClient(LinkEnd[Frame]):
    """One that connects again after whatever ended its connection."""

    protocol = "stomp"
    waits_to_act = False
    node = ""
    waits_since_us = 0

    def __init__(self, name: str, world: World, go_on: Callable[[StompClient], None]) -> None:
        self.name = name
        self.world = world
        self.deaf_until_us = 0
        self.open = False
        self.leaving = False
        self.unconfirmed: dict[str, Message] = {}
        """By receipt."""
        self.unsettled: dict[str, Copy] = {}
        """By the MESSAGE's ``ack``."""
        self.queues: dict[str, str] = {}
        """By subscription."""
        self.life = ClusterLife(name, "")
        self._go_on = go_on
        self._settled: list[Copy] = []
        """Before it said goodbye."""
        self._lives = 0
        self._place = 0
        self._incoming = Incoming()

    # ---- the connection

    @property
    def idle(self) -> bool:
        return self.link is None

    @property
    def wants_link(self) -> bool:
        return self.world.declared and not self.world.healing

    @property
    def waits(self) -> bool:
        """For an answer."""
        return self.link is not None and (not self.open or self.leaving or bool(self.unconfirmed))

    def begin(self, link: Link) -> None:
        self.link = link
        link.cut_off = lambda: self._end() if self.link is link else None
        self._lives += 1
        self.life = ClusterLife(f"{self.name}#{self._lives}", self.node)
        self._incoming = Incoming()
        self.open = self.leaving = False
        self._place = 0
        self.unconfirmed, self.unsettled, self.queues = {}, {}, {}
        self.send("CONNECT", {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest"})

    def send(self, command: str, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_bytes(frame(command, headers, body))

    def act(self) -> None:
        """Its turn."""
        if self.open and not self.leaving:
            if not self.unconfirmed:
                self.waits_since_us = self.world.trace.now_us
            self._go_on(self)

    def _end(self) -> None:
        """What it holds comes back."""
        for queue in self.queues.values():
            self.world.ledger.disturb(queue)
        self.world.ledger.end(self.life)

    def lose(self) -> None:
        """The connection is over, for whatever reason."""
        self.leave_link()
        self._end()

    def read(self, size: int) -> None:
        self.waits_since_us = self.world.trace.now_us
        super().read(size)

    def _receive(self, received: Frame) -> None:
        RECEIVERS.get(received.command, StompClient._receive_strange)(self, received)

    # ---- what comes

    def _receive_strange(self, received: Frame) -> None:
        raise Broken("I26", f"{self.name} was told {received}")

    def _receive_connected(self, received: Frame) -> None:
        self.open = True

    def _receive_error(self, received: Frame) -> None:
        """The node is stopped, or no node of the cluster any more."""
        if not any(goodbye in received.body.decode() for goodbye in GOODBYES):
            raise Broken("I26", f"{self.name} was told {received}")
        self.lose()

    def _receive_receipt(self, received: Frame) -> None:
        receipt = received.headers["receipt-id"]
        if receipt == LEAVING:
            self.world.ledger.receive_settled(self._settled)
            self.world.trace.note(f"{self.name} left, {len(self._settled)} settled")
            self.lose()
            return
        message = self.unconfirmed.pop(receipt, None)
        if message is None:
            raise Broken("I10", f"{self.name} got a receipt of {receipt}, which it does not wait for")
        self.world.ledger.confirm(message)
        self.world.trace.note(f"{self.name} got a receipt of {message.id}")

    def _receive_message(self, received: Frame) -> None:
        if self.leaving or self.life.ended:
            return
        told = received.headers
        queue = self.queues[told["subscription"]]
        redelivered = told.get("redelivered") == "true"
        ledger, tag = self.world.ledger, told["ack"]
        copy = ledger.deliver(self.life, told["subscription"], queue, received.body, "", redelivered, False)
        self.unsettled[tag] = copy
        self.world.trace.note(f"{self.name} got {copy.message.id} of {queue}{' again' * redelivered} as {tag}")

    # ---- what it says

    def publish(self, count: int) -> None:
        """To queues that reject nothing: a no would end the connection."""
        world = self.world
        random, plan = world.random, world.plan
        keys = [f"k.{name}" for name, queue in plan.queues.items() if name != DEAD and not queue.refuses]
        if not any(queue.refuses for queue in plan.queues.values()):
            keys.append(EVERYONE)
        for _ in range(count if keys else 0):
            key, number = random.choice(keys), world.next_id()
            body = b"%d:" % number + b"." * random.randint(0, plan.body_size_max)
            persistent = random.random() < 0.9
            self._place += 1
            message = Message(
                number, body, self.life.name, self._place, persistent, None, plan.routed(key), world.ledger.restarts,
                world.now_ms(),
            )  # fmt: skip
            world.ledger.publish(message)
            if world.mqtt is not None:
                world.mqtt.publish_amqp(key.replace(".", "/"), message)
            self.unconfirmed[str(number)] = message
            headers = {"destination": f"/exchange/{EXCHANGE}/{key}", "receipt": str(number)}
            self.send("SEND", headers | ({"persistent": "true"} if persistent else {}), body)
            world.trace.note(f"{self.name} sends {number}")

    def subscribe(self, queue: str, prefetch: int) -> None:
        number = f"s{len(self.queues)}"
        self.queues[number] = queue
        headers = {"destination": f"/amq/queue/{queue}", "id": number, "ack": "client-individual"}
        self.send("SUBSCRIBE", headers | ({"prefetch-count": str(prefetch)} if prefetch else {}))

    def settle(self, tag: str, outcome: Outcome) -> None:
        copy = self.unsettled.pop(tag)
        if not self.life.ended:
            self.world.ledger.settle(self.life, copy, outcome)
        requeue = {"requeue": "true" if outcome is Outcome.REQUEUE else "false"}
        self.send(
            "ACK" if outcome is Outcome.ACK else "NACK", {"id": tag} | ({} if outcome is Outcome.ACK else requeue)
        )
        self.world.trace.note(f"{self.name} settles {tag}: {outcome.name}")

    def leave(self) -> None:
        """Says goodbye, and waits for the answer."""
        self._settled = list(self.life.settling)
        self.leaving = True
        self._end()
        self.send("DISCONNECT", {"receipt": LEAVING})


RECEIVERS: dict[str, Callable[[StompClient, Frame], None]] = {
    "CONNECTED": StompClient._receive_connected,
    "ERROR": StompClient._receive_error,
    "RECEIPT": StompClient._receive_receipt,
    "MESSAGE": StompClient._receive_message,
}


def stomp_publisher(client: StompClient) -> None:
    """Sends now and then, and goes at times."""
    random = client.world.random
    if client.world.healing or random.random() < 0.02:
        if not client.unconfirmed:
            client.leave()
    elif len(client.unconfirmed) < UNCONFIRMED_MAX:
        client.publish(random.choice([1, 1, 3, 10]))


def stomp_consumer(client: StompClient) -> None:
    """Consumes one or two queues and settles as it likes."""
    world, random = client.world, client.world.random
    names = [name for name, queue in world.plan.queues.items() if name != DEAD and not queue.blind]
    if world.healing or not names:
        client.leave()
    elif not client.queues:
        for name in random.sample(names, random.randint(1, min(2, len(names)))):
            client.subscribe(name, random.choice([0, 1, 3, 50]))
    elif client.unsettled and random.random() < 0.8:
        outcome = random.choices([Outcome.ACK, Outcome.REJECT, Outcome.REQUEUE], [0.7, 0.15, 0.15])[0]
        client.settle(random.choice(list(client.unsettled)), outcome)
    elif random.random() < 0.03:
        client.leave()
