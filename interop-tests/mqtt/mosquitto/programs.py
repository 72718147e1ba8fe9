"""mosquitto_sub, mosquitto_pub and mosquitto_rr as processes of their own."""

from __future__ import annotations

import queue
import subprocess
import threading
import uuid
from typing import NamedTuple
from urllib.parse import urlsplit

WAIT_S = 10
VERSIONS = {"3": "mqttv31", "4": "mqttv311", "5": "mqttv5"}


def fresh(name: str) -> str:
    """A name nobody used."""
    return f"{name[:10]}-{uuid.uuid4().hex[:12]}"


STARTED: list[subprocess.Popen[str]] = []
"""All mosquitto_subs, so that none outlives the behaviour."""


class Broker(NamedTuple):
    """A broker and the protocol level to speak with it."""

    url: str
    level: str

    def command(self, program: str, *arguments: str) -> list[str]:
        parts = urlsplit(self.url)
        who = ("-u", parts.username or "", "-P", parts.password or "")
        return [program, "-V", VERSIONS[self.level], "-h", str(parts.hostname), "-p", str(parts.port), *who, *arguments]

    def publish(self, topic: str, *arguments: str, lines: bytes | None = None) -> None:
        """One message, or one for each of the lines that ``-l`` reads; returns once all are acknowledged."""
        command = self.command("mosquitto_pub", "-t", topic, *arguments)
        subprocess.run(command, input=lines, check=True, timeout=3 * WAIT_S)

    def subscribe(self, *arguments: str, form: str = "%p") -> Subscriber:
        return Subscriber(self, form, arguments)


class Subscriber:
    """A mosquitto_sub that is subscribed; ``form`` tells what it prints of a message."""

    def __init__(self, broker: Broker, form: str, arguments: tuple[str, ...]) -> None:
        command = broker.command("mosquitto_sub", "-d", "-F", f"message|{form}", *arguments)
        # Its standard output is a pipe: stdbuf has it written line by line.
        self._process = subprocess.Popen(
            ["stdbuf", "-oL", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        STARTED.append(self._process)
        self._said: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._subscribed = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._subscribed.wait(WAIT_S), f"not subscribed: {self._said}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line)
            if line.startswith("Subscribed"):
                self._subscribed.set()
            elif line.startswith("message|"):
                self._lines.put(line.removeprefix("message|").rstrip("\n"))

    @property
    def codes(self) -> list[int]:
        """Of the SUBACK."""
        (line,) = (line for line in self._said if line.startswith("Subscribed"))
        return [int(code) for code in line.rpartition(":")[2].split(",")]

    def next(self) -> str:
        try:
            return self._lines.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError(f"no message: {self._said[-20:]}") from None

    def take(self, count: int) -> list[str]:
        return [self.next() for _ in range(count)]

    def until(self, marker: str) -> list[str]:
        """What comes before a message that ends with ``marker``."""
        got: list[str] = []
        while not (line := self.next()).endswith(marker):
            got.append(line)
        return got

    def stop(self) -> None:
        """SIGTERM: it sends DISCONNECT."""
        self._process.terminate()
        self._process.wait(WAIT_S)

    def kill(self) -> None:
        """It sends nothing any more."""
        self._process.kill()
        self._process.wait(WAIT_S)
