"""A broker under test: what a row may ask of it, whichever it is."""

from __future__ import annotations

import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path

from bench.client import Client
from bench.session import BrokerError, Running

START_TIMEOUT_S = 90.0


class Broker(ABC):
    """One broker with one data directory, on loopback ports of its own."""

    name: str
    # What it listens on once it has started.
    port: int
    # None: it doesn't speak MQTT, STOMP, or these over WebSocket.
    mqtt_port: int | None = None
    stomp_port: int | None = None
    web_port: int | None = None
    directory: Path
    is_ours = False
    # What its confirms wait for, for the report.
    fsync: str
    # Its memory grows with what passes through it: it starts anew for each run.
    is_hoarding = False
    _session: Running | None = None

    @abstractmethod
    def version(self) -> str:
        """Name and version, for people."""

    @abstractmethod
    def missing(self) -> str | None:
        """What to install so that it can be started; None: it can."""

    @abstractmethod
    def _launch(self) -> Running:
        """Starts it on the data directory."""

    def queue_arguments(self, kind: str) -> dict[str, str]:
        """In AMQP, the arguments that make a queue of the ``kind`` a row compares with: "classic" or "quorum"."""
        return {}

    def unable(self, protocol: str) -> str | None:
        """Why it can't be measured with "amqp", "mqtt", "stomp" or "websocket"; None: it can."""
        listeners = {
            "mqtt": ("MQTT", self.mqtt_port),
            "stomp": ("STOMP", self.stomp_port),
            "websocket": ("WebSocket", self.web_port),
        }
        word, port = listeners.get(protocol, ("", self.port))
        return f"{self.name} has no {word} listener" if port is None else None

    def forget_queue(self, name: str) -> None:
        """Deletes a queue that was made by its first use."""
        with self.client() as client:
            client.delete_queue(name)

    @property
    def session(self) -> Running:
        if self._session is None:
            raise BrokerError(f"{self.name} isn't running")
        return self._session

    @property
    def running(self) -> bool:
        return self._session is not None

    def start(self) -> float:
        """Starts it on the data it has; returns the seconds until it accepted connections."""
        assert self._session is None
        self.directory.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        self._session = self._launch()
        try:
            self._session.wait_listening(START_TIMEOUT_S)
        except BrokerError:
            self.kill()
            raise
        return time.monotonic() - began

    def restart_empty(self) -> None:
        """Starts it, or starts it again, without any data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.start()

    def stop(self) -> None:
        if self._session is not None:
            self._session.stop()
            self._session = None

    def kill(self) -> None:
        if self._session is not None:
            self._session.kill()
            self._session = None

    def client(self) -> Client:
        return Client(self.port)
