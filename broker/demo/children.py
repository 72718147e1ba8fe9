"""The processes that a demo is made of, ended in the opposite order of their start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

STOP_TIMEOUT_S = 20.0
"""Then a child is killed."""
LAST_LINES = 12


class Ended(Exception):
    """A child that should have gone on is gone; its last words are in it."""


class Child:
    """A module of ours, run by this Python, its output in a file."""

    def __init__(self, name: str, log: Path, module: str, *arguments: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            # A group of its own: a terminal sends Ctrl-C to all of ours, and they are to end in turn.
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Ended if it has."""
        code = self._process.poll()
        if code is not None:
            last = self.said().splitlines()[-LAST_LINES:]
            raise Ended("\n".join([f"the {self.name} ended with code {code}; its last words:", *last]))

    def said(self) -> str:
        """All it printed so far."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """Returns when it is gone."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
