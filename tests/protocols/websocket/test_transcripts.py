"""Every conversation of MQTT's transcripts goes over WebSocket as it does over TCP."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.config.schema import HttpListener
from broker.model.replies import Reply
from kernel import MqttDecoder
from protocols.adapter import Adapter, Frame, Ready
from protocols.mqtt.version import Version
from tests.protocols.mqtt.conversation import Conversation, connected, replayed
from tests.protocols.mqtt.test_transcripts import TRANSCRIPTS, VERSIONS
from tests.protocols.websocket.wire import CLOSE, PONG, framed, opened, said_inside, server_frames, upgrade

NEVER = 3600.0
"""The longest interval between pings; transcripts' own times are shorter."""


class Unwrapped:
    """An MQTT client's view of a connection over WebSocket: its bytes are framed, the server's unframed."""

    protocol = "mqtt"

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._upgraded = False

    def receive_data(self, data: bytes, now: float) -> None:
        self._adapter.receive_data(data if not self._upgraded else framed(data), now)

    def receive_frames(self, frames: Sequence[Frame], now: float) -> None:
        self._adapter.receive_frames(frames, now)

    def receive_replies(self, replies: Sequence[Reply], now: float) -> None:
        self._adapter.receive_replies(replies, now)

    def receive_timeout(self, now: float) -> None:
        self._adapter.receive_timeout(now)

    def receive_end(self, now: float) -> None:
        self._adapter.receive_end(now)

    def take_ready(self) -> Ready:
        ready = self._adapter.take_ready()
        output = b"".join(map(bytes, ready.output))
        if not self._upgraded:
            head, _, output = output.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101"), head
            self._upgraded = True
        frames = [each for each in server_frames(output) if each[0] != PONG]
        assert ready.closing or all(opcode != CLOSE for opcode, _ in frames)
        inside = said_inside(frames)
        return msgspec.structs.replace(ready, output=[inside] if inside else [])


class OverWebSocket(Conversation):
    def __init__(self, version: Version = Version.MQTT_5, *, loopback: bool = True, **settings: Any) -> None:
        super().__init__(version, loopback=loopback, **settings)
        adapter, decoder = self.adapter, self.decoder
        assert isinstance(decoder, MqttDecoder)
        listener = HttpListener(protocol="http", websocket_protocols=("amqp", "mqtt"), ping_interval=NEVER)
        made = opened({"mqtt": lambda request: (adapter, decoder), "amqp": unused}, listener, now=self.now)
        self.decoder = made.decoder
        self.adapter = Unwrapped(made.adapter)
        self.adapter.receive_data(upgrade(), self.now)
        self._take()

    def _take(self) -> list[str]:
        """A deadline of WebSocket's own is not the conversation's."""
        lines = super()._take()
        own = f"deadline: +{NEVER:g}"
        return ["deadline: none" if line == own else line for line in lines]


def unused(request: object) -> Any:
    raise AssertionError("it is MQTT")


MAKERS: dict[str, Any] = {
    "connected": partial(connected, made=OverWebSocket),
    "Conversation": OverWebSocket,
    **VERSIONS,
}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_conversation_goes_as_over_tcp(path: Path) -> None:
    written = path.read_text()
    first, _, rest = written.partition("\n")
    going = f"{first}\n{replayed(rest, eval(first, MAKERS))}"
    assert without_deadlines(going) == without_deadlines(written)


def without_deadlines(text: str) -> list[str]:
    """Which are the earlier of two here; what they lead to is compared."""
    return [line for line in text.splitlines() if not line.strip().startswith("deadline:")]
