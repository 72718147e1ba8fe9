"""A broker's process with all its children: a session of its own, started, paused, measured and ended by its id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

STOP_TIMEOUT_S = 60.0
POLL_S = 0.002


class BrokerError(Exception):
    """A broker that didn't start, crashed or isn't there; the text says which and where its log is."""


def members(session: int) -> Iterator[str]:
    """The process ids of a session."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    yield entry


class Running(Protocol):
    """What can be done with the processes of a broker, however many it has."""

    def wait_listening(self, timeout_s: float) -> None:
        """Returns once it accepts connections; BrokerError if it ends or doesn't in time."""

    def check(self) -> None:
        """BrokerError if something isn't running any more."""

    def pids(self) -> list[int]:
        """Of all its processes."""

    def memory(self) -> int:
        """Bytes of memory of all its processes, shared pages in proportion."""

    def cpu_seconds(self) -> float:
        """What all its threads have used until now."""

    def pause(self) -> None:
        """Stops it, so that its idle work isn't in another's figures."""

    def resume(self) -> None:
        """Lets it go on."""

    def stop(self) -> None:
        """Asks it to end, and ends it if it doesn't."""

    def kill(self) -> None:
        """Ends it at once, as kill -9 does."""


class Session:
    """One started command.  ``port`` is what it listens on once it is ready."""

    def __init__(
        self, name: str, command: Sequence[str], port: int, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        if is_listening(port):
            raise BrokerError(f"{name}: something else listens on port {port}; choose another with --ports")
        self.name = name
        self.port = port
        self.log = log
        # Should we be killed, it is told to end by itself.
        follow = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*follow, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                start_new_session=True,
            )

    def wait_listening(self, timeout_s: float) -> None:
        """Returns once it accepts connections; BrokerError if it ends or doesn't in time."""
        deadline = time.monotonic() + timeout_s
        while not is_listening(self.port):
            self.check()
            if time.monotonic() > deadline:
                self.kill()
                what = f"{self.name}: not listening on port {self.port} after {timeout_s:.0f} s"
                raise BrokerError(f"{what}\n{self.log_tail()}")
            time.sleep(POLL_S)

    def check(self) -> None:
        """BrokerError if it isn't running any more."""
        code = self._process.poll()
        if code is not None:
            raise BrokerError(f"{self.name}: ended with {code}\n{self.log_tail()}")

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-15:] if self.log.exists() else []
        return "\n".join([f"the end of {self.log}:", *lines])

    def pids(self) -> list[int]:
        """Of all its processes."""
        return [int(process) for process in members(self._process.pid)]

    def memory(self) -> int:
        """Bytes of memory of all its processes, shared pages in proportion."""
        total = 0
        for process in members(self._process.pid):
            with contextlib.suppress(OSError):
                for line in Path("/proc", process, "smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total

    def cpu_seconds(self) -> float:
        """What all its threads have used until now; those that have ended aren't counted."""
        total = 0
        for process in members(self._process.pid):
            for schedule in Path("/proc", process, "task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(schedule.read_text().split()[0])
        return total / 1e9

    def pause(self) -> None:
        """Stops it, so that its idle work isn't in another's figures."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Asks it to end, and ends it if it doesn't."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once, as kill -9 does."""
        self._end(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self._signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        # Children in groups of their own are still of the session.
        for process in members(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        self._process.wait()


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        # A connect to a free port of the ephemeral range may meet itself.
        return bool(connection.getsockname() != connection.getpeername())
    return False
