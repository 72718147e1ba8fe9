"""Faults, one after the other, under load; after each it is seen that the clients went on and nothing is missing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec

from broker.demo.cluster.load import Load
from broker.demo.cluster.node import Node
from tests.rig.ledger import Ledger, Watch
from tests.rig.nodes import Nodes

PROGRESS_TIMEOUT_S = 30.0
SEEN_TIMEOUT_S = 30.0
HOME_TIMEOUT_S = 30.0
NO_PROGRESS_S = 2.0
"""How long a minority is watched confirming nothing."""
TURN_S = 0.01
QUEUES, RATE, MQTT_RATE = 6, 150.0, 20.0
"""Small and steady: what is tested is what becomes of it."""


class Round(msgspec.Struct):
    """What became of one fault."""

    fault: str
    node: str
    led: list[int]
    next_confirm_s: float | None = None
    """Until every place had one; None: some never had."""
    slowest: str = ""
    """The place that had it last."""
    stuck: list[str] = []
    """Places without."""
    back_s: float = 0.0
    """Until the node was ready again."""
    confirmed: int = 0
    """Since the round before."""
    lost: int = 0
    doubled: int = 0
    strange: int = 0
    again: int = 0


class Rig:
    """Three nodes, their load, and its ledger."""

    def __init__(self, nodes: Nodes, drawn: random.Random, *, mqtt: bool = True) -> None:
        self.nodes = nodes
        self.drawn = drawn
        ways = {protocol: nodes.ways(protocol) for protocol in (("amqp", "mqtt") if mqtt else ("amqp",))}
        self.ledger = Ledger()
        self.load = Load(ways, self.ledger, QUEUES, RATE, MQTT_RATE)
        self.ledger.exactly_once = frozenset(self.load.exactly_once)
        self.places = {publisher.place for publisher in self.load.publishers}
        self._told = (0, 0, 0, 0)

    def start(self) -> None:
        late = self.load.start(PROGRESS_TIMEOUT_S)
        assert not late, f"not connected: {late}"
        self._await_progress(self.ledger.watch_from_now(), self.places)

    # ---- faults

    def kill_one(self) -> Round:
        """kill -9 of a random node, and its restart."""
        node = self.drawn.choice(self.nodes.all)

        def restart() -> float:
            time.sleep(self.drawn.uniform(0.2, 1.0))
            node.start()
            return self.nodes.wait_ready(node)

        return self._round("kill -9", node, node.kill, restart)

    def stop_leader(self) -> Round:
        """SIGSTOP of the node that leads most, for some seconds, and SIGCONT."""
        led = self.nodes.led()
        node = self.nodes[max(led, key=lambda name: (len(led[name]), name))]

        def resume() -> float:
            time.sleep(self.drawn.uniform(2.0, 5.0))
            node.resume()
            return self.nodes.wait_ready(node)

        return self._round("SIGSTOP", node, node.pause, resume)

    def _round(self, fault: str, node: Node, act: Callable[[], None], undo: Callable[[], float]) -> Round:
        time.sleep(self.drawn.uniform(0.5, 1.5))
        led = self.nodes.said(node).leads
        told = Round(fault, node.name, led)
        self.ledger.disturb(node.name)
        act()
        watch = self.ledger.watch_from_now()
        # Who is at a node that stands still finds that out later.
        self._measure(told, watch, self.load.places_without(node.name) if node.paused else self.places)
        told.back_s = undo()
        self._measure(told, watch, self.places, count=False)
        return self._close(told)

    def kill_two(self) -> Round:
        """kill -9 of two: the third confirms nothing; then one comes back, and it does; then the other."""
        first, second = self.drawn.sample(self.nodes.all, 2)
        told = Round("kill -9, two", f"{first.name} {second.name}", sorted(self.nodes.said(first).leads))
        for node in (first, second):
            self.ledger.disturb(node.name)
            node.kill()
        watch = self.ledger.watch_from_now()
        time.sleep(NO_PROGRESS_S)
        if watch.first_s:
            self.ledger.complain(f"one node of three confirmed something: {watch.first_s}")
        watch = self.ledger.watch_from_now()
        first.start()
        told.back_s = self.nodes.wait_ready(first)
        self._measure(told, watch, self.places)
        second.start()
        self.nodes.wait_ready(second)
        return self._close(told)

    # ---- what became of it

    def _await_progress(self, watch: Watch, places: set[str]) -> list[str]:
        """Places at which nothing was confirmed in time."""
        deadline = time.monotonic() + PROGRESS_TIMEOUT_S
        while missing := places - watch.first_s.keys():
            if time.monotonic() > deadline:
                return sorted(missing)
            time.sleep(TURN_S)
        return []

    def _measure(self, told: Round, watch: Watch, places: set[str], *, count: bool = True) -> None:
        stuck = self._await_progress(watch, places)
        told.stuck += stuck
        if count and not stuck:
            told.slowest = max(places, key=lambda place: watch.first_s[place])
            told.next_confirm_s = watch.first_s[told.slowest]

    def _close(self, told: Round) -> Round:
        """Waits until all that is confirmed by now was seen."""
        due = set(self.ledger.awaited())
        deadline = time.monotonic() + SEEN_TIMEOUT_S
        while due and time.monotonic() < deadline:
            time.sleep(TURN_S)
            due &= set(self.ledger.awaited())
        told.lost = len(due)
        self._count(told)
        if not self.load.orders.paused.is_set():
            told.stuck += self.load.go_home(HOME_TIMEOUT_S)
        return told

    def _count(self, told: Round) -> None:
        ledger = self.ledger
        counts = (ledger.confirmed_count, ledger.doubled_count, ledger.strange_count, ledger.again_count)
        told.confirmed, told.doubled, told.strange, told.again = (
            now - before for now, before in zip(counts, self._told, strict=True)
        )
        self._told = counts

    def finish(self) -> Round:
        """The load stops; everything that is under way is confirmed, everything confirmed seen."""
        told = Round("the end", "", [])
        self.load.orders.paused.set()
        deadline = time.monotonic() + PROGRESS_TIMEOUT_S
        while any(publisher.in_flight for publisher in self.load.publishers) and time.monotonic() < deadline:
            time.sleep(TURN_S)
        told.stuck = [publisher.name for publisher in self.load.publishers if publisher.in_flight]
        self._close(told)
        told.stuck += self.load.stop()
        return told

    def places_of(self, ids: list[int]) -> dict[str, int]:
        """How many of each place."""
        counted: dict[str, int] = {}
        for id in ids:
            place = self.ledger.entries[id].place
            counted[place] = counted.get(place, 0) + 1
        return counted
