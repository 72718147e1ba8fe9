"""An asyncio client behind the blocking calls of ``Device``: its loop has a thread of its own."""

from __future__ import annotations

import abc
import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import TypeVar

from device import NOTHING, WAIT_S, Connack, Device, Filter, Message

T = TypeVar("T")


class Loop:
    """One for all clients of the process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, work: Coroutine[object, object, T], timeout_s: float = WAIT_S) -> T:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout_s), self.loop).result()


LOOP = Loop()


class AsyncDevice(Device):
    """What is called ``_x`` is done in the loop for ``x``."""

    @abc.abstractmethod
    async def _connect(self) -> Connack: ...

    @abc.abstractmethod
    async def _subscribe(self, filters: Sequence[Filter], identifier: int | None) -> list[int]: ...

    @abc.abstractmethod
    async def _unsubscribe(self, text: str) -> None: ...

    @abc.abstractmethod
    async def _publish(self, messages: Sequence[Message]) -> None: ...

    @abc.abstractmethod
    async def _disconnect(self, reason: int, properties: Mapping[str, object]) -> None: ...

    @abc.abstractmethod
    async def _hang_up(self) -> None: ...

    def connect(self) -> Connack:
        return LOOP.run(self._connect())

    def subscribe(self, *filters: Filter, identifier: int | None = None) -> list[int]:
        return LOOP.run(self._subscribe(filters, identifier))

    def unsubscribe(self, text: str) -> None:
        LOOP.run(self._unsubscribe(text))

    def publish(self, message: Message) -> int:
        LOOP.run(self._publish([message]))
        return 0  # what these clients make of the reason code they keep to themselves

    def publish_all(self, messages: Sequence[Message]) -> None:
        LOOP.run(self._publish(messages), 3 * WAIT_S)

    def disconnect(self, reason: int = 0, properties: Mapping[str, object] = NOTHING) -> None:
        LOOP.run(self._disconnect(reason, properties))

    def hang_up(self) -> None:
        LOOP.run(self._hang_up())
