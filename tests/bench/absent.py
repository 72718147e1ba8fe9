"""A broker that is only named."""

from __future__ import annotations

from bench.broker import Broker
from bench.client import Client
from bench.session import Session


class Absent(Broker):
    """It can't be started; whoever tries fails."""

    port = 0
    fsync = "never"

    def __init__(self, name: str, *, is_ours: bool = False, mqtt_port: int | None = None) -> None:
        self.name = name
        self.is_ours = is_ours
        self.mqtt_port = mqtt_port

    def version(self) -> str:
        return f"{self.name} 1"

    def missing(self) -> str | None:
        return None

    def client(self) -> Client:
        raise AssertionError("nothing is measured here")

    def _launch(self) -> Session:
        raise AssertionError("nothing is started here")
