"""A client's connection to a node: bytes go as soon as there are any, and arrive a drawn time later."""

from __future__ import annotations

from protocols.adapter import Output
from tests.simulation.cluster.mqtt_clients import AnyClient
from tests.simulation.cluster.process import Process
from tests.simulation.link import WINDOW_SIZE, Link, SimTransport


class QuickTransport(SimTransport):
    """Takes output at once while there is room on the way, as a socket does."""

    def send(self, output: list[Output]) -> None:
        assert not self._closed
        link = self.link
        if not self._pieces and not link.client_gone and len(link.to_client) < WINDOW_SIZE:
            for piece in output:
                link.to_client += bytes(piece)
        else:
            super().send(output)


class ClientWire:
    """One connection."""

    def __init__(self, client: AnyClient, process: Process, link: Link) -> None:
        self.client = client
        self.process = process
        self.link = link
        self.transport: SimTransport | None = None
        self.to_node_due = False
        self.to_client_due = False
        """Something arrives."""
